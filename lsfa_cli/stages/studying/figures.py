"""The figures of a study's cells, read from their artifacts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lsfa_cli.artifacts.figures import figure_names, read_figure
from lsfa_cli.artifacts.store import Artifact, open_artifact
from lsfa_cli.resampling import Auroc, Figure, MeanRatio, RegionOverlap
from lsfa_cli.stages.report import PUBLISHED_LIMIT
from lsfa_cli.stages.studying.cells import Cell

Key = tuple[str, str]
"""Modality and metric."""


@dataclass(frozen=True)
class Measured:
    """One figure of one variant. values: (m,), by category and seed. figures: of each category those of each seed."""

    values: NDArray[np.float64]
    figures: Sequence[Sequence[Figure]]


def read_measured(categories: Sequence[Sequence[Cell]]) -> dict[Key, Measured]:
    """The figures of a variant's cells, given by category and seed, as far as all cells have them.

    None at all where a cell was not measured, since a mean over fewer would not be comparable.
    """
    values: dict[Key, list[float]] = {}
    figures: dict[Key, list[list[Figure]]] = {}
    for place, cells in enumerate(categories):
        for one in cells:
            if not one.figures.is_file():
                return {}
            with open_artifact(one.figures, "figures") as artifact:
                for key in figure_names(artifact):
                    value, figure = _figure(artifact, *key)
                    for name, number, sums in _with_parts(key, value, figure):
                        values.setdefault(name, []).append(number)
                        figures.setdefault(name, [[] for _ in categories])[place].append(sums)
    total = sum(len(cells) for cells in categories)
    return {key: Measured(np.array(found), figures[key]) for key, found in values.items() if len(found) == total}


def _with_parts(key: Key, value: float, figure: Figure) -> Iterator[tuple[Key, float, Figure]]:
    """A figure, and below a ratio of distances that of the normal patches alone."""
    yield key, value, figure
    if isinstance(figure, MeanRatio):
        mean = MeanRatio(figure.lower, np.ones_like(figure.lower), figure.lower_count, np.ones_like(figure.lower))
        yield (key[0], "normal_distance"), float(mean.values(np.ones((1, len(figure.lower))))[0]), mean


def _figure(artifact: Artifact, modality: str, metric: str) -> tuple[float, Figure]:
    value, sums = read_figure(artifact, modality, metric)
    if metric == "aupro":
        return value, RegionOverlap(**sums, limit=PUBLISHED_LIMIT)
    return value, MeanRatio(**sums) if metric == "distance_ratio" else Auroc(**sums)
