"""Tune: which settings find pasted defects of kinds that nobody learned from, without one test sample.

Cells are made fold by fold, in a fold candidate by candidate in the order of the space, so that whenever the budget is
spent there is something to compare. What was made stays: the next call goes on.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lsfa_cli.catalog import lookup
from lsfa_cli.datasets.base import Dataset, RasterDataset
from lsfa_cli.errors import DataError, LsfaError, PartialFailureError
from lsfa_cli.pasting import KINDS
from lsfa_cli.stages.progress import Progress, Quiet
from lsfa_cli.stages.studying.cells import Settings
from lsfa_cli.stages.tuning.cells import Around, Cell, Piece, Unit, cell, pieces_of, units
from lsfa_cli.studies.spaces import Space
from lsfa_cli.wording import counted, duration


@dataclass(frozen=True)
class Plan:
    """All cells, in the order in which they are made."""

    space: Space
    units: Sequence[Unit]
    cells: Sequence[Cell]

    def of(self, candidate: str, units: Sequence[Unit]) -> list[Cell]:
        """The cells of a candidate, in the order of some units."""
        found = {one.unit: one for one in self.cells if one.candidate == candidate}
        return [found[unit] for unit in units]


@dataclass
class Budget:
    """Minutes that may be spent on cells, None for as many as it takes. What has begun is finished.

    clock: seconds from any start.
    """

    minutes: float | None
    clock: Callable[[], float] = time.monotonic
    start: float = field(init=False)

    def __post_init__(self) -> None:
        """Begin to count."""
        self.start = self.clock()

    @property
    def is_spent(self) -> bool:
        """Whether nothing may be begun any more."""
        return self.minutes is not None and self.clock() - self.start >= 60 * self.minutes


@dataclass
class Progressed:
    """What running a plan did. measured: cells whose figures are there. waiting: those that were left out."""

    made: int = 0
    measured: list[Cell] = field(default_factory=list)
    waiting: list[Cell] = field(default_factory=list)
    failures: dict[str, LsfaError] = field(default_factory=dict)


def raster_dataset(dataset: Dataset) -> RasterDataset:
    """The data set, which must have images or organized clouds. Raises DataError for unorganized ones."""
    if not isinstance(dataset, RasterDataset):
        raise DataError(
            f"{dataset.name} has unorganized clouds, without pixels to paste defects into.",
            hint="lsfa data list says which data sets have images and organized clouds.",
        )
    return dataset


def check_groups(groups: Mapping[str, Sequence[str]]) -> None:
    """Raises UnknownNameError for a kind of defect that there is not."""
    for kinds in groups.values():
        for kind in kinds:
            lookup(KINDS, "kind of defect", kind)


def plan(around: Around, space: Space, categories: Sequence[str], base: Settings, seed: int) -> Plan:
    """Every candidate on every category and fold.

    Raises DataError for a value that a setting does not take, and for a category without enough good samples.
    """
    every = units(around, categories, seed)
    for unit in every:
        unit.dataset.records(unit.category)
    cells = [
        cell(around, unit, candidate, base, seed)
        for fold in range(around.hold_out.folds)
        for candidate in space.candidate
        for unit in every
        if unit.fold == fold
    ]
    return Plan(space, every, cells)


class _Clock:
    """How long pieces of each kind took, and what those that are waiting will take."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._seconds: dict[str, list[float]] = {}

    def make(self, piece: Piece, progress: Progress) -> None:
        """Make a piece and remember how long it took."""
        start = self._clock()
        piece.make(progress)
        self._seconds.setdefault(piece.what, []).append(self._clock() - start)

    def left(self, pieces: Sequence[Piece]) -> str:
        """What some pieces will take, in words; nothing where nothing was timed yet."""
        every = [seconds for timed in self._seconds.values() for seconds in timed]
        if not every or not pieces:
            return ""
        means = [self._seconds.get(piece.what, every) for piece in pieces]
        return f", about {duration(sum(sum(timed) / len(timed) for timed in means))} left"


def run_plan(planned: Plan, budget: Budget, progress: Progress, *, rerun: bool = False) -> Progressed:
    """Make what is not there, or all for `rerun`, until the budget is spent.

    A cell that fails is recorded and does not stop the others.
    """
    result, silent, clock = Progressed(), Quiet(progress), _Clock(budget.clock)
    every = list(pieces_of(planned.cells))
    there = _There(rerun)
    with progress.track("tune", len(every)) as advance:

        def finish(piece: Piece) -> None:
            advance(there.add(piece))

        for one in planned.cells:
            try:
                made = _run_cell(one, budget, there, finish, clock, silent)
            except LsfaError as error:
                result.failures[str(one)] = error
                continue
            if made is None:
                result.waiting.append(one)
                continue
            result.measured.append(one)
            result.made += made
            waiting = [piece for piece in every if piece.path not in there.paths]
            if made:
                done = f"{len(every) - len(waiting)} of {counted(len(every), 'step')}"
                progress.say(f"{one}: measured ({done}{clock.left(waiting)})")
    return result


def _run_cell(
    one: Cell,
    budget: Budget,
    there: "_There",
    finish: Callable[[Piece], None],
    clock: _Clock,
    progress: Progress,
) -> bool | None:
    """Make a cell; False where it was there, None where the budget does not allow what is missing."""
    features, figures = one.pieces[0], one.pieces[-1]
    if there.has(features) and there.has(figures):
        for piece in one.pieces:
            finish(piece)
        return False
    for piece in one.pieces:
        if not there.has(piece):
            if budget.is_spent:
                return None
            clock.make(piece, progress)
        finish(piece)
    return True


class _There:
    """The pieces that were found up to date or made in this run. anew: what was not made in it is to be made again."""

    def __init__(self, anew: bool) -> None:
        self.paths: set[Path] = set()
        self._anew = anew

    def add(self, piece: Piece) -> int:
        """Remember a piece; how many more there are, 0 or 1."""
        new = piece.path not in self.paths
        self.paths.add(piece.path)
        return int(new)

    def has(self, piece: Piece) -> bool:
        """Whether a piece is up to date; it is looked at once in a run, but for what is not."""
        return piece.path in self.paths or (not self._anew and piece.is_there())


def raise_failures(result: Progressed) -> None:
    """Say which cells failed, if any did."""
    if result.failures:
        first = next(iter(result.failures.values()))
        raise PartialFailureError(
            f"{len(result.failures)} cells failed: {'; '.join(result.failures)}. The first: {first}"
        )
