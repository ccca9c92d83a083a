"""The ranking of `lsfa tune`: what candidates are compared on, how sure their differences are, and which is chosen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lsfa_cli.artifacts.figures import figure_names, read_figure
from lsfa_cli.artifacts.store import open_artifact
from lsfa_cli.choosing import Choice, choose
from lsfa_cli.errors import LsfaError
from lsfa_cli.resampling import RESAMPLES, Auroc, Figure, RegionOverlap, Resampling, interval
from lsfa_cli.stages.report import PUBLISHED_LIMIT
from lsfa_cli.stages.tune import Plan, Progressed
from lsfa_cli.stages.tuning.cells import Cell, Unit
from lsfa_cli.stages.tuning.measure import AUPRO, METRICS
from lsfa_cli.tables.results import metric_title
from lsfa_cli.tables.studies import Estimate
from lsfa_cli.tables.tuning import RankedRow

BOTH = "both"
"""Candidates are ranked by the mean of all metrics."""

Means = NDArray[np.float64]
"""A figure, then the same in each draw of the bootstrap, (1 + R,)."""


@dataclass(frozen=True)
class Compared:
    """Who can be compared on what: every one of these candidates was measured on all of these units.

    waiting: candidates that were not, of those that did not fail.
    """

    candidates: Sequence[str]
    units: Sequence[Unit]
    waiting: Sequence[str]


def compared(planned: Plan, result: Progressed) -> Compared:
    """All candidates on as many folds as all have; with less than one fold of all, those that have the first.

    Raises LsfaError where there is none.
    """
    done = {(one.candidate, one.unit) for one in result.measured}
    failed = {one.candidate for one in planned.cells if str(one) in result.failures}
    names = [candidate.name for candidate in planned.space.candidate if candidate.name not in failed]
    folds = 1 + max(unit.fold for unit in planned.units)

    def complete(name: str, last: int) -> bool:
        return all((name, unit) in done for unit in planned.units if unit.fold <= last)

    used = next((last for last in reversed(range(folds)) if all(complete(name, last) for name in names)), 0)
    candidates = [name for name in names if complete(name, used)]
    if not candidates:
        raise LsfaError(
            "no candidate was measured, so there is nothing to rank",
            hint="Give it more minutes: --budget 30. What was made stays, and the next call goes on."
            if result.waiting
            else None,
        )
    waiting = [name for name in names if name not in candidates]
    return Compared(candidates, [unit for unit in planned.units if unit.fold <= used], waiting)


@dataclass(frozen=True)
class _Measured:
    """The figures of one cell: (group, metric) -> value and what resampling takes; and the samples that they are of."""

    figures: Mapping[tuple[str, str], tuple[float, Figure]]
    names: Sequence[str]
    labels: NDArray[np.uint8]
    owners: NDArray[np.int64]


def _read(one: Cell) -> _Measured:
    with open_artifact(one.figures, "figures") as artifact:
        figures: dict[tuple[str, str], tuple[float, Figure]] = {}
        for group, metric in figure_names(artifact):
            value, sums = read_figure(artifact, group, metric)
            figure = RegionOverlap(**sums, limit=PUBLISHED_LIMIT) if metric == AUPRO else Auroc(**sums)
            figures[group, metric] = value, figure
        return _Measured(figures, artifact.text("names"), artifact.read("labels"), artifact.read("owners"))


@dataclass(frozen=True)
class _Figures:
    """The means of one candidate over groups and units, of each metric; and by (group, metric) over units."""

    metrics: Mapping[str, Means]
    groups: Mapping[str, Mapping[str, float]]


class Ranking:
    """Candidates that were compared. Figures are means over units, in each of them over the groups that are there.

    by: the metric that ranks, or BOTH for the mean of all. seed: of the bootstrap, which draws validation samples with
    all of their pasted versions.
    """

    def __init__(
        self, planned: Plan, found: Compared, *, by: str = BOTH, seed: int = 0, resamples: int = RESAMPLES
    ) -> None:
        self._by = METRICS if by == BOTH else (by,)
        self.units, self.waiting = found.units, found.waiting
        self.others: list[str] = []
        """Candidates that see other samples than the first one, so that they cannot be compared."""
        first = [_read(one) for one in planned.of(found.candidates[0], found.units)]
        self.draws = [
            Resampling([one.labels], 1, seed=seed + place, resamples=resamples, owners=[one.owners])
            for place, one in enumerate(first)
        ]
        """Of each unit."""
        self.normal = [int((one.labels == 0).sum()) for one in first]
        self.pasted = [int((one.labels == 1).sum()) for one in first]
        self._figures: dict[str, _Figures] = {}
        for name in found.candidates:
            own = [_read(one) for one in planned.of(name, found.units)]
            if any(one.names != other.names for one, other in zip(own, first, strict=True)):
                self.others.append(name)
            else:
                self._figures[name] = self._figures_of(own)

    def _figures_of(self, own: Sequence[_Measured]) -> _Figures:
        means: dict[str, list[Means]] = {metric: [] for metric in METRICS}
        values: dict[str, dict[str, list[float]]] = {}
        for one, draws in zip(own, self.draws, strict=True):
            for metric in METRICS:
                of_groups = []
                for (group, measured), (value, figure) in one.figures.items():
                    if measured == metric:
                        drawn = draws.means([[figure]])
                        drawn[0] = value  # the sums of AUPRO are within 1e-3 of it
                        of_groups.append(drawn)
                        values.setdefault(group, {}).setdefault(metric, []).append(value)
                means[metric].append(np.mean(of_groups, axis=0))
        return _Figures(
            {metric: np.mean(found, axis=0) for metric, found in means.items()},
            {
                group: {metric: float(np.mean(found)) for metric, found in metrics.items()}
                for group, metrics in values.items()
            },
        )

    @property
    def first(self) -> str:
        """The candidate that the others are compared with."""
        return next(iter(self._figures))

    @property
    def title(self) -> str:
        """What candidates are ranked by, in words."""
        titles = [metric_title(metric) for metric in self._by]
        return titles[0] if len(titles) == 1 else f"mean of {' and '.join(titles)}"

    def means(self, candidate: str) -> Means:
        """What a candidate is ranked by."""
        found = self._figures[candidate].metrics
        return np.asarray(np.mean([found[metric] for metric in self._by], axis=0))

    @cached_property
    def choice(self) -> Choice:
        """The choice among the candidates, in the order of the space."""
        names = list(self._figures)
        return choose([float(self.means(name)[0]) for name in names], lambda place: self.means(names[place]))

    @property
    def chosen(self) -> str:
        """The name of the chosen candidate."""
        return list(self._figures)[self.choice.chosen]

    @property
    def best(self) -> str:
        """The name of the candidate with the highest figure."""
        return list(self._figures)[self.choice.best]

    def rows(self) -> list[RankedRow]:
        """The table, the best candidate first; of equal ones, the earlier one of the space."""
        reference = self.means(self.first)
        ordered = sorted(self._figures, key=lambda name: -float(self.means(name)[0]))
        return [
            RankedRow(
                rank,
                name,
                _estimate(self.means(name)),
                {metric: _estimate(found) for metric, found in self._figures[name].metrics.items()},
                None if name == self.first else _estimate(self.means(name) - reference),
                self._figures[name].groups,
            )
            for rank, name in enumerate(ordered, 1)
        ]


def _estimate(means: Means) -> Estimate:
    spread = interval(means)
    return Estimate(spread.value, spread.low, spread.high)
