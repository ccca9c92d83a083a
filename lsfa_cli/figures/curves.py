"""The curves of training as small plots."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lsfa_cli.figures.canvas import GAP, LINE, MARGIN, WIDTH, Canvas, write
from lsfa_cli.samples import MODALITIES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STEP = "step"
_COLOURS = {"rgb": "#e4572e", "xyz": "#3b528b", "": "#333333"}
_COLUMNS = 3
_HEIGHT = 1.45  # inches of one plot
_AXIS = 0.45  # inches for the numbers beside and below it


def curves_picture(
    path: Path, curves: Mapping[str, ArrayLike], *, title: str = "", stopped_at: int | None = None
) -> None:
    """Write a PNG of training curves, one small plot a quantity.

    curves: name -> (T,), NaN where not measured; "step" holds the steps, otherwise they count from 0. Names that differ
    in a final "_rgb" or "_xyz" alone share a plot. stopped_at: a step to mark by a line, as where training was cut
    short.
    """
    values = {name: np.asarray(curve, dtype=np.float64) for name, curve in curves.items()}
    steps = values.pop(STEP, None)
    groups = _grouped(values)
    if not groups:
        raise ValueError("there are no curves to draw")
    rows = math.ceil(len(groups) / _COLUMNS)
    cell = (WIDTH - 2 * MARGIN) / _COLUMNS
    top = MARGIN + (LINE + GAP / 2 if title else 0.0)

    def draw(canvas: Canvas) -> None:
        if title:
            canvas.text(MARGIN, MARGIN, title, weight="bold")
        for place, (quantity, lines) in enumerate(groups.items()):
            row, column = divmod(place, _COLUMNS)
            left, upper = MARGIN + column * cell + _AXIS, top + row * (LINE + _HEIGHT + _AXIS)
            canvas.text(left, upper, quantity.replace("_", " ") if quantity.islower() else quantity)
            axes = canvas.axes(left, upper + LINE, cell - _AXIS - 2 * GAP, _HEIGHT)
            _plot(axes, lines, steps)
            if stopped_at is not None:
                axes.axvline(stopped_at, color="0.4", linewidth=0.8, linestyle="--")
            axes.set_xlabel(STEP, labelpad=1)

    write(path, top + rows * (LINE + _HEIGHT + _AXIS), draw)


def _grouped(curves: Mapping[str, NDArray[np.float64]]) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Quantity -> modality, or "" -> values."""
    groups: dict[str, dict[str, NDArray[np.float64]]] = {}
    for name, values in curves.items():
        stem, _, last = name.rpartition("_")
        quantity, line = (stem, last) if stem and last in MODALITIES else (name, "")
        groups.setdefault(quantity, {})[line] = values
    return groups


def _plot(axes: "Axes", lines: Mapping[str, NDArray[np.float64]], steps: NDArray[np.float64] | None) -> None:
    """The lines of one quantity; values measured at some steps alone are joined, each with a dot."""
    for name, values in lines.items():
        measured = np.flatnonzero(np.isfinite(values))
        x = measured if steps is None else steps[measured]
        marker = "o" if len(measured) < len(values) - 1 and len(measured) <= 40 else ""
        axes.plot(x, values[measured], label=name, color=_COLOURS[name], linewidth=1.2, marker=marker, markersize=2.2)
    axes.spines[["top", "right"]].set_visible(False)
    axes.locator_params(nbins=4)
    axes.margins(x=0.02, y=0.12)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    if any(lines):
        axes.legend(fontsize=8, frameon=False, handlelength=1.2, borderpad=0.1, labelspacing=0.2)
