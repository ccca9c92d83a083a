"""Are organized clouds in the camera's frame: x to the right along columns, y down along rows, z away from it?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from lsfa_cli.checks.base import Finding, Measured, Verdict, View
from lsfa_cli.checks.facts import thinned

CLEAR = 0.5
"""Correlation of a coordinate with a pixel index from which it grows along it. Real scans have above 0.95."""
_NAMES = ("x", "y", "z")
_ADVICE = (
    "Expected: x grows to the right, y downwards, z away from the camera. Reorder or negate the coordinates; "
    "of your own parts by [cloud] axes in lsfa-part.toml."
)

Row = NDArray[np.float64]


@dataclass(frozen=True)
class Directions:
    """Correlations of x, y and z (3,) with the column and with the row of a pixel, and the share of z not above 0."""

    across: Row
    down: Row
    behind: float


class Axes:
    """Judges medians over the samples. A tilted part correlates with other axes too, but never less with its own."""

    name: ClassVar[str] = "axes"
    every: ClassVar[bool] = False
    most: ClassVar[int | None] = 100

    def measure(self, view: View) -> Directions | None:
        """Directions of one organized cloud; None for unorganized ones."""
        sample = view.sample
        if sample is None or sample.xyz is None or sample.valid is None:
            return None
        places = thinned(np.argwhere(sample.valid))
        points = sample.xyz[places[:, 0], places[:, 1]].astype(np.float64)
        across, down = (
            np.array([_correlation(places[:, index].astype(np.float64), points[:, axis]) for axis in range(3)])
            for index in (1, 0)
        )
        return Directions(across, down, float((points[:, 2] <= 0).mean()))

    def judge(self, measured: Sequence[Measured[Directions]]) -> Verdict:
        """Swapped and flipped axes, and a scene behind the camera."""
        if not measured:
            return Verdict()
        across = np.median([row.value.across for row in measured], axis=0)
        down = np.median([row.value.down for row in measured], axis=0)
        if _strongest(across) == 1 and _strongest(down) == 0:
            messages = ["x and y are swapped: x changes along rows, y along columns"]
        else:
            messages = [*_wrong(0, across, "columns, to the right"), *_wrong(1, down, "rows, downwards")]
        if np.median([row.value.behind for row in measured]) > 0.5:
            messages.append("z is not above 0: the scene lies behind the camera")
        findings = [Finding("warning", self.name, f"{'; '.join(messages)}.", _ADVICE)] if messages else []
        return Verdict(findings, {"x_along_columns": float(across[0]), "y_along_rows": float(down[1])})


def _wrong(axis: int, correlations: Row, along: str) -> list[str]:
    """What is wrong with the axis that should grow along one index, given that index's correlations with all."""
    name, strongest = _NAMES[axis], _strongest(correlations)
    if correlations[axis] > CLEAR:
        return []
    if correlations[axis] < -CLEAR:
        return [f"{name} is flipped, it falls along {along}"]
    if strongest is not None:
        return [f"{_NAMES[strongest]} instead of {name} changes along {along}"]
    return [f"{name} does not grow along {along}"]


def _strongest(correlations: Row) -> int | None:
    """The axis with the clearest correlation; None where none is clear."""
    axis = int(np.abs(correlations).argmax())
    return axis if abs(correlations[axis]) > CLEAR else None


def _correlation(first: Row, second: Row) -> float:
    """Pearson's; 0 where one of the two does not vary."""
    first, second = first - first.mean(), second - second.mean()
    norm = float(np.sqrt((first**2).sum() * (second**2).sum()))
    return float((first * second).sum()) / norm if norm > 0 else 0.0
