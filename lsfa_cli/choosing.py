"""Choosing among settings by few samples: the simplest one that is as good as the best, as far as one can tell.

The best of many settings looks better than it is, because it was taken for the luck of these samples too. So what is
simpler is kept unless the best gains more than one standard error of their paired difference (the one-standard-error
rule of Breiman, Friedman, Olshen and Stone 1984, 3.4.3, applied to differences).
"""

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lsfa_cli.resampling import standard_error

LEVELS = (0.0, 0.5, 1.0)
FEW_LEVELS = (0.0, 1.0)
MOST_WEIGHTS = 100
"""Weights that are compared. Where the grid of all levels has more, weights are either 0 or alike."""

Draws = Callable[[int], NDArray[np.float64]]
"""Gives the figure of one of the choices, first of all samples, then of each draw of the bootstrap, (1 + R,)."""


class Choice(NamedTuple):
    """What was chosen, by place. best: what has the highest figure. lead: how much the best is above the first.

    error: the standard error of that lead. The lead and its error are 0 where the first one is the best.
    """

    chosen: int
    best: int
    lead: float
    error: float


def choose(figures: Sequence[float], draws: Draws) -> Choice:
    """The first choice that the best one does not beat by more than a standard error.

    What is no better than one that was refused before it is passed over: it may be hard to tell from the best only
    because it varies more. figures: of the choices, the simplest one first. Of equal ones the first is the best. A
    choice whose draws do not exist cannot be told from the best.
    """
    best = int(np.argmax(figures))
    of_best = draws(best)
    lead = error = 0.0
    refused = -np.inf
    for place in range(best):
        if figures[place] <= refused:
            continue
        difference = of_best - draws(place)
        gain, doubt = float(difference[0]), standard_error(difference)
        if place == 0:
            lead, error = gain, doubt
        if not gain > doubt:
            return Choice(place, best, lead, error)
        refused = figures[place]
    return Choice(best, best, lead, error)


def weight_choices(sources: Sequence[str]) -> list[dict[str, float]]:
    """Weights of sources to choose from, the nearest to equal ones first; equal ones are empty.

    All of `LEVELS`, without those that are multiples of others. Of many sources only which of them are in.
    """
    levels = LEVELS if len(LEVELS) ** len(sources) <= MOST_WEIGHTS else FEW_LEVELS
    grid = [row for row in itertools.product(levels, repeat=len(sources)) if max(row, default=0.0) == 1.0]
    alike = tuple(1.0 for _ in sources)
    grid = [row for row in grid if row != alike]
    grid.sort(key=lambda row: (_distance(row), tuple(-weight for weight in row)))
    return [{}, *(dict(zip(sources, row, strict=True)) for row in grid)]


def _distance(weights: Sequence[float]) -> float:
    """How far the shares of weights are from equal ones; rounded, so that equal distances compare as equal."""
    total = sum(weights)
    return round(sum(abs(weight / total - 1 / len(weights)) for weight in weights), 9)
