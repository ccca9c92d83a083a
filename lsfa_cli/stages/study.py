"""A study: every variant on every category and seed, and what can be said of the differences."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lsfa_cli.artifacts.adaptor import read_curves
from lsfa_cli.artifacts.store import open_artifact
from lsfa_cli.errors import DataError, LsfaError, PartialFailureError
from lsfa_cli.figures import Difference, differences_picture, variant_curves_picture
from lsfa_cli.resampling import RESAMPLES, SPLITS, Resampling, interval, sign_flip_p_value
from lsfa_cli.stages.progress import Progress, Quiet
from lsfa_cli.stages.studying.cells import Cell, Settings, Surroundings, cell, remove, run_cell
from lsfa_cli.stages.studying.choice import choose
from lsfa_cli.stages.studying.figures import Key, Measured, read_measured
from lsfa_cli.studies import Study
from lsfa_cli.tables.published import ablations
from lsfa_cli.tables.results import MODALITY_ORDER, metric_title
from lsfa_cli.tables.studies import Estimate, StudyRow

METRICS = ("i_auroc", "p_auroc", "aupro")
SEPARATION = ("patch_auroc", "distance_ratio", "normal_distance")


@dataclass(frozen=True)
class Plan:
    """All cells of a study, in the order in which they are made: category by category, seed by seed."""

    study: Study
    categories: Sequence[str]
    seeds: Sequence[int]
    cells: Sequence[Cell]

    def of(self, variant: str, category: str) -> list[Cell]:
        """The cells of a variant and category, by seed."""
        return [one for one in self.cells if (one.variant, one.category) == (variant, category)]

    def without(self, failed: Sequence[Cell]) -> "Plan":
        """The plan without the cells that failed, of which figures of earlier data may still be there."""
        return replace(self, cells=[one for one in self.cells if one not in failed])


@dataclass
class Progressed:
    """What running a plan did."""

    made: int = 0
    found: int = 0
    failures: dict[str, LsfaError] = field(default_factory=dict)
    failed: list[Cell] = field(default_factory=list)


def plan(around: Surroundings, study: Study, categories: Sequence[str], seeds: Sequence[int], base: Settings) -> Plan:
    """Every variant, category and seed. Raises DataError for a value that a setting does not take."""
    cells = [
        cell(around, category, variant, seed, base)
        for category in categories
        for seed in seeds
        for variant in study.variant
    ]
    return Plan(study, categories, seeds, cells)


def run_plan(around: Surroundings, planned: Plan, progress: Progress, *, rerun: bool = False) -> Progressed:
    """Make what is not up to date, or all for `rerun`. A cell that fails is recorded and does not stop the others."""
    result = Progressed()
    silent = Quiet(progress)
    with progress.track("study", len(planned.cells)) as advance:
        for number, one in enumerate(planned.cells, 1):
            try:
                if run_cell(around, one, silent, rerun=rerun):
                    result.made += 1
                    progress.say(f"{one.category}, {one.variant}, seed {one.seed}: measured")
                else:
                    result.found += 1
            except LsfaError as error:
                result.failures[f"{one.category}, {one.variant}, seed {one.seed}"] = error
                result.failed.append(one)
            if not around.keep:
                waiting = {path for other in planned.cells[number:] for path in other.passing}
                for path in one.passing:
                    if path not in waiting:
                        remove(path)
            advance(1)
    return result


@dataclass(frozen=True)
class _Series:
    """One figure of one variant: its values by category and seed, and its mean in every draw of the bootstrap."""

    values: NDArray[np.float64]
    means: NDArray[np.float64]


def summarise(
    planned: Plan, metrics: Sequence[str] = METRICS, *, seed: int = 0, resamples: int = RESAMPLES
) -> list[StudyRow]:
    """One row a modality, metric and variant that all categories and seeds have.

    The interval is a bootstrap over test samples and seeds; the p-value a sign-flip test over (category, seed) pairs.
    Raises DataError when no cell was measured.
    """
    labels = [labels_of(planned, category) for category in planned.categories]
    draws = Resampling(labels, len(planned.seeds), seed=seed, resamples=resamples)
    measured = {
        name: {key: _Series(one.values, draws.means(one.figures)) for key, one in found.items() if key[1] in metrics}
        for name, found in _measured(planned).items()
    }
    paper = _published(planned.study)
    keys = {key for found in measured.values() for key in found}
    rows = []
    for key in sorted(keys, key=lambda key: (metrics.index(key[1]), MODALITY_ORDER.index(key[0]))):
        for variant in planned.study.variant:
            if key in measured[variant.name]:
                other = planned.study.versus(variant)
                against = measured[other].get(key) if other else None
                row = _row(key, variant.name, measured[variant.name][key], other, against)
                published, doubts = paper.get((variant.published, *key), (None, ()))
                rows.append(replace(row, published=published, doubts=doubts))
    return rows


def choosing(planned: Plan, metric: str, *, seed: int = 0) -> dict[str, str]:
    """What the best variant by `metric` on half of the test samples gains on the other half, for the table's foot."""
    labels = [labels_of(planned, category) for category in planned.categories]
    found = choose(_measured(planned), planned.study.baseline, metric, labels, seed=seed)
    title = metric_title(metric)
    return {
        f"choosing by {title}": f"best of the variants on half of the test samples, its {title} minus that of "
        f"{planned.study.baseline} on the other half, mean and 95 % of {SPLITS} splits: "
        + "; ".join(choice.text() for choice in found)
    }


