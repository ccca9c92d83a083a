"""Which good samples are unlike the rest of their category? Robust deviations of simple statistics."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from lsfa_cli.checks.base import Finding, Measured, Verdict, View

FARTHEST = 8.0
"""Deviations from the median beyond which a sample is reported."""
FEWEST = 8
"""Good samples that are needed to say what is usual."""

# What is measured -> its smallest deviation: identical parts would otherwise make any difference look enormous.
# A share is of the median's absolute value.
_FLOORS: Mapping[str, tuple[float, float]] = {
    # absolute, share of the median
    "red": (3.0, 0.0),
    "green": (3.0, 0.0),
    "blue": (3.0, 0.0),
    "share of points": (0.01, 0.05),
    "number of points": (0.0, 0.05),
    "distance (m)": (0.0005, 0.005),
    "width (m)": (0.0, 0.03),
    "height (m)": (0.0, 0.03),
    "depth (m)": (0.0005, 0.05),
}


class Outliers:
    """Judges good samples by the median and the median absolute deviation of the good samples of all splits."""

    name: ClassVar[str] = "outliers"
    every: ClassVar[bool] = False
    most: ClassVar[int | None] = None

    def measure(self, view: View) -> Mapping[str, float] | None:
        """Statistics by name, of what the sample has; None for defective ones, which may differ."""
        if view.record.label or view.facts is None:
            return None
        values: dict[str, float] = {}
        if view.facts.image is not None:
            values |= dict(zip(("red", "green", "blue"), view.facts.image.mean, strict=True))
        points = view.facts.points
        if points is not None:
            values |= dict(zip(("width (m)", "height (m)", "depth (m)"), points.extent, strict=True))
            if points.valid_share is None:
                values["number of points"] = float(points.count)
            else:
                values |= {"share of points": points.valid_share, "distance (m)": points.median[2]}
        return values or None

    def judge(self, measured: Sequence[Measured[Mapping[str, float]]]) -> Verdict:
        """A finding for each sample far from the rest, naming what differs."""
        if len(measured) < FEWEST:
            return Verdict()
        far: dict[str, list[str]] = {}
        largest = 0.0
        for name, floors in _FLOORS.items():
            having = [row for row in measured if name in row.value]
            if len(having) < FEWEST:
                continue
            values = np.array([row.value[name] for row in having])
            found = deviations(values, *floors)
            largest = max(largest, float(np.abs(found).max()))
            for place in np.flatnonzero(np.abs(found) > FARTHEST):
                text = f"{name} {values[place]:.4g} (usual {np.median(values):.4g})"
                far.setdefault(having[place].record.name, []).append(text)
        order = [row.record.name for row in measured if row.record.name in far]
        findings = [
            Finding(
                "warning",
                self.name,
                f"unlike the other good samples: {', '.join(far[name])}.",
                "Look at it (lsfa data show): another part, a failed scan, other light? Then take it out.",
                (name,),
            )
            for name in order
        ]
        return Verdict(findings, {"largest_deviation": round(largest, 2)})


def deviations(values: NDArray[np.float64], absolute: float, share: float) -> NDArray[np.float64]:
    """(values - median) / scale, with the scale of a normal distribution of this median absolute deviation.

    absolute, share: the scale is at least this, and at least this share of the median.
    """
    median = float(np.median(values))
    scale = 1.4826 * float(np.median(np.abs(values - median)))
    scale = max(scale, absolute, share * abs(median), np.finfo(np.float64).tiny)
    return (values - median) / scale
