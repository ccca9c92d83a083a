"""Pictures of pasted defects: a row for each, before and after."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lsfa_cli.figures.canvas import GAP, LINE, MARGIN, WIDTH, Canvas, write
from lsfa_cli.figures.raw_samples import Look, show_picture
from lsfa_cli.samples import BoolArray

_BETWEEN = 0.05  # inches
_MASK_GREY = 90  # of the part's pixels in the picture of the mask


@dataclass(frozen=True)
class PastedRow:
    """One pasted defect. label: a line of text. after: with its mask. part: (h, w), the part's pixels."""

    label: str
    before: Look
    after: Look
    part: BoolArray

    def pictures(self) -> list[tuple[str, NDArray[np.uint8]]]:
        """Headings and pictures: image before and after, scan before and after, mask. No outline hides the defect."""
        found: list[tuple[str, NDArray[np.uint8]]] = []
        for name, old, new in (
            ("image", self.before.image, self.after.image),
            ("3D scan, shaded", self.before.depth, self.after.depth),
        ):
            if old is not None and new is not None:
                found += [(name, old), ("with the defect", new)]
        shown = np.where(self.part, _MASK_GREY, 0)
        if self.after.mask is not None:
            shown = np.where(self.after.mask, 255, shown)
        return [*found, ("mask", shown.astype(np.uint8))]


def pasted_picture(path: Path, title: str, rows: Sequence[PastedRow]) -> None:
    """Write a PNG with a row for each pasted defect, under its label. ValueError without any."""
    if not rows:
        raise ValueError("a picture needs at least one row")
    pictures = [row.pictures() for row in rows]
    columns = max(len(each) for each in pictures)
    side = (WIDTH - 2 * MARGIN - (columns - 1) * _BETWEEN) / columns
    heights = [max(side * picture.shape[0] / picture.shape[1] for _, picture in each) for each in pictures]
    tops = [MARGIN + 2 * LINE + GAP / 2]
    for height in heights:
        tops.append(tops[-1] + LINE + height + GAP)

    def draw(canvas: Canvas) -> None:
        canvas.text(MARGIN, MARGIN, title, weight="bold")
        for place, (heading, _) in enumerate(pictures[0]):
            canvas.text(MARGIN + place * (side + _BETWEEN), MARGIN + LINE, heading, color="0.25", fontsize=8.0)
        for row, each, top in zip(rows, pictures, tops, strict=False):
            canvas.text(MARGIN, top, row.label)
            for place, (_, picture) in enumerate(each):
                height = side * picture.shape[0] / picture.shape[1]
                left = MARGIN + place * (side + _BETWEEN)
                show_picture(canvas.axes(left, top + LINE, side, height), picture)

    write(path, tops[-1] + MARGIN, draw)
