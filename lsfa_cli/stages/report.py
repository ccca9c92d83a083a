"""Report: scores to tables and pictures (METHOD 5)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from lsfa_cli import __version__
from lsfa_cli.artifacts.features import open_features
from lsfa_cli.artifacts.lineage import command_for, require_made_from
from lsfa_cli.artifacts.scores import FUSED, Scores, open_scores
from lsfa_cli.errors import ArtifactError, LsfaError, UndefinedMetricError, UsageError
from lsfa_cli.metrics import (
    aupro_limits,
    image_auroc,
    object_auroc,
    object_average_precision,
    pixel_auroc,
    point_figures,
)
from lsfa_cli.samples import MODALITIES
from lsfa_cli.settings import ReportSettings
from lsfa_cli.source_weights import BANK_ALONE, PASTED_ALONE
from lsfa_cli.stages.places import BASELINE, CONTROL, Places
from lsfa_cli.stages.progress import NoProgress, Progress
from lsfa_cli.stages.read_ahead import read_ahead, worker_count
from lsfa_cli.stages.score import BASELINE_METHOD, METHODS, TOGETHER
from lsfa_cli.tables.formats import NoteValue, render
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


_MOST_THREADS = 4


@dataclass
class Report:
    """What was measured. failures: scores that could not be reported, and why."""

    results: list[Result] = field(default_factory=list)
    notes: dict[str, NoteValue] = field(default_factory=dict)
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
    result = Report()
    backbones: dict[str, None] = {}
    with_baseline = any(file.variant == BASELINE for file in files)
    with (progress or NoProgress()).track("report", len(files)) as advance:
        for file in files:
            try:
                _measure_file(file, settings, limits, result, backbones, with_baseline=with_baseline)
            except LsfaError as error:
                result.failures.append((file.scores, error))
            advance(1)
    result.notes = _notes(settings, limits, result.results)
    result.notes["features"] = "; ".join(backbones)
    shown = {one for row in result.results for one in row.method.partition(" [")[0].split(TOGETHER)}
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


def _notes(settings: ReportSettings, limits: Sequence[float], results: Sequence[Result]) -> dict[str, NoteValue]:
    thresholds = settings.aupro_thresholds
    notes: dict[str, NoteValue] = {}
    if not results or any(row.metric.startswith("aupro") for row in results):
        notes["AUPRO thresholds"] = "every distinct score (exact)" if thresholds is None else thresholds
        notes["AUPRO limits"] = ", ".join(f"{limit:g}" for limit in limits)
    return notes | {"lsfa": __version__}


def _measure_file(
    file: ScoresFile,
    settings: ReportSettings,
    limits: Sequence[float],
    report: Report,
    backbones: dict[str, None],
    *,
    with_baseline: bool,
) -> None:
    with open_scores(file.scores) as scores:
        if file.features is not None and file.features.is_file():
            with open_features(file.features) as features:
                mend = command_for("score", scores.dataset, scores.category)
                require_made_from(scores.artifact, "features", features.artifact, mend)
        method = scores.method if file.variant in ("", BASELINE, CONTROL) else f"{scores.method} [{file.variant}]"
        names = [name for name in (*MODALITIES, FUSED) if name in scores.image]
        if settings.modality != "both":
            names = [name for name in names if name == settings.modality]
        if not names:
            raise ArtifactError(f"{file.scores} has no {settings.modality} scores")
        rows = [row for name in names for row in _sources(scores, name, method, with_baseline)]

        def measured(row: tuple[str, str]) -> list[Result]:
            return measure(scores, *row, limits, settings.aupro_thresholds)

        # Most of it is counting pixels, which threads do side by side; each holds the maps of one row.
        for results in read_ahead(measured, rows, min(worker_count(0), _MOST_THREADS), beyond=0):
            report.results.extend(results)
        report.remarks.extend(f"{scores.category}, {method}: {remark}" for remark in scores.remarks)
        for modality, identity in scores.backbones.items():
            backbones[f"{modality} {identity['name']}"] = None


def _sources(scores: Scores, name: str, method: str, with_baseline: bool) -> list[tuple[str, str]]:
    """A score and, where it is the mean of banks and discriminators, each of them alone: names and methods.

    with_baseline: the baseline has a row of its own, so that a bank that is the same has none here.
    """
    bank, together, pasted = scores.method.partition(TOGETHER)
    alone = {BANK_ALONE: bank, PASTED_ALONE: pasted} if together else {}
    found = [
        (f"{name}{suffix}", method.replace(scores.method, one, 1))
        for suffix, one in alone.items()
        if f"{name}{suffix}" in scores.image and not (with_baseline and one == BASELINE_METHOD)
    ]
    return [*found, (name, method)]


class _Figures(NamedTuple):
    """Figures that are computed together: their names, how, and a remark on what they are over."""

    metrics: Sequence[str]
    compute: Callable[[], Sequence[float]]
    note: str = ""


def measure(scores: Scores, name: str, method: str, limits: Sequence[float], thresholds: int | None) -> list[Result]:
    """The figures of one score ("rgb", "xyz", "fused", or a source of it, as in "rgb_pasted") of one category.

    I-AUROC, P-AUROC and AUPRO; of unorganized clouds AUROC and AUPR of objects and of points.
    """
    figures = _of_clouds(scores) if scores.is_cloud else _of_maps(scores, name, limits, thresholds)
    modality = MODALITY_NAMES[name.partition("_")[0]]
    results: list[Result] = []
    for metrics, compute, note in figures:
        values: Sequence[float | None] = [None] * len(metrics)
        try:
            values = compute()
        except UndefinedMetricError as error:
            note = error.message
        results.extend(
            Result(scores.dataset, scores.category, modality, method, metric, value, note=note)
            for metric, value in zip(metrics, values, strict=True)
        )
    return results


def _of_maps(scores: Scores, name: str, limits: Sequence[float], thresholds: int | None) -> list[_Figures]:
    """Pixels count where somebody has marked the defects, images always."""
    marked = scores.masked
    masks, maps = scores.masks[marked], scores.maps[name][marked]
    missing = int((~marked).sum())
    note = f"without {missing} {'sample that has' if missing == 1 else 'samples that have'} no mask" if missing else ""
    overlaps = ["aupro" if limit == PUBLISHED_LIMIT else f"aupro@{limit:g}" for limit in limits]
    return [
        _Figures(["i_auroc"], lambda: [image_auroc(scores.image[name], scores.labels)]),
        _Figures(["p_auroc"], lambda: [pixel_auroc(maps, masks)], note),
        _Figures(overlaps, lambda: aupro_limits(maps, masks, limits, thresholds=thresholds), note),
    ]


def _of_clouds(scores: Scores) -> list[_Figures]:
    """Figures of points are over all points of all clouds together."""
    objects = scores.image["xyz"], scores.labels
    return [
        _Figures(["o_auroc"], lambda: [object_auroc(*objects)]),
        _Figures(["o_aupr"], lambda: [object_average_precision(*objects)]),
        _Figures(["p_auroc", "p_aupr"], lambda: point_figures(scores.all_point_scores(), scores.all_point_defects())),
    ]
