"""The panels of a case: image, shaded scan, ground truth, anomaly map; their colours and the part that they show."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lsfa_cli.figures.canvas import Canvas
from lsfa_cli.samples import BoolArray, FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

UNIT = "calibrated score"
BAR_RIGHT = 0.6  # inches for a colour bar with its numbers
BAR_BELOW = 0.5

_TRUTH = (0.0, 0.9, 1.0)  # unlike any colour of the map, visible on parts and on black
_SHOWN = 0.4  # a score this far up the scale is never cropped away
_MARGIN = 0.06  # around the part, of its longer side
_SMALLEST = 0.25  # side of a crop, of the picture's longer side

Panel = Callable[["Axes"], None]


class Limits(NamedTuple):
    """Scores at the two ends of a colour scale."""

    low: float
    high: float


def map_limits(maps: FloatArray) -> Limits:
    """One scale for maps (n, H, W) to be compared: the median and the 99.9th percentile of all their pixels."""
    low, high = (float(value) for value in np.percentile(maps, [50.0, 99.9]))
    return Limits(low, high if high > low else low + 1.0)


class Box(NamedTuple):
    """A square part of a picture: rows top to bottom, columns left to right, ends excluded."""

    top: int
    bottom: int
    left: int
    right: int


def part_box(present: BoolArray) -> Box:
    """The smallest square that shows all of `present` (H, W) with a margin; all of the picture when nothing is.

    A picture that is not square, or a part that nearly fills it, is not cropped.
    """
    height, width = present.shape
    rows, columns = np.flatnonzero(present.any(axis=1)), np.flatnonzero(present.any(axis=0))
    if height != width or not len(rows):
        return Box(0, height, 0, width)
    longest = max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1
    side = min(height, max(round(longest * (1 + 2 * _MARGIN)), round(height * _SMALLEST)))
    top = int(np.clip((rows[0] + rows[-1] + 1 - side) // 2, 0, height - side))
    left = int(np.clip((columns[0] + columns[-1] + 1 - side) // 2, 0, width - side))
    return Box(top, top + side, left, left + side)


def high_scores(values: FloatArray, limits: Limits) -> BoolArray:
    """Where a map is so high that a picture of it must show it, on the part or not."""
    return np.asarray(values > limits.low + _SHOWN * (limits.high - limits.low))


@dataclass(frozen=True)
class Frame:
    """What all panels of one case share: the image in grey, the ground truth and the part of them that is shown."""

    grey: FloatArray
    mask: BoolArray
    box: Box

    @property
    def aspect(self) -> float:
        """Height over width of the panels."""
        height, width = self.mask.shape
        return float(height / width)

    def picture(self, picture: NDArray[np.uint8]) -> Panel:
        """An image (H, W, 3), or one in grey (H, W)."""
        return lambda axes: self._show(axes, picture)

    def truth(self) -> Panel:
        """The image in grey, the defect tinted and outlined."""

        def draw(axes: "Axes") -> None:
            share = np.where(self.mask, 0.3, 0.0)[..., None]
            self._show(axes, (1 - share) * self.grey[..., None] + share * np.array(_TRUTH))
            self._outline(axes, 1.3)

        return draw

    def overlay(self, values: FloatArray, limits: Limits) -> Panel:
        """The map over the image in grey: low scores let the image through, high ones cover it. Truth outlined."""

        def draw(axes: "Axes") -> None:
            share = np.clip((values - limits.low) / (limits.high - limits.low), 0.0, 1.0)
            self._show(axes, _coloured(share, 0.6 * self.grey))
            self._outline(axes, 1.0)

        return draw

    def _show(self, axes: "Axes", picture: NDArray[np.generic]) -> None:
        highest = 255 if picture.dtype == np.uint8 else 1.0
        axes.imshow(picture, cmap="gray", vmin=0, vmax=highest, aspect="auto", interpolation="bilinear")
        axes.set_xlim(self.box.left - 0.5, self.box.right - 0.5)
        axes.set_ylim(self.box.bottom - 0.5, self.box.top - 0.5)
        axes.set_axis_off()

    def _outline(self, axes: "Axes", width: float) -> None:
        """The border between the pixels of the defect and the others, also along the edge of the picture."""
        if self.mask.any():
            padded = np.pad(self.mask, 1).astype(np.float64)
            rows, columns = (np.arange(-1, size + 1) for size in self.mask.shape)
            axes.contour(columns, rows, padded, levels=[0.5], colors=[_TRUTH], linewidths=width)


def luminance(image: NDArray[np.uint8]) -> FloatArray:
    """The image (H, W, 3) in grey, 0 to 1 (ITU-R BT.601), stretched so that its brightest part is bright."""
    grey: FloatArray = image.astype(np.float64) @ np.array([0.299, 0.587, 0.114]) / 255.0
    stretched: FloatArray = np.clip(grey * (0.85 / max(float(np.percentile(grey, 99.5)), 0.4)), 0.0, 1.0)
    return stretched


def _coloured(share: FloatArray, grey: FloatArray) -> FloatArray:
    """Colours (..., 3) of scores at `share` of the scale over a grey picture, more opaque the higher the score."""
    import matplotlib

    colours = matplotlib.colormaps["inferno"](share)[..., :3]
    opacity = np.clip(0.15 + 1.4 * share, 0.0, 0.95)[..., None]
    return np.asarray(opacity * colours + (1.0 - opacity) * grey[..., None])


def _ramp() -> FloatArray:
    """The colours of the scale from low to high (256, 3), as they are over black."""
    return _coloured(np.linspace(0.0, 1.0, 256), np.zeros(256))


def bar_right(canvas: Canvas, left: float, top: float, height: float, limits: Limits, unit: str) -> None:
    """A colour bar beside a panel whose right edge is `left`; takes `BAR_RIGHT` inches."""
    axes = canvas.axes(left + 0.07, top, 0.12, height)
    axes.imshow(_ramp()[::-1, None], aspect="auto", extent=(0, 1, *limits))
    axes.set_xticks([])
    axes.yaxis.tick_right()
    axes.yaxis.set_label_position("right")
    axes.set_ylabel(unit, labelpad=2)
    ticks, names = _ticks(limits)
    axes.set_yticks(ticks, names)


def bar_below(canvas: Canvas, left: float, top: float, width: float, limits: Limits, unit: str) -> None:
    """A colour bar below a panel whose lower edge is `top`; takes `BAR_BELOW` inches."""
    axes = canvas.axes(left, top + 0.06, width, 0.1)
    axes.imshow(_ramp()[None], aspect="auto", extent=(*limits, 0, 1))
    axes.set_yticks([])
    axes.set_xlabel(unit, labelpad=1)
    ticks, names = _ticks(limits)
    axes.set_xticks(ticks, names)
    for tick, label in zip(ticks, axes.get_xticklabels(), strict=True):
        share = (tick - limits.low) / (limits.high - limits.low)
        # A number at an end stays above its own bar, so that it cannot meet that of the next bar.
        label.set_horizontalalignment("left" if share < 0.04 else "right" if share > 0.96 else "center")


def _ticks(limits: Limits) -> tuple[list[float], list[str]]:
    """Round scores within the limits, and how they are written."""
    from matplotlib.ticker import MaxNLocator

    locator = MaxNLocator(5, steps=[1, 2, 2.5, 5, 10])
    ticks = [float(tick) for tick in locator.tick_values(*limits) if limits.low <= tick <= limits.high]
    return ticks, [f"{tick:.6g}" for tick in ticks]
