"""The chosen settings as an `lsfa.toml`, which `lsfa run --config FILE` and every stage take."""

from collections.abc import Collection, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import tomlkit

from lsfa_cli import __version__
from lsfa_cli.artifacts.files import write_text
from lsfa_cli.errors import UsageError
from lsfa_cli.settings import AdaptSettings, StageSettings
from lsfa_cli.stages.studying.cells import Settings

_MARK = "Chosen by lsfa tune"
# What is told though it is the stage's default: it was chosen, and a command may have another default.
_ALWAYS: Mapping[str, tuple[str, ...]] = {
    "extract": ("pasted",),
    "adapt": ("objective",),
    "bank": ("rgb_foreground", "blur_sigma"),
    "score": ("fusion", "sources", "image_weights", "map_weights"),
}


def settings_text(
    settings: Settings,
    *,
    dataset: str,
    categories: Sequence[str],
    told: Mapping[str, Collection[str]],
) -> str:
    """The settings that are not the defaults, and what `lsfa run` or the tuning may decide otherwise, as TOML.

    settings: of the chosen candidate. told: by stage, settings to be told even where they are the defaults. Pasted
    samples are only asked for where something learns from them.
    """
    adapt = settings.adapt or AdaptSettings(objective="none")
    extract = settings.extract
    if not adapt.trains_discriminators:
        extract = extract.model_copy(update={"pasted": 0})
    document = tomlkit.document()
    document.add(tomlkit.comment(f"{_MARK} {__version__} on {dataset} {', '.join(categories)}, without a test sample."))
    document.add(tomlkit.comment("Give it to lsfa run, or to a stage: --config THIS_FILE."))
    stages: dict[str, StageSettings] = {
        "extract": extract,
        "adapt": adapt,
        "bank": settings.bank,
        "score": settings.score,
    }
    for stage, model in stages.items():
        table = tomlkit.table()
        for name, value in _told(model, {*_ALWAYS[stage], *told.get(stage, ())}).items():
            table.add(name, value)
        if len(table):
            document.add(stage, table)
    return tomlkit.dumps(document)


def _told(model: StageSettings, always: Set[str]) -> dict[str, Any]:
    """The settings that have an effect and are not the defaults, and those to be told `always`, as TOML has values.

    Paths are whole, as the file may lie anywhere.
    """
    found: dict[str, Any] = {}
    for name, info in type(model).model_fields.items():
        value = getattr(model, name)
        if value is not None and (name in always or (value != info.default and name not in model.without_effect())):
            found[name] = str(value.absolute()) if isinstance(value, Path) else value
    return found


def require_own(path: Path) -> None:
    """Raises UsageError where a file is there already that lsfa tune did not write."""
    try:
        own = path.read_text(encoding="utf-8").startswith(f"# {_MARK}")
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError):
        own = False
    if not own:
        raise UsageError(
            f"{path} is there, and lsfa tune did not write it", hint="Give --out another name, or remove the file."
        )


def write_settings(path: Path, text: str) -> None:
    """Write the chosen settings."""
    require_own(path)
    write_text(path, text)
