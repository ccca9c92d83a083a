"""The weights of the sources that `lsfa tune` chooses: for image scores and for maps apart, without training anew.

What sources say of pasted samples lies there already, so every weighing of them is measured directly. Maps are
compared on a coarser raster, which changes all weighings alike.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lsfa_cli.artifacts.features import open_features
from lsfa_cli.choosing import choose, weight_choices
from lsfa_cli.fusion import average
from lsfa_cli.resampling import Figure, Resampling, aupro_sums, image_auroc_sums
from lsfa_cli.samples import BoolArray
from lsfa_cli.source_weights import shares, source_of, weights_text
from lsfa_cli.stages.progress import Progress
from lsfa_cli.stages.tuning.cells import Cell
from lsfa_cli.stages.tuning.measure import AUPRO, I_AUROC, SourceScores, samples_of
from lsfa_cli.tables.tuning import WeightRow

COARSE = 56
"""Least side of the raster that maps are compared on."""
_KEPT = 256  # figures of weighings that are compared more than once


Kind = Literal["image", "map"]
_KINDS: Mapping[Kind, tuple[str, str]] = {"image": ("image scores", I_AUROC), "map": ("maps", AUPRO)}


def weighable(one: Cell) -> list[Kind]:
    """What the sources of a cell can be weighed for: where neither weights nor another fusion were asked for."""
    score = one.settings.score
    if score.fusion != "average" and not one.judgements.discriminators:
        return []
    return [kind for kind in _KINDS if not getattr(score.weights, kind)]


@dataclass(frozen=True)
class _Group:
    """The samples of one group of one unit. chosen: (n,), which samples of the unit they are.

    image: of each source (m,), maps: (m, s, s), both in deviations of normal samples. labels: (m,), masks: (m, s, s).
    """

    unit: int
    chosen: BoolArray
    image: Mapping[str, NDArray[np.floating]]
    maps: Mapping[str, NDArray[np.floating]]
    labels: NDArray[np.uint8]
    masks: BoolArray


def _groups(cells: Sequence[Cell], groups: Mapping[str, Sequence[str]], progress: Progress) -> list[_Group]:
    """What the sources of a candidate say on all of its units."""
    found = []
    with progress.track("weigh sources", len(cells)) as advance:
        for place, one in enumerate(cells):
            with open_features(one.features) as features:
                samples, size = samples_of(features, groups), features.image_size
            step = max(1, size // COARSE)
            raster = slice(step // 2, None, step)
            for group, chosen in samples.groups.items():
                sources = one.measuring.sources(samples, group, size)
                found.append(
                    _Group(
                        place,
                        chosen,
                        {name: _alone(source, "image") for name, source in sources.items()},
                        {name: _alone(source, "map")[:, raster, raster] for name, source in sources.items()},
                        samples.labels[chosen],
                        samples.masks[chosen][:, raster, raster],
                    )
                )
            advance(1)
    return found


def _alone(source: SourceScores, kind: str) -> NDArray[np.floating]:
    """A source's image scores or maps in deviations of normal samples."""
    values, statistics = (
        (source.image, source.image_statistics) if kind == "image" else (source.maps, source.map_statistics)
    )
    return average({"source": values}, {"source": statistics})


@dataclass(frozen=True)
class _Weighing:
    """All weighings by one metric."""

    groups: Sequence[_Group]
    draws: Sequence[Resampling]
    metric: str

    def figure(self, weights: Mapping[str, float]) -> float:
        """The mean over units, and in each over groups, of the metric with these weights; empty: all alike."""
        return float(self._mean(weights, drawn=False)[0])

    def means(self, weights: Mapping[str, float]) -> NDArray[np.float64]:
        """The same, and in each draw of the bootstrap, (1 + R,)."""
        return self._mean(weights, drawn=True)

    def _mean(self, weights: Mapping[str, float], *, drawn: bool) -> NDArray[np.float64]:
        units: dict[int, list[NDArray[np.float64]]] = {}
        for group in self.groups:
            figure = self._sums(group, weights)
            if drawn:
                found = self.draws[group.unit].means([[figure]])
            else:
                found = figure.values(np.ones((1, len(group.chosen))))
            if not np.isnan(found[0]):  # no defect of the group may be left on the coarser raster
                units.setdefault(group.unit, []).append(found)
        return np.asarray(np.mean([np.mean(found, axis=0) for found in units.values()], axis=0))

    def _sums(self, group: _Group, weights: Mapping[str, float]) -> Figure:
        scores = group.image if self.metric == I_AUROC else group.maps
        own = shares(weights, scores) if weights else dict.fromkeys(scores, 1 / len(scores))
        mixed = np.sum([own[name] * values for name, values in scores.items() if own[name] > 0], axis=0)
        if self.metric == I_AUROC:
            return image_auroc_sums(mixed, group.labels).among(group.chosen)
        return aupro_sums(mixed, group.masks).among(group.chosen)


def choose_weights(
    cells: Sequence[Cell], groups: Mapping[str, Sequence[str]], draws: Sequence[Resampling], progress: Progress
) -> tuple[dict[str, str], list[WeightRow]]:
    """The weights that were chosen for a candidate, as settings of `score`, and what choosing them found.

    cells: those of the candidate, one a unit. draws: of each unit. Empty weights are equal ones.
    """
    chosen: dict[str, str] = {}
    kinds = weighable(cells[0])
    found = _groups(cells, groups, progress)
    sources = [source_of(name) for name in found[0].image]
    if len(sources) < 2:
        return {}, []
    every = weight_choices(sources)
    rows = []
    for kind in kinds:
        what, metric = _KINDS[kind]
        weighing = _Weighing(found, draws, metric)
        with progress.track(f"weigh sources in {what}", len(every)) as advance:
            figures = []
            for weights in every:
                figures.append(weighing.figure(weights))
                advance(1)
        cached = lru_cache(maxsize=_KEPT)(lambda place, weighing=weighing: weighing.means(every[place]))
        choice = choose(figures, cached)
        chosen[f"{kind}_weights"] = weights_text(every[choice.chosen])
        rows.append(
            WeightRow(
                cells[0].candidate,
                what,
                metric,
                figures[0],
                weights_text(every[choice.best]),
                choice.lead,
                choice.error,
                chosen[f"{kind}_weights"],
            )
        )
    return chosen, rows
