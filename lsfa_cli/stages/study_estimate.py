"""What running a study takes: extraction, training, banks and scores of the cells that are not there yet."""

from dataclasses import dataclass, field
from pathlib import Path

from lsfa_cli.artifacts.adaptor import LSFA
from lsfa_cli.artifacts.features import open_features
from lsfa_cli.errors import LsfaError
from lsfa_cli.stages.costs import Cost, Sizes, sizes_of
from lsfa_cli.stages.estimates import START_SECONDS, Estimate, estimate
from lsfa_cli.stages.extract import extract
from lsfa_cli.stages.foresee import foresee_adapt, foresee_bank, foresee_score
from lsfa_cli.stages.making import Mode
from lsfa_cli.stages.progress import Progress
from lsfa_cli.stages.study import Plan
from lsfa_cli.stages.study_cells import Cell, Settings, Surroundings, features_file, is_measured


@dataclass
class _Count:
    """What was counted so far. stages: how many. seconds, memory: of extraction, which is measured and not counted.

    sizes: of each features file, None where it cannot be made. trained: adaptors that were counted.
    """

    cost: Cost = field(default_factory=Cost)
    stages: int = 0
    seconds: float = 0.0
    memory: float = 0.0
    sizes: dict[Path, Sizes | None] = field(default_factory=dict)
    extracted_anew: set[Path] = field(default_factory=set)
    trained: set[Path] = field(default_factory=set)

    def add(self, cost: Cost) -> None:
        """One stage more."""
        self.cost += cost
        self.stages += 1


def estimate_plan(
    around: Surroundings, planned: Plan, base: Settings, progress: Progress, *, rerun: bool = False
) -> tuple[int, Estimate]:
    """How many cells are to be measured, and what that takes. Where extraction fails there is a warning instead."""
    count, waiting = _Count(), 0
    for one in planned.cells:
        path = features_file(around, one.category, one.settings.extract, base.extract)
        if path not in count.sizes:
            count.sizes[path] = _features(around, one, path, count, progress)
        sizes = count.sizes[path]
        if sizes is None or not (rerun or path in count.extracted_anew or not is_measured(one, path)):
            continue
        waiting += 1
        _add_cell(one, sizes, count)
    whole = estimate(count.cost)
    seconds = whole.seconds + count.seconds + START_SECONDS * max(0, count.stages - 1)
    return waiting, Estimate(seconds, max(whole.memory, count.memory))


def _features(around: Surroundings, one: Cell, path: Path, count: _Count, progress: Progress) -> Sizes | None:
    """The sizes of the features that a cell needs; where they are not up to date, what extracting them takes."""
    try:
        outcome = extract(
            around.dataset,
            one.category,
            path,
            one.settings.extract,
            cache=around.cache,
            jobs=around.jobs,
            mode=Mode(dry_run=True),
            progress=progress,
        )
    except LsfaError as error:
        progress.warn(f"{one.category}, {one.variant}: {error}")
        return None
    if outcome.estimate is not None:
        count.extracted_anew.add(path)
        count.seconds += outcome.estimate.seconds
        count.memory = max(count.memory, outcome.estimate.memory)
        return outcome.estimate.sizes
    with open_features(path) as features:
        return sizes_of(features)


def _add_cell(one: Cell, sizes: Sizes, count: _Count) -> None:
    """The stages of one cell; cells that train alike share their adaptor."""
    training = one.settings.adapt
    adaptor = training.adaptor if training is not None and training.method == LSFA else None
    method = None if training is None else training.method
    if training is not None and one.adaptor is not None and one.adaptor not in count.trained:
        count.trained.add(one.adaptor)
        count.add(foresee_adapt(one.category, sizes, training).cost())
    settings = one.settings
    count.add(foresee_bank(one.category, sizes, settings.bank, adaptor=adaptor, method=method).cost())
    score = foresee_score(one.category, sizes, settings.score, settings.bank, adaptor=adaptor, method=method)
    count.add(score.cost())
