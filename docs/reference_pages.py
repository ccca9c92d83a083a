"""The reference pages, written from the code: commands, settings, artifacts, names and exit codes.

MkDocs calls `on_files` at each build (see mkdocs.yml). Nothing is written to disk, so no page can be out of date.
Each `*_page` function returns one page as Markdown and imports what it describes, and nothing heavy.
"""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from typer.testing import CliRunner

from lsfa_cli import errors
from lsfa_cli.artifacts import schema
from lsfa_cli.catalog import Entry
from lsfa_cli.commands import app, every_command
from lsfa_cli.configuration import ALIASES, CONFIG_NAME, CONFIG_VARIABLE, PREFIX, SHARED
from lsfa_cli.datasets.part_file import PART_FILE
from lsfa_cli.datasets.part_template import template
from lsfa_cli.settings import STAGES, RunSettings


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages to those that MkDocs found (a hook: MkDocs calls it by this name)."""
    for name, page in PAGES.items():
        files.append(File.generated(config, f"reference/{name}.md", content=page()))
    return files


def settings_page() -> str:
    """Every setting: key, type and range, default, meaning; and the rules that give its flag and its variable."""
    aliases = "; ".join(f"`{name}`: {_words(variables)}" for name, variables in ALIASES.items())
    parts = [
        "# Settings",
        "A value is looked for on the command line, then in the environment, then in the configuration file, "
        "and is the default where it is in none of them. The configuration file is `--config FILE`, "
        f"`{CONFIG_VARIABLE}`, or `{CONFIG_NAME}` in the current or the work folder. Unknown names are refused. "
        "`lsfa settings` prints the effective values and where each came from.",
        f"The key `coreset_ratio` of `[bank]` is the flag `--coreset-ratio` of `lsfa bank` and the variable "
        f"`{PREFIX}BANK_CORESET_RATIO`. {_words(SHARED)} may also be set once for all stages: at the top of the file, "
        f"or as {_words(PREFIX + name.upper() for name in SHARED)}.",
        "## Folders and threads",
        f"{_sentences(RunSettings)} They stand at the top of `{CONFIG_NAME}`; their variables are `{PREFIX}DATA` "
        f"and so on ({aliases}).",
        _settings_table(RunSettings),
    ]
    for stage, model in STAGES.items():
        parts += [f"## `[{stage}]` {{ #{stage} }}", _sentences(model), _settings_table(model)]
    return _page(parts)


def part_file_page() -> str:
    """The file that describes a user's part: its template."""
    return _page(
        [
            f"# {PART_FILE}",
            "What a user's own part needs to be read (see [Run your own parts](../how-to/own-parts.md)). "
            "`lsfa data init DIR` writes this file; unknown keys are refused.",
            f"```toml\n{template()}```",
        ]
    )


def artifacts_page() -> str:
    """The four HDF5 schemas: attributes, data sets, shapes, types."""
    parts = [
        "# Artifacts",
        "Each stage writes one HDF5 file, which `h5dump`, `h5py` and any other HDF5 library read. "
        f"`lsfa inspect FILE` shows it. {_symbols()}",
        "## Attributes of every artifact",
        _table(("attribute", "meaning"), ((f"`{name}`", text) for name, text in schema.ROOT_ATTRIBUTES.items())),
    ]
    for name, layout in schema.SCHEMAS.items():
        rows = (
            (
                f"`{row.path}`",
                f"`{' × '.join(row.shape)}`",
                row.kind,
                row.meaning,
                "" if row.required else "where there is any",
            )
            for row in layout.data_sets
        )
        parts += [
            f"## {name} {{ #{name} }}",
            f"Version {layout.version}. {layout.meaning}",
            _table(("data set", "shape", "type", "meaning", "present"), rows),
            _table(("attribute", "meaning"), ((f"`{key}`", text) for key, text in layout.attributes.items())),
        ]
    return _page(parts)


def names_page() -> str:
    """The names that settings and flags take: backbones, datasets, adaptors and the rest."""
    parts = ["# Names", "What settings and flags take by name. `lsfa list` prints the same tables."]
    for title, table in _catalogs().items():
        rows = ((f"`{name}`", entry.help, entry.needs.replace("nothing", "")) for name, entry in table.items())
        parts += [f"## {title}", _table(("name", "what it is", "needs"), rows)]
    return _page(parts)


