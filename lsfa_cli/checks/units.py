"""Are coordinates in metres? Judged by the extent of scans and their distance from the camera."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from lsfa_cli.checks.base import Finding, Measured, Verdict, View
from lsfa_cli.wording import length

EXTENTS = (0.001, 3.0)
"""The largest side that a scanned part can have, metres."""
DISTANCES = (0.01, 20.0)
"""How far from the camera it can be, metres."""
CERTAIN = 5.0
"""Beyond these by this factor, one of the two is enough."""


@dataclass(frozen=True)
class Reach:
    """extent: the largest side of a scan. distance: the median z in the camera's frame; None where there is none."""

    extent: float
    distance: float | None


class Units:
    """Judges the median of all scans, so that one wild scan is no matter of units."""

    name: ClassVar[str] = "units"
    every: ClassVar[bool] = False
    most: ClassVar[int | None] = None

    def measure(self, view: View) -> Reach | None:
        """Extent and distance; unorganized clouds have no camera."""
        if view.facts is None or view.facts.points is None:
            return None
        points = view.facts.points
        return Reach(max(points.extent), None if points.valid_share is None else points.median[2])

    def judge(self, measured: Sequence[Measured[Reach]]) -> Verdict:
        """Millimetres taken for metres, and the other way round."""
        if not measured:
            return Verdict()
        extent = float(np.median([row.value.extent for row in measured]))
        distances = [row.value.distance for row in measured if row.value.distance is not None]
        distance = float(np.median(distances)) if distances else None
        figures = {"extent_m": extent, "distance_m": distance}
        outside = _outside(extent, EXTENTS), 1.0 if distance is None else _outside(abs(distance), DISTANCES)
        if outside == (1.0, 1.0):
            return Verdict(figures=figures)
        # A factor above 1 is too large, below 1 too small; two that disagree say nothing about units.
        large, small = max(outside) > 1, min(outside) < 1
        certain = (1.0 not in outside and large != small) or max(outside) > CERTAIN or min(outside) < 1 / CERTAIN
        reach = f"scans are {length(extent)} across"
        reach += "" if distance is None else f" and {length(distance)} from the camera"
        finding = Finding(
            "error" if certain else "warning", self.name, f"{reach} if coordinates are metres.", _advice(large, small)
        )
        return Verdict([finding], figures)


def _outside(value: float, limits: tuple[float, float]) -> float:
    """By which factor a value is above (> 1) or below (< 1) the limits; 1 within."""
    low, high = limits
    return value / high if value > high else value / low if value < low else 1.0


def _advice(large: bool, small: bool) -> str:
    if large and not small:
        return (
            "If they are millimetres, multiply them by 0.001; "
            'of your own parts by [depth] scale = 0.001 or [cloud] unit = "mm" in lsfa-part.toml.'
        )
    if small and not large:
        return (
            "If they were divided by 1000 once too often, leave out a scale of 0.001; "
            "of your own parts look at [depth] scale and [cloud] unit in lsfa-part.toml."
        )
    return "Coordinates must be metres in the camera's frame."
