"""What running a study takes: extraction, training, banks and scores of the cells that are not there yet."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from lsfa_cli.artifacts.adaptor import LSFA
from lsfa_cli.artifacts.features import open_features
from lsfa_cli.artifacts.store import canonical_json
from lsfa_cli.errors import LsfaError
from lsfa_cli.settings import FinetuneSettings, content_of
from lsfa_cli.stages.costs import Sizes, sizes_of
from lsfa_cli.stages.estimates import Estimate, Tally
from lsfa_cli.stages.finetune import finetune_backbones
from lsfa_cli.stages.foresee import foresee_adapt, foresee_bank, foresee_score
from lsfa_cli.stages.making import Mode
from lsfa_cli.stages.progress import Progress
from lsfa_cli.stages.study import Plan
from lsfa_cli.stages.studying.cells import Cell, Surroundings, extract_cell, is_measured


@dataclass
class _Count:
    """What was counted so far; extraction, and training through backbones, are measured.

    sizes: of each features file, None where it cannot be made. trained: adaptors that were counted. tuned: what
    training through the backbones takes, by category and settings, None where it cannot be done. The estimate does not
    depend on what learns, nor on the seed.
    """

    tally: Tally = field(default_factory=Tally)
    sizes: dict[Path, Sizes | None] = field(default_factory=dict)
    extracted_anew: set[Path] = field(default_factory=set)
    trained: set[Path] = field(default_factory=set)
    tuned: dict[str, Estimate | None] = field(default_factory=dict)


def estimate_plan(
    around: Surroundings, planned: Plan, progress: Progress, *, rerun: bool = False
) -> tuple[int, Estimate]:
    """How many cells are to be measured, and what that takes. Where extraction fails there is a warning instead."""
    count, waiting = _Count(), 0
    for one in planned.cells:
        if one.settings.of_one_seed and not rerun and _is_there(around, one):
            continue
        if one.features not in count.sizes:
            features_of = _features if one.finetuned is None else _trained_features
            count.sizes[one.features] = features_of(around, one, count, progress)
        sizes = count.sizes[one.features]
        if sizes is None or not (rerun or one.features in count.extracted_anew or not is_measured(around, one)):
            continue
        waiting += 1
        _add_cell(one, sizes, count)
    return waiting, count.tally.estimate()


def _is_there(around: Surroundings, one: Cell) -> bool:
    """Whether a cell whose features do not stay is measured."""
    try:
        return is_measured(around, one)
    except LsfaError:  # which the estimate of its training meets again, and tells
        return False


def _features(around: Surroundings, one: Cell, count: _Count, progress: Progress) -> Sizes | None:
    """The sizes of the features that a cell needs; where they are not up to date, what extracting them takes."""
    try:
        outcome = extract_cell(around, one, progress, Mode(dry_run=True))
    except LsfaError as error:
        progress.warn(f"{one.category}, {one.variant}: {error}")
        return None
    if outcome.estimate is not None:
        count.extracted_anew.add(one.features)
        count.tally.add_measured(outcome.estimate)
        return outcome.estimate.sizes
    with open_features(one.features) as features:
        return sizes_of(features)


def _trained_features(around: Surroundings, one: Cell, count: _Count, progress: Progress) -> Sizes | None:
    """The sizes of features of trained backbones, which are always made anew; what training and extraction take."""
    settings = one.settings.finetune
    if settings is None:
        raise ValueError(f"{one.variant} trains no backbone")
    same = settings.model_copy(update={"seed": 0, "how": "all"})
    key = canonical_json((one.category, content_of(one.settings.extract), content_of(same)))
    if key not in count.tuned:
        count.tuned[key] = _training(around, one, settings, progress)
    taken = count.tuned[key]
    if taken is None:
        return None
    count.extracted_anew.add(one.features)
    count.tally.add_measured(taken)
    return taken.sizes


def _training(around: Surroundings, one: Cell, settings: FinetuneSettings, progress: Progress) -> Estimate | None:
    """What training the backbones of a cell and extraction with them take."""
    anew = Mode(rerun=True, dry_run=True)
    try:
        training = finetune_backbones(
            around.dataset,
            one.category,
            one.features.with_name("finetuned.h5"),
            settings,
            one.settings.extract,
            cache=around.cache,
            jobs=around.jobs,
            mode=anew,
            progress=progress,
        ).estimate
        # With the backbones as they are: how long it takes is the same after training.
        extraction = extract_cell(around, replace(one, finetuned=None), progress, anew).estimate
    except LsfaError as error:
        progress.warn(f"{one.category}, {one.variant}: {error}")
        return None
    if training is None or extraction is None:
        raise ValueError("a planned stage has no estimate")
    memory = max(training.memory, extraction.memory)
    return Estimate(training.seconds + extraction.seconds, memory, extraction.sizes)


def _add_cell(one: Cell, sizes: Sizes, count: _Count) -> None:
    """The stages of one cell; cells that train alike share their adaptor."""
    training = one.settings.adapt
    adaptor = training.adaptor if training is not None and training.method == LSFA else None
    method = None if training is None else training.method
    if training is not None and one.adaptor is not None and one.adaptor not in count.trained:
        count.trained.add(one.adaptor)
        count.tally.add(foresee_adapt(one.category, sizes, training).cost())
    settings = one.settings
    count.tally.add(foresee_bank(one.category, sizes, settings.bank, adaptor=adaptor, method=method).cost())
    score = foresee_score(one.category, sizes, settings.score, settings.bank, adaptor=adaptor, method=method)
    count.tally.add(score.cost())
