"""Pictures of raw samples: one in detail, and a montage of many."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lsfa_cli.figures.canvas import GAP, LINE, MARGIN, WIDTH, Canvas, write
from lsfa_cli.samples import BoolArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = 6  # of a montage: 170 pixels each, enough to see a part and a shift
_TRUTH = (0.0, 0.9, 1.0)  # the colour of defects in all pictures
_MARK = (0.85, 0.1, 0.1)
_TILE_GAP = 0.06
_LABEL_WIDTH = 27  # characters under which a tile's label stays in its column

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Look:
    """A sample as it is seen. image: (H, W, 3). depth: (h, w), shaded. mask: of the size of the image, or of the depth.

    Of image and depth one may be None; the mask is outlined on those that have its size.
    """

    image: Picture | None
    depth: Picture | None
    mask: BoolArray | None

    @property
    def pictures(self) -> list[tuple[str, Picture]]:
        """Those that exist, with their names."""
        both = (("image", self.image), ("3D scan, shaded", self.depth))
        return [(name, picture) for name, picture in both if picture is not None]


@dataclass(frozen=True)
class Tile:
    """One sample of a montage. mark: why it is to be looked at, a few words; empty for the others.

    look: None for a sample that cannot be read.
    """

    label: str
    mark: str
    look: Look | None


def sample_picture(path: Path, title: str, rows: Sequence[tuple[str, Look, Sequence[str]]]) -> None:
    """Write a PNG of one sample: for each row its heading, image and scan with the defect outlined, and lines of text.

    rows: (heading, look, lines), such as the raw sample and the preprocessed one. ValueError without any.
    """
    if not rows:
        raise ValueError("a picture needs at least one row")
    side = (WIDTH - 2 * MARGIN - GAP) / 2
    plans = [(heading, look, _wrapped(lines)) for heading, look, lines in rows]
    tops = [MARGIN + LINE + GAP / 2]
    for _, look, lines in plans:
        tops.append(tops[-1] + LINE + _height(look, side) + LINE * (len(lines) + 1) + GAP)

    def draw(canvas: Canvas) -> None:
        canvas.text(MARGIN, MARGIN, title, weight="bold")
        for (heading, look, lines), top in zip(plans, tops, strict=False):
            for place, (name, picture) in enumerate(look.pictures):
                left = MARGIN + place * (side + GAP)
                canvas.text(left, top, f"{heading}: {name}")
                height = side * picture.shape[0] / picture.shape[1]
                show_picture(canvas.axes(left, top + LINE, side, height), picture, look.mask)
            below = top + LINE + _height(look, side) + GAP / 2
            for place, line in enumerate(lines):
                canvas.text(MARGIN, below + place * LINE, line, color="0.25")

    write(path, tops[-1] + MARGIN, draw)


def montage(path: Path, sections: Sequence[tuple[str, Sequence[Tile]]]) -> None:
    """Write a PNG with a grid of samples for each section (title, tiles); marked tiles are framed and say why.

    ValueError without any tile.
    """
    if not any(tiles for _, tiles in sections):
        raise ValueError("a montage needs at least one sample")
    side = (WIDTH - 2 * MARGIN - (COLUMNS - 1) * _TILE_GAP) / COLUMNS
    places: list[tuple[float, float, float, Tile]] = []  # left, top and height of the pictures
    titles: list[tuple[float, str]] = []
    top = MARGIN
    for title, tiles in sections:
        titles.append((top, title))
        top += LINE
        for start in range(0, len(tiles), COLUMNS):
            row = tiles[start : start + COLUMNS]
            height = max(_stacked(tile.look, side) for tile in row)
            lefts = (MARGIN + place * (side + _TILE_GAP) for place in range(COLUMNS))
            top += LINE * (2 if any(tile.mark for tile in row) else 1)
            places += [(left, top, height, tile) for left, tile in zip(lefts, row, strict=False)]
            top += height + GAP
        top += GAP

    def draw(canvas: Canvas) -> None:
        for above, title in titles:
            canvas.text(MARGIN, above, title, weight="bold")
        for left, above, height, tile in places:
            _draw_tile(canvas, left, above, side, height, tile)

    write(path, top, draw)


def _draw_tile(canvas: Canvas, left: float, top: float, side: float, height: float, tile: Tile) -> None:
    if tile.mark:
        canvas.text(left, top - 1.8 * LINE, _short(tile.label), fontsize=7.5, color="0.25")
        canvas.text(left, top - LINE, _short(tile.mark), fontsize=7.5, color=_MARK, weight="bold")
    else:
        canvas.text(left, top - LINE, _short(tile.label), fontsize=7.5, color="0.25")
    if tile.look is None:
        axes = canvas.axes(left, top, side, height)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.text(0.5, 0.5, "cannot be read", ha="center", va="center", color=_MARK, transform=axes.transAxes)
        _frame(axes)
        return
    for _, picture in tile.look.pictures:
        tall = side * picture.shape[0] / picture.shape[1]
        axes = canvas.axes(left, top, side, tall)
        show_picture(axes, picture, tile.look.mask)
        if tile.mark:
            _frame(axes)
        top += tall


def show_picture(axes: "Axes", picture: Picture, mask: BoolArray | None = None) -> None:
    """A picture that fills its axes, with the outline of the mask where this has its size."""
    axes.imshow(picture, cmap="gray", vmin=0, vmax=255, aspect="auto", interpolation="bilinear")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    if mask is not None and mask.shape == picture.shape[:2] and mask.any():
        rows, columns = (np.arange(-1, size + 1) for size in mask.shape)
        axes.contour(columns, rows, np.pad(mask, 1).astype(np.float64), levels=[0.5], colors=[_TRUTH], linewidths=1.0)
    axes.set_xlim(-0.5, picture.shape[1] - 0.5)
    axes.set_ylim(picture.shape[0] - 0.5, -0.5)


def _frame(axes: "Axes") -> None:
    style: dict[str, Any] = {"visible": True, "color": _MARK, "linewidth": 2.5}
    for spine in axes.spines.values():
        spine.set(**style)


def _height(look: Look, side: float) -> float:
    """Inches of the pictures side by side."""
    return float(max(side * picture.shape[0] / picture.shape[1] for _, picture in look.pictures))


def _stacked(look: Look | None, side: float) -> float:
    """Inches of the pictures above each other."""
    if look is None:
        return side
    return float(sum(side * picture.shape[0] / picture.shape[1] for _, picture in look.pictures))


def _short(text: str) -> str:
    """A label that stays in its column; names differ at their ends."""
    return text if len(text) <= _LABEL_WIDTH else "…" + text[1 - _LABEL_WIDTH :]


def _wrapped(lines: Sequence[str]) -> list[str]:
    return [part for line in lines for part in textwrap.wrap(line, 125)]