def exit_codes_page() -> str:
    """The exit code of each kind of failure."""
    classes = [
        kind
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, errors.LsfaError) and kind.__module__ == errors.__name__
    ]
    rows = [
        ("0", "", "Done, or already up to date."),
        ("130", "", "Interrupted (Ctrl-C)."),
        ("141", "", "Whoever read the output has gone, as in `lsfa data check | head`."),
    ]
    for kind in sorted(classes, key=lambda kind: (kind.exit_code, len(kind.mro()))):
        rows.append((str(kind.exit_code), f"`{kind.__name__}`", _first_sentence(kind)))
    rows.sort(key=lambda row: int(row[0]))
    return _page(
        [
            "# Exit codes",
            "The message on stderr says what is wrong, in which file, and what to do next. "
            "A traceback is shown only with `-vv`.",
            _table(("code", "error", "meaning"), rows),
        ]
    )


def commands_page() -> str:
    """Every command's help, as the terminal shows it."""
    parts = ["# Commands", "Each command also prints this itself: `lsfa --help`, `lsfa COMMAND --help`.", _help()]
    for words in every_command():
        heading = "#" * (len(words) + 1)
        parts += [f"{heading} lsfa {' '.join(words)} {{ #{'-'.join(words)} }}", _help(*words)]
    return _page(parts)


PAGES: Mapping[str, Callable[[], str]] = {
    "commands": commands_page,
    "settings": settings_page,
    "part-file": part_file_page,
    "artifacts": artifacts_page,
    "names": names_page,
    "exit-codes": exit_codes_page,
}


def _catalogs() -> dict[str, Mapping[str, Entry]]:
    from lsfa_cli.adaptors import ADAPTORS
    from lsfa_cli.backbones import BACKBONES
    from lsfa_cli.checks import CHECKS
    from lsfa_cli.datasets import DATASETS
    from lsfa_cli.fusion import FUSIONS
    from lsfa_cli.losses import LOSSES
    from lsfa_cli.metrics import METRICS
    from lsfa_cli.pasting import KINDS
    from lsfa_cli.tables.formats import FORMATS

    return {
        "Datasets": DATASETS,
        "Backbones": BACKBONES,
        "Adaptors": ADAPTORS,
        "Losses": LOSSES,
        "Fusions": FUSIONS,
        "Metrics": METRICS,
        "Formats": FORMATS,
        "Pasted defects": KINDS,
        "Checks": CHECKS,
    }


def _settings_table(model: type[BaseModel]) -> str:
    rows = (
        (
            f"`{name}`",
            _type(field),
            "none" if field.default is None else f"`{_toml(field.default)}`",
            field.description or "",
        )
        for name, field in model.model_fields.items()
    )
    return _table(("key", "values", "default", "meaning"), rows)


def _type(field: FieldInfo) -> str:
    """The type and the range of a setting, in words."""
    text = _type_name(field.annotation)
    signs = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
    bounds = [
        f"{sign} {getattr(rule, key)}" for rule in field.metadata for key, sign in signs.items() if hasattr(rule, key)
    ]
    return ", ".join([text, *bounds])


def _type_name(annotation: Any) -> str:
    plain = {bool: "true or false", int: "integer", float: "number", str: "text", Path: "path", type(None): "none"}
    if annotation in plain:
        return plain[annotation]
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(annotation))
    if get_origin(annotation) in (Union, UnionType):
        return " or ".join(_type_name(part) for part in get_args(annotation))
    raise TypeError(f"no words for the type {annotation}: add them to _type_name")


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, (str, Path)) else str(value)


def _help(*command: str) -> str:
    environment = {"COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}
    result = CliRunner().invoke(app, [*command, "--help"], prog_name="lsfa", env=environment)
    if result.exit_code != 0:
        raise RuntimeError(f"lsfa {' '.join(command)} --help ended with {result.exit_code}: {result.output}")
    text = "\n".join(line.rstrip() for line in result.stdout.splitlines()).strip("\n")
    return f"```text\n{text}\n```"


def _sentences(thing: object) -> str:
    return " ".join((inspect.getdoc(thing) or "").split())


def _first_sentence(thing: object) -> str:
    return _sentences(thing).split(". ")[0].rstrip(".") + "."


def _symbols() -> str:
    """What the symbols in shapes stand for: the schemas' module says it, from this word on."""
    text = _sentences(schema)
    return text[text.index("Symbols in shapes") :]


def _words(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

    return "\n".join([line(heads), line("---" for _ in heads), *map(line, rows)])


def _page(parts: Iterable[str]) -> str:
    return "\n\n".join(part for part in parts if part) + "\n"
