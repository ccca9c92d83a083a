"""Effective settings: command line, environment, `lsfa.toml`, defaults, in this order, and where each came from.

`lsfa run` has a few defaults of its own, in `run_defaults.toml`.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from lsfa_cli.errors import DataError, UnknownNameError, UsageError
from lsfa_cli.settings import STAGES, WEIGHTS_FILES, RunSettings
from lsfa_cli.toml_files import parse_toml, read_toml

CONFIG_NAME = "lsfa.toml"
PREFIX = "LSFA_"
# Fields of several stages that may be set once for all, at the top of the file or as LSFA_SEED.
SHARED = ("modality", "device", "seed")
# Other names of a variable; the first that is set counts.
ALIASES: Mapping[str, tuple[str, ...]] = {"root": ("LSFA_DATA_ROOT", "LSFA_ROOT")}
CONFIG_VARIABLE = "LSFA_CONFIG"
DEFAULT = "default"  # where a value came from that nobody gave

RUN_DEFAULTS = "run_defaults.toml"

Flags = Mapping[str, Any]
Defaults = Mapping[str, Mapping[str, Any]]
NO_DEFAULTS: Defaults = MappingProxyType({})
Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class Value:
    """A setting's value and where it came from, in words."""

    value: Any
    origin: str


@dataclass(frozen=True)
class Sources:
    """Everything that settings can come from."""

    flags: Flags
    environment: Mapping[str, str]
    file: Mapping[str, Any]
    path: Path | None

    def run(self) -> RunSettings:
        """Where things are: folders, dataset, worker threads."""
        return _build(RunSettings, "run", self.run_values())

    def stage(self, name: str, model: type[Model], defaults: Defaults = NO_DEFAULTS) -> Model:
        """The settings of one stage, as its model. defaults: what a command has in place of the model's, by stage."""
        return _build(model, name, self.stage_values(name, defaults))

    def run_values(self) -> dict[str, Value]:
        """Each field of `RunSettings` and its origin."""
        return {
            field: self._find(field, ALIASES.get(field, (PREFIX + field.upper(),)), [(self.file, "")], default)
            for field, default in _defaults(RunSettings).items()
        }

    def stage_values(self, stage: str, defaults: Defaults = NO_DEFAULTS) -> dict[str, Value]:
        """Each field of a stage's model and its origin."""
        table = self.file.get(stage, {})
        own = defaults.get(stage, {})
        values = {}
        for field, default in _defaults(STAGES[stage]).items():
            variables = [f"{PREFIX}{stage.upper()}_{field.upper()}"]
            tables = [(table, f"[{stage}] ")]
            if field in SHARED:
                variables.append(PREFIX + field.upper())
                tables.append((self.file, ""))
            values[field] = self._find(field, variables, tables, default)
            if values[field].origin == DEFAULT and field in own:
                values[field] = Value(own[field], "default of the command")
        return values

    def _find(
        self, field: str, variables: Iterable[str], tables: Iterable[tuple[Mapping[str, Any], str]], default: Any
    ) -> Value:
        if self.flags.get(field) is not None:
            return Value(self.flags[field], f"--{field.replace('_', '-')}")
        for variable in variables:
            if variable in self.environment:
                return Value(self.environment[variable], variable)
        for table, where in tables:
            if field in table:
                return Value(self._placed(field, table[field]), f"{where}{self.path}")
        return Value(default, DEFAULT)

    def _placed(self, field: str, value: Any) -> Any:
        """A path in the file is relative to the file's folder."""
        is_path = field in ("root", "work", "cache", *WEIGHTS_FILES)
        return self.path.parent / value if is_path and self.path is not None and isinstance(value, str) else value


@cache
def run_defaults() -> Defaults:
    """The settings in which `lsfa run` differs from the stages' own defaults, by stage."""
    return parse_toml((files("lsfa_cli") / RUN_DEFAULTS).read_text(encoding="utf-8"), RUN_DEFAULTS, "Install it anew.")


def load_sources(flags: Flags, *, config: Path | None = None, environment: Mapping[str, str] | None = None) -> Sources:
    """Read the configuration file and check the names in it and in the environment.

    flags: what the command line gave, None where it gave nothing. config: the file to read; otherwise LSFA_CONFIG,
    `lsfa.toml` in the current folder or in the work folder, whichever is there first.
    Raises UnknownNameError for a name that no setting has, DataError for a file that is no TOML.
    """
    variables = dict(os.environ if environment is None else environment)
    variables = {name: value for name, value in variables.items() if name.startswith(PREFIX) and value}
    _check_environment(variables)
    path = _config_path(flags, config, variables)
    file = read_toml(path, "Mend it, or see: lsfa settings") if path is not None else {}
    _check_file(file, path)
    return Sources(flags, variables, file, path)


def _config_path(flags: Flags, config: Path | None, variables: Mapping[str, str]) -> Path | None:
    given = config or (Path(variables[CONFIG_VARIABLE]) if CONFIG_VARIABLE in variables else None)
    if given is not None:
        if not given.is_file():
            raise DataError(f"no configuration file at {given}")
        return given
    work = flags.get("work") or variables.get(PREFIX + "WORK") or _defaults(RunSettings)["work"]
    return next((path for path in (Path(CONFIG_NAME), Path(work) / CONFIG_NAME) if path.is_file()), None)


def _check_file(file: Mapping[str, Any], path: Path | None) -> None:
    top = {*_defaults(RunSettings), *SHARED}
    for name, value in file.items():
        if name in STAGES and isinstance(value, Mapping):
            for field in value:
                _require_known(f"setting in [{name}] of {path}", field, _defaults(STAGES[name]))
        else:
            _require_known(f"setting in {path}", name, {*top, *STAGES})
            if name in STAGES:
                raise UsageError(f"{path}: {name} must be a table", hint=f"Write [{name}] and its settings below.")


def _check_environment(variables: Mapping[str, str]) -> None:
    known = {CONFIG_VARIABLE, *(PREFIX + field.upper() for field in (*_defaults(RunSettings), *SHARED))}
    known.update(alias for aliases in ALIASES.values() for alias in aliases)
    for stage, model in STAGES.items():
        known.update(f"{PREFIX}{stage.upper()}_{field.upper()}" for field in _defaults(model))
    for name in variables:
        _require_known("environment variable", name, known)


def _require_known(kind: str, name: str, known: Iterable[str]) -> None:
    names = set(known)
    if name not in names:
        raise UnknownNameError(kind, name, names)


def _defaults(model: type[BaseModel]) -> dict[str, Any]:
    return {name: field.default for name, field in model.model_fields.items()}


def _build(model: type[Model], stage: str, values: Mapping[str, Value]) -> Model:
    given = {name: value.value for name, value in values.items() if value.origin != DEFAULT}
    try:
        return model.model_validate(given)
    except ValidationError as error:
        problems = []
        for detail in error.errors():
            name = str(detail["loc"][0])
            problems.append(f"{name} = {detail['input']!r} ({values[name].origin}): {detail['msg']}")
        raise UsageError("; ".join(problems), hint=f"See: lsfa settings {stage}") from error
