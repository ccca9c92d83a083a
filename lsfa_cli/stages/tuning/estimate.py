"""What tuning takes: the pieces that are not there yet, extraction measured and the rest counted."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from lsfa_cli.artifacts.features import open_features
from lsfa_cli.errors import LsfaError
from lsfa_cli.stages.costs import Cost, Sizes, sizes_of
from lsfa_cli.stages.estimates import Estimate, Tally
from lsfa_cli.stages.extract import extract
from lsfa_cli.stages.foresee import foresee_adapt, foresee_bank, foresee_score
from lsfa_cli.stages.making import Mode
from lsfa_cli.stages.progress import Progress
from lsfa_cli.stages.tune import Plan
from lsfa_cli.stages.tuning.cells import Around, Cell, Piece
from lsfa_cli.stages.tuning.sources import adaptor_settings, discriminator_settings

MAP_BYTES = 300
"""Bytes moved a pixel and source to blur a map, add it to others and sum it up for AUPRO: about 15 ms of 224 x 224."""


@dataclass
class _Count:
    """What was counted so far; extraction is measured. seen: pieces that were counted."""

    tally: Tally = field(default_factory=Tally)
    sizes: dict[Path, Sizes | None] = field(default_factory=dict)
    anew: set[Path] = field(default_factory=set)
    seen: set[Path] = field(default_factory=set)


def estimate_plan(around: Around, planned: Plan, progress: Progress) -> tuple[int, Estimate]:
    """How many cells are to be measured, and what that takes. Where extraction fails there is a warning instead."""
    count, waiting = _Count(), 0
    for one in planned.cells:
        if one.features not in count.sizes:
            count.sizes[one.features] = _features(around, one, count, progress)
        sizes = count.sizes[one.features]
        if sizes is None or not _is_missing(one, one.pieces[-1], count):
            continue
        waiting += 1
        for piece in one.pieces[1:]:
            if piece.path not in count.seen and _is_missing(one, piece, count):
                count.seen.add(piece.path)
                count.tally.add(_cost(one, piece, sizes))
    return waiting, count.tally.estimate()


def _is_missing(one: Cell, piece: Piece, count: _Count) -> bool:
    return one.features in count.anew or not piece.is_there()


def _features(around: Around, one: Cell, count: _Count, progress: Progress) -> Sizes | None:
    """The sizes of the features that a cell needs; where they are not up to date, what extracting them takes."""
    try:
        outcome = extract(
            one.unit.dataset,
            one.unit.category,
            one.features,
            one.settings.extract,
            cache=around.cache,
            jobs=around.jobs,
            mode=Mode(dry_run=True),
            progress=progress,
        )
    except LsfaError as error:
        progress.warn(f"{one}: {error}")
        return None
    if outcome.estimate is None:
        with open_features(one.features) as features:
            return sizes_of(features)
    count.anew.add(one.features)
    count.tally.add_measured(outcome.estimate)
    return outcome.estimate.sizes


def _cost(one: Cell, piece: Piece, sizes: Sizes) -> Cost:
    """What a piece takes that is made of features of these sizes."""
    settings, category = one.settings, one.unit.category
    judged = sizes.of("validation") * (1 + settings.extract.pasted)
    measured = replace(sizes, samples={**sizes.samples, "test": judged})
    if piece.what == "figures":
        sources = len(sizes.patches) * len(one.judgements.of(next(iter(one.judgements.discriminators), "")))
        normal = sizes.of("validation") * max(1, len(_groups(one)) - 1)
        return Cost(moved=float(MAP_BYTES * sizes.map_side**2 * sources * (judged + normal)))
    if piece.what == "discriminators" and settings.adapt is not None:
        return foresee_adapt(category, sizes, discriminator_settings(settings.adapt, ())).cost()
    trained = adaptor_settings(settings.adapt)
    kind = {"adaptor": None if trained is None else trained.adaptor, "method": None if trained is None else "lsfa"}
    cost = foresee_bank(category, sizes, settings.bank, **kind).cost()
    cost += foresee_score(category, measured, settings.score, settings.bank, **kind).cost()
    return cost if trained is None else cost + foresee_adapt(category, sizes, trained).cost()


def _groups(one: Cell) -> Mapping[str, Path]:
    return one.judgements.discriminators