def _row(key: Key, variant: str, own: _Series, other: str, against: _Series | None) -> StudyRow:
    spread = interval(own.means)
    row = StudyRow(key[1], key[0], variant, Estimate(float(own.values.mean()), spread.low, spread.high))
    if against is None:
        return row
    differences = own.values - against.values
    spread = interval(own.means - against.means)
    return replace(
        row,
        versus=other,
        difference=Estimate(float(differences.mean()), spread.low, spread.high),
        p_value=sign_flip_p_value(differences),
        pairs=len(differences),
    )


def draw(path: Path, rows: Sequence[StudyRow], *, title: str) -> None:
    """Draw the differences with their intervals. Raises DataError for a study of one variant, which has none."""
    differences = [
        Difference(metric_title(row.metric), row.modality, row.variant, *astuple(row.difference))
        for row in rows
        if row.difference is not None
    ]
    if not differences:
        raise DataError("the study has no difference to draw")
    differences_picture(path, differences, title=title)


def draw_curves(path: Path, planned: Plan, *, title: str) -> None:
    """Draw the curves of training of every variant, over all categories and seeds. Raises DataError without any."""
    variants: dict[str, list[dict[str, NDArray[np.float64]]]] = {}
    for one in planned.cells:
        if one.figures.is_file():
            with open_artifact(one.figures, "figures") as artifact:
                if curves := read_curves(artifact):
                    variants.setdefault(one.variant, []).append(curves)
    try:
        variant_curves_picture(path, variants, title=title)
    except ValueError as error:
        raise DataError("no variant of the study was trained, so there are no curves to draw") from error


def raise_failures(result: Progressed) -> None:
    """Say which cells failed, if any did."""
    if result.failures:
        first = next(iter(result.failures.values()))
        names = "; ".join(result.failures)
        raise PartialFailureError(f"{len(result.failures)} cells failed: {names}. The first: {first}")


def labels_of(planned: Plan, category: str) -> NDArray[np.uint8]:
    """Those of the category's test samples, from any cell that was measured."""
    for one in planned.cells:
        if one.category == category and one.figures.is_file():
            with open_artifact(one.figures, "figures") as artifact:
                return artifact.read("labels")
    raise DataError(f"{category}: no cell of the study was measured, so there is nothing to summarise")


def _measured(planned: Plan) -> dict[str, dict[Key, Measured]]:
    """The figures of every variant; none of one without a cell, since a mean over fewer would not be comparable."""
    found: dict[str, dict[Key, Measured]] = {}
    for variant in planned.study.variant:
        cells = [planned.of(variant.name, category) for category in planned.categories]
        whole = all(len(own) == len(planned.seeds) for own in cells)
        found[variant.name] = read_measured(cells) if whole else {}
    return found


def _published(study: Study) -> dict[tuple[str, str, str], tuple[float, tuple[str, ...]]]:
    """(variant, modality, metric) -> the paper's figure and what is doubtful about it."""
    source = f"LSFA Table {study.published_table}"
    return {
        (row.method, row.modality, row.metric): (row.value, row.notes)
        for row in ablations()
        if study.published_table and row.source == source and row.value is not None
    }
