"""What the methods ask of the data."""

from collections.abc import Mapping

from lsfa_cli.artifacts.adaptor import BTF, CFM, UFF
from lsfa_cli.artifacts.features import Features
from lsfa_cli.errors import UsageError
from lsfa_cli.samples import MODALITIES
from lsfa_cli.settings import ScoreSettings

_NEEDS_BOTH: Mapping[str, str] = {
    CFM: "CFM predicts each modality from the other",
    UFF: "M3DM fuses the features of both modalities",
    BTF: "BTF puts the features of both modalities side by side",
}


def require_modalities(features: Features, method: str, choice: str) -> None:
    """Raises UsageError where a method that needs both modalities is to do with one."""
    if method not in _NEEDS_BOTH:
        return
    if choice != "both":
        raise UsageError(
            f"{_NEEDS_BOTH[method]}, and --modality {choice} leaves one",
            hint=f"Use --modality both; lsfa report --modality {choice} shows its rows alone. Or use --method lsfa.",
        )
    present = features.split("train").modalities
    if len(present) < len(MODALITIES):
        raise UsageError(
            f"{_NEEDS_BOTH[method]}, and {features.artifact.path} has {present[0]} features alone",
            hint="Use --method lsfa, or extract both: lsfa extract --modality both",
        )


def unusual_fusion(settings: ScoreSettings) -> str:
    """What was asked of the fusion, where that is not the default: a method that fuses in its own way warns of it."""
    if any(settings.weights):
        return "a weight of a source"
    return "" if settings.fusion == "average" else f"--fusion {settings.fusion}"
