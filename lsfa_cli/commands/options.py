"""Options made from the settings models, so that a setting is written down once.

A field of a model becomes a flag, its description the help text, its default the default shown. A flag that was
not given stays None: environment, file and default come after it.
"""

import functools
import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic.fields import FieldInfo

from lsfa_cli.configuration import NO_DEFAULTS, Defaults, Sources, load_sources
from lsfa_cli.console import DEBUG, NORMAL, QUIET, Console
from lsfa_cli.settings import STAGES, RunSettings

INPUT_PANEL, RUN_PANEL = "Inputs and outputs", "Running"
_PLACES = ("data", "root", "work", "cache")
_METAVARS = {"data": "NAME", "root": "DIR", "work": "DIR", "cache": "DIR", "jobs": "N"}


@dataclass(frozen=True)
class Session:
    """What every command has: somebody to speak through, and the settings.

    defaults: what the command has in place of the stages' own defaults, by stage.
    """

    console: Console
    sources: Sources
    run: RunSettings
    defaults: Defaults

    def stage(self, name: str) -> Any:
        """The effective settings of a stage, as its model."""
        return self.sources.stage(name, STAGES[name], self.defaults)


def with_settings(
    *stages: str,
    run: tuple[str, ...] = (),
    making: bool = True,
    only: Sequence[str] | None = None,
    defaults: Defaults = NO_DEFAULTS,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command, whose first parameter is a `Session`, the flags of some stages and of `RunSettings`.

    stages: whose settings become flags. run: fields of RunSettings that become flags. making: whether --rerun and
    --dry-run make sense. only: the settings that become flags where not all of the stages' do, in this order.
    defaults: what the command has in place of the stages' own defaults, by stage.
    """

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        own = _own_parameters(function)
        fields = _fields(stages, run, only)
        different = {name: value for values in defaults.values() for name, value in values.items()}
        added = [_parameter(name, field, panel, different) for name, (field, panel) in fields.items()]
        common = [*_COMMON, *(_MAKING if making else ())]
        parameters = [*own, *added, *common]

        @functools.wraps(function)
        def command(**values: Any) -> None:
            flags = {name: values.pop(name) for name in fields}
            quiet, verbose = values.pop("quiet"), values.pop("verbose")
            level = QUIET if quiet else min(NORMAL + verbose, DEBUG)
            sources = load_sources(flags, config=values.pop("config"))
            function(Session(Console(level), sources, sources.run(), defaults), **values)

        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # Typer reads it
        command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return command

    return decorate


def _own_parameters(function: Callable[..., None]) -> list[inspect.Parameter]:
    parameters = list(inspect.signature(function).parameters.values())[1:]
    return [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in parameters
        if parameter.name not in ("rerun", "dry_run")
    ]


def _fields(
    stages: tuple[str, ...], run: tuple[str, ...], only: Sequence[str] | None
) -> dict[str, tuple[FieldInfo, str]]:
    """Name -> field and help panel. A name that several stages share is one flag, which sets all of them."""
    found = {name: (RunSettings.model_fields[name], INPUT_PANEL if name in _PLACES else RUN_PANEL) for name in run}
    for stage in stages:
        fields = STAGES[stage].model_fields
        for name in fields if only is None else only:
            found.setdefault(name, (fields[name], f"Settings of {stage}"))
    return found


def _parameter(name: str, field: FieldInfo, panel: str, different: Mapping[str, Any]) -> inspect.Parameter:
    flag = "--" + name.replace("_", "-")
    bare = _bare(field.annotation)
    declaration = f"{flag}/--no-{flag[2:]}" if bare is bool else flag
    option = typer.Option(
        declaration,
        help=f"{field.description}{_shown(different.get(name, field.default))}",
        show_default=False,
        rich_help_panel=panel,
        metavar=_METAVARS.get(name),
    )
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[bare | None, option]
    )


def _bare(annotation: Any) -> Any:
    """The type without `| None`."""
    choices = [choice for choice in typing.get_args(annotation) if choice is not type(None)]
    if len(choices) == 1 and type(None) in typing.get_args(annotation):
        return choices[0]
    return annotation


def _shown(default: Any) -> str:
    """The default in words; Typer would show the None that stands for "not given"."""
    if default is None or default == "":
        return ""
    if isinstance(default, bool):
        return f" Default: {'on' if default else 'off'}."
    return f" Default: {default}."


def _common(name: str, kind: Any, default: Any, *flags: str, help: str, **more: Any) -> inspect.Parameter:
    option = typer.Option(*flags, help=help, rich_help_panel=more.pop("panel", RUN_PANEL), show_default=False, **more)
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, option])


_COMMON = (
    _common(
        "config",
        Path | None,
        None,
        "--config",
        help="Settings file. Default: lsfa.toml here or in the work folder.",
        metavar="FILE",
        panel=INPUT_PANEL,
    ),
    _common("quiet", bool, False, "--quiet", "-q", help="Results, warnings and errors only."),
    _common("verbose", int, 0, "--verbose", "-v", count=True, help="More detail; -vv shows tracebacks."),
)
_MAKING = (
    _common("rerun", bool, False, "--rerun", help="Make the artifact although it is up to date."),
    _common("dry_run", bool, False, "--dry-run", help="Say what would be made, why, how long it takes; make nothing."),
)

Categories = Annotated[
    list[str] | None,
    typer.Option(
        "--category",
        "-c",
        help="A category; may be given several times. Default: all that exist.",
        metavar="NAME",
        rich_help_panel=INPUT_PANEL,
        show_default=False,
    ),
]
TableFormat = Annotated[str, typer.Option("--format", "-f", help="markdown, csv, json or latex.", metavar="NAME")]
TableOut = Annotated[
    Path | None,
    typer.Option("--out", help="Write the table here, not to stdout.", metavar="FILE", rich_help_panel=INPUT_PANEL),
]


def _file(flag: str, help: str) -> Any:
    """An option that names a file instead of its place in the work folder."""
    return typer.Option(flag, help=help, metavar="FILE", rich_help_panel=INPUT_PANEL, show_default=False)


FinetunedFile = Annotated[
    Path | None, _file("--finetuned", "Weights of backbones that lsfa finetune made, for the category that it was.")
]
FeaturesFile = Annotated[Path | None, _file("--features", "The features artifact to read.")]
AdaptorFile = Annotated[Path | None, _file("--adaptor-file", "The adaptor artifact to read.")]
BankFile = Annotated[Path | None, _file("--bank", "The bank artifact to read.")]
OutFile = Annotated[Path | None, _file("--out", "The artifact to write, for one category.")]
NoAdaptor = Annotated[
    bool,
    typer.Option("--no-adaptor", help="The PatchCore baseline, kept apart in baseline/.", rich_help_panel=RUN_PANEL),
]
VariantName = Annotated[
    str,
    typer.Option(
        "--variant",
        help="Keep this variant's artifacts apart, in a folder of this name.",
        metavar="NAME",
        rich_help_panel=RUN_PANEL,
        show_default=False,
    ),
]
