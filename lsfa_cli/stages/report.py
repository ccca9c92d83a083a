"""Report: scores to tables and pictures (METHOD 5)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lsfa_cli import __version__
from lsfa_cli.artifacts.features import open_features
from lsfa_cli.artifacts.lineage import require_made_from
from lsfa_cli.artifacts.scores import Scores, open_scores
from lsfa_cli.errors import ArtifactError, LsfaError, UndefinedMetricError, UsageError
from lsfa_cli.metrics import aupro_limits, image_auroc, pixel_auroc
from lsfa_cli.samples import MODALITIES
from lsfa_cli.settings import ReportSettings
from lsfa_cli.stages.places import BASELINE, CONTROL, Places
from lsfa_cli.stages.progress import NoProgress, Progress
from lsfa_cli.stages.score import BASELINE_METHOD, FUSED, METHODS
from lsfa_cli.tables.formats import render
from lsfa_cli.tables.published import matching, published
from lsfa_cli.tables.results import Result, differences, with_means

MODALITY_NAMES: Mapping[str, str] = {"rgb": "rgb", "xyz": "xyz", FUSED: "rgb+xyz"}
PUBLISHED_LIMIT = 0.3


@dataclass(frozen=True)
class ScoresFile:
    """One scores artifact to report, and where what it was made from should be.

    features: to see whether they are still the same, and for pictures. adaptor: for the curves of its training.
    variant: the folder the scores lie in, to tell apart scores that were made by the same method.
    """

    scores: Path
    features: Path | None = None
    adaptor: Path | None = None
    variant: str = ""

    @classmethod
    def at(cls, places: Places, variant: str = "") -> "ScoresFile":
        """The scores at their usual place."""
        return cls(places.scores, places.features, places.adaptor, variant)


@dataclass
class Report:
    """What was measured. failures: scores that could not be reported, and why."""

    results: list[Result] = field(default_factory=list)
    notes: dict[str, str | int | float | bool | None] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    failures: list[tuple[Path, LsfaError]] = field(default_factory=list)

    def text(self, format: str, *, compare_published: bool = False, width: int = 80) -> str:
        """The tables in one of the formats: every method, its difference to the baseline, means, published rows."""
        rows = with_means([*self.results, *differences(self.results, BASELINE_METHOD)])
        if compare_published:
            for dataset in dict.fromkeys(row.dataset for row in self.results):
                rows.extend(matching(published(dataset), self.results))
        notes = dict(self.notes)
        for number, remark in enumerate(self.remarks, 1):
            notes[f"remark {number}"] = remark
        return render(rows, format, caption="Anomaly detection results", notes=notes, width=width)


def report(
    files: Sequence[ScoresFile],
    settings: ReportSettings,
    *,
    progress: Progress | None = None,
) -> Report:
    """Measure every scores artifact. One that fails is recorded and does not stop the others."""
    limits = parse_limits(settings.aupro_limits)
    result = Report(notes=_notes(settings, limits))
    backbones: dict[str, None] = {}
    with (progress or NoProgress()).track("report", len(files)) as advance:
        for file in files:
            try:
                _measure_file(file, settings, limits, result, backbones)
            except LsfaError as error:
                result.failures.append((file.scores, error))
            advance(1)
    result.notes["features"] = "; ".join(backbones)
    shown = {row.method.partition(" [")[0] for row in result.results}
    result.notes["methods"] = "; ".join(f"{name}: {meaning}" for name, meaning in METHODS.items() if name in shown)
    return result


def parse_limits(text: str) -> tuple[float, ...]:
    """AUPRO limits from "0.3,0.05". Raises UsageError for anything but numbers above 0 and up to 1."""
    try:
        limits = tuple(float(part) for part in text.split(","))
    except ValueError:
        limits = ()
    if not limits or any(not 0 < limit <= 1 for limit in limits):
        raise UsageError(f"aupro_limits = '{text}': expected numbers above 0 and up to 1, by comma, as in 0.3,0.05")
    return limits


def _notes(settings: ReportSettings, limits: Sequence[float]) -> dict[str, str | int | float | bool | None]:
    thresholds = settings.aupro_thresholds
    return {
        "AUPRO thresholds": "every distinct score (exact)" if thresholds is None else thresholds,
        "AUPRO limits": ", ".join(f"{limit:g}" for limit in limits),
        "lsfa": __version__,
    }


def _measure_file(
    file: ScoresFile,
    settings: ReportSettings,
    limits: Sequence[float],
    report: Report,
    backbones: dict[str, None],
) -> None:
    with open_scores(file.scores) as scores:
        if file.features is not None and file.features.is_file():
            with open_features(file.features) as features:
                mend = f"lsfa score --category {scores.category}"
                require_made_from(scores.artifact, "features", features.artifact, mend)
        method = scores.method if file.variant in ("", BASELINE, CONTROL) else f"{scores.method} [{file.variant}]"
        names = [name for name in (*MODALITIES, FUSED) if name in scores.image]
        if settings.modality != "both":
            names = [name for name in names if name == settings.modality]
        if not names:
            raise ArtifactError(f"{file.scores} has no {settings.modality} scores")
        for name in names:
            report.results.extend(measure(scores, name, method, limits, settings.aupro_thresholds))
        report.remarks.extend(f"{scores.category}, {method}: {remark}" for remark in scores.remarks)
        for modality, identity in scores.backbones.items():
            backbones[f"{modality} {identity['name']}"] = None


def measure(scores: Scores, name: str, method: str, limits: Sequence[float], thresholds: int | None) -> list[Result]:
    """I-AUROC, P-AUROC and AUPRO of one score ("rgb", "xyz" or "fused") of one category."""
    marked = scores.masked
    masks, maps = scores.masks[marked], scores.maps[name][marked]
    figures: list[tuple[list[str], Callable[[], list[float]]]] = [
        (["i_auroc"], lambda: [image_auroc(scores.image[name], scores.labels)]),
        (["p_auroc"], lambda: [pixel_auroc(maps, masks)]),
        (
            ["aupro" if limit == PUBLISHED_LIMIT else f"aupro@{limit:g}" for limit in limits],
            lambda: aupro_limits(maps, masks, limits, thresholds=thresholds),
        ),
    ]
    results: list[Result] = []
    for metrics, compute in figures:
        values: list[float | None] = [None] * len(metrics)
        note = "" if marked.all() or metrics == ["i_auroc"] else f"without {(~marked).sum()} samples that have no mask"
        try:
            values = list(compute())
        except UndefinedMetricError as error:
            note = error.message
        results.extend(
            Result(scores.dataset, scores.category, MODALITY_NAMES[name], method, metric, value, note=note)
            for metric, value in zip(metrics, values, strict=True)
        )
    return results
