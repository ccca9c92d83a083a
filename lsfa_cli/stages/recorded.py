"""The settings as an artifact records them: places replaced by content, `auto` by what it stands for."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from lsfa_cli.errors import LsfaError, WeightsError
from lsfa_cli.preprocessing.digests import file_digest
from lsfa_cli.settings import WEIGHTS_FILES, AdaptSettings, ExtractSettings, content_of
from lsfa_cli.stages.making import DISCRIMINATOR_VERSION, STAGE_VERSION


def device_of(choice: str) -> str:
    """cpu or cuda. Raises LsfaError when cuda is asked for and there is none."""
    if choice == "cpu":
        return "cpu"
    import torch

    available = torch.cuda.is_available()
    if choice == "cuda" and not available:
        raise LsfaError("--device cuda: PyTorch finds no CUDA device", hint="Use --device cpu or --device auto.")
    return "cuda" if available else "cpu"


def recorded(
    stage: str, settings: BaseModel, *, device: str, digest: Callable[[Path], str] = file_digest
) -> dict[str, Any]:
    """What goes into the artifact's `settings`: the same on every machine and wherever files lie.

    digest: gives the SHA-256 of a weights file.
    """
    values = content_of(settings)
    values["device"] = device
    values.pop("precision", None)
    if isinstance(settings, ExtractSettings | AdaptSettings) and "precision" not in settings.without_effect():
        from lsfa_cli.precision import precision_of

        resolved = precision_of(settings.precision, device)
        if resolved != "fp32":  # features and adaptors made before there was a choice stay up to date
            values["precision"] = resolved
    values["stage_version"] = STAGE_VERSION[stage]
    if isinstance(settings, AdaptSettings) and settings.trains_discriminators:
        values["discriminator_version"] = DISCRIMINATOR_VERSION
    for name in WEIGHTS_FILES:
        if values.get(name) is not None:
            values[name] = digest(_weights_file(Path(values[name])))
    return values


def _weights_file(path: Path) -> Path:
    if not path.is_file():
        raise WeightsError(f"no weights file at {path}", hint="Check --rgb-weights and --xyz-weights.")
    return path
