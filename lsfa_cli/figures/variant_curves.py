"""The curves of training of several variants: one small plot a quantity and modality, one line a variant."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lsfa_cli.figures.canvas import GAP, LINE, MARGIN, WIDTH, Canvas, write
from lsfa_cli.figures.curves import STEP

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# What is drawn, as far as it was measured; totals of terms and what the optimiser did are left out.
_LOSSES = ("L_LA", "L_GA", "L_LC_rgb", "L_LC_xyz", "L_GC_rgb", "L_GC_xyz")
_SPREAD = tuple(f"{name}_{m}" for name in ("effective_rank", "neighbor_distance") for m in ("rgb", "xyz"))
QUANTITIES = _LOSSES + _SPREAD
_COLUMNS = 2
_HEIGHT = 1.45  # inches of one plot
_AXIS = 0.45  # inches for the numbers beside and below it
_KEY = 3  # variants a line of the key
_STYLES = ("-", "--", ":")  # one after the other where colours repeat

Curves = Mapping[str, ArrayLike]


def variant_curves_picture(path: Path, variants: Mapping[str, Sequence[Curves]], *, title: str) -> None:
    """Write a PNG with the mean curve of each variant, and a band from its lowest to its highest repetition.

    variants: name -> the curves of each repetition, by name: (T,), NaN where not measured; "step" holds the steps.
    Raises ValueError when there is no curve to draw.
    """
    quantities = [name for name in QUANTITIES if any(name in curves for all_ in variants.values() for curves in all_)]
    if not quantities:
        raise ValueError("there are no curves to draw")
    drawn = {
        name: found for name, found in variants.items() if any(q in curves for q in quantities for curves in found)
    }
    cell = (WIDTH - 2 * MARGIN) / _COLUMNS
    top = MARGIN + (1 + math.ceil(len(drawn) / _KEY)) * LINE + GAP
    rows = math.ceil(len(quantities) / _COLUMNS)

    def draw(canvas: Canvas) -> None:
        canvas.text(MARGIN, MARGIN, title, weight="bold")
        for place, name in enumerate(drawn):
            row, column = divmod(place, _KEY)
            left, upper = MARGIN + column * (WIDTH - 2 * MARGIN) / _KEY, MARGIN + (row + 1) * LINE
            sample = canvas.axes(left, upper + 0.25 * LINE, 0.3, 0.5 * LINE)
            sample.plot([0, 1], [0, 0], **_style(place))
            sample.set_axis_off()
            canvas.text(left + 0.38, upper, name)
        for place, quantity in enumerate(quantities):
            row, column = divmod(place, _COLUMNS)
            left, upper = MARGIN + column * cell + _AXIS, top + row * (LINE + _HEIGHT + _AXIS)
            canvas.text(left, upper, quantity.replace("_", " ") if quantity.islower() else quantity)
            axes = canvas.axes(left, upper + LINE, cell - _AXIS - 2 * GAP, _HEIGHT)
            for number, found in enumerate(drawn.values()):
                _plot(axes, [curves for curves in found if quantity in curves], quantity, number)
            axes.spines[["top", "right"]].set_visible(False)
            axes.locator_params(nbins=4)
            axes.margins(x=0.02, y=0.12)
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
            axes.set_xlabel(STEP, labelpad=1)

    write(path, top + rows * (LINE + _HEIGHT + _AXIS), draw)


def _style(place: int) -> dict[str, Any]:
    return {"color": f"C{place % 10}", "linestyle": _STYLES[place // 10 % len(_STYLES)], "linewidth": 1.2}


def _plot(axes: "Axes", repetitions: Sequence[Curves], quantity: str, place: int) -> None:
    """The mean of the repetitions at every step at which one of them was measured, and their range."""
    points: dict[float, list[float]] = {}
    for curves in repetitions:
        values = np.asarray(curves[quantity], dtype=np.float64)
        for step, value in zip(_steps(curves, len(values)), values, strict=True):
            if math.isfinite(value):
                points.setdefault(float(step), []).append(float(value))
    if not points:
        return
    steps = sorted(points)
    style = _style(place)
    # An untrained variant has one point, which no line shows.
    marker = "o" if len(steps) == 1 else ""
    axes.plot(steps, [np.mean(points[step]) for step in steps], marker=marker, markersize=3, **style)
    low, high = ([function(points[step]) for step in steps] for function in (min, max))
    axes.fill_between(steps, low, high, color=style["color"], alpha=0.15, linewidth=0)


def _steps(curves: Curves, count: int) -> NDArray[np.float64]:
    return np.asarray(curves.get(STEP, np.arange(count)), dtype=np.float64)
