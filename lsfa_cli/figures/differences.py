"""Differences between variants with their intervals, as a forest plot."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lsfa_cli.figures.canvas import GAP, LINE, MARGIN, WIDTH, Canvas, write

_COLOURS = {"rgb": "#e4572e", "xyz": "#3b528b", "rgb+xyz": "#333333"}
_NAMES = 1.9  # inches for the names of the variants
_ROW = 0.17  # inches of one line
_SPACE = 0.16  # between variants
_AXIS = 0.35  # below, for the numbers


@dataclass(frozen=True)
class Difference:
    """One line: a variant's difference in one metric and modality, with the ends of its interval."""

    metric: str
    modality: str
    variant: str
    value: float
    low: float
    high: float


def differences_picture(path: Path, differences: Sequence[Difference], *, title: str) -> None:
    """Write a PNG with one panel a metric: variants below each other, a line and a dot for each modality."""
    if not differences:
        raise ValueError("there are no differences to draw")
    metrics = list(dict.fromkeys(row.metric for row in differences))
    variants = list(dict.fromkeys(row.variant for row in differences))
    modalities = list(dict.fromkeys(row.modality for row in differences))
    step = len(modalities) * _ROW + _SPACE
    tall = len(variants) * step
    top = MARGIN + 3 * LINE + GAP
    wide = (WIDTH - 2 * MARGIN - _NAMES - (len(metrics) - 1) * 2 * GAP) / len(metrics)

    def draw(canvas: Canvas) -> None:
        canvas.text(MARGIN, MARGIN, title, weight="bold")
        for place, modality in enumerate(modalities):
            canvas.text(MARGIN + place * 0.7, MARGIN + LINE, modality, color=_COLOURS[modality])
        for place, variant in enumerate(variants):
            canvas.text(MARGIN, top + (place + 0.5) * step - LINE / 2, variant)
        for column, metric in enumerate(metrics):
            left = MARGIN + _NAMES + column * (wide + 2 * GAP)
            canvas.text(left, top - LINE - GAP / 2, f"difference in {metric}")
            axes = canvas.axes(left, top, wide, tall)
            for row in differences:
                if row.metric == metric:
                    y = variants.index(row.variant) * step + _SPACE / 2 + (modalities.index(row.modality) + 0.5) * _ROW
                    colour = _COLOURS[row.modality]
                    axes.plot([row.low, row.high], [y, y], color=colour, linewidth=1.2)
                    axes.plot([row.value], [y], color=colour, marker="o", markersize=3.5)
            axes.axvline(0.0, color="0.4", linewidth=0.8)
            axes.set_ylim(tall, 0)
            axes.set_yticks([])
            axes.spines[["top", "right", "left"]].set_visible(False)
            axes.locator_params(axis="x", nbins=5)

    write(path, top + tall + _AXIS, draw)
