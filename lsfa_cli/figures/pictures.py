"""One case with all its anomaly maps, and a sheet of several cases."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lsfa_cli.figures.canvas import GAP, LINE, MARGIN, WIDTH, Canvas, write
from lsfa_cli.figures.panels import (
    BAR_BELOW,
    BAR_RIGHT,
    UNIT,
    Frame,
    Limits,
    bar_below,
    bar_right,
    high_scores,
    luminance,
    part_box,
)
from lsfa_cli.samples import BoolArray, FloatArray

MAPS_A_ROW = 3
IMAGE, DEPTH, TRUTH, MAP = "image", "3D scan, shaded", "ground truth", "anomaly map"


@dataclass(frozen=True)
class SheetRow:
    """One part of a contact sheet: image (H, W, 3) uint8, depth (H, W) uint8, mask and score_map (H, W).

    Of image and depth one may be None.
    """

    label: str
    image: NDArray[np.uint8] | None
    depth: NDArray[np.uint8] | None
    mask: BoolArray
    score_map: FloatArray


def case_picture(
    path: Path,
    image: NDArray[np.uint8] | None,
    depth: NDArray[np.uint8] | None,
    mask: BoolArray,
    maps: Mapping[str, FloatArray],
    *,
    title: str,
    subtitle: str = "",
    limits: Mapping[str, Limits],
    unit: str = UNIT,
    empty_mask: str = "no defect",
) -> None:
    """Write a PNG of one case: image, shaded depth, ground truth, and each anomaly map over the image, three a row.

    image: (H, W, 3) uint8. depth: (H, W) from `shade_depth`. One of them may be None. mask: (H, W).
    maps: name -> (H, W), drawn in the order given. limits: name -> the colour scale of that map; the same for all
    cases makes their pictures comparable. empty_mask: what it means where the mask holds no defect.
    Empty background is cropped away, unless a map is high there.
    """
    if not maps:
        raise ValueError("a case needs at least one anomaly map")
    frame = _frame(image, depth, mask, maps, limits)
    heading = [(line, {"weight": "bold"}) for line in textwrap.wrap(title, 95)]
    heading += [(line, {"color": "0.35"}) for line in textwrap.wrap(subtitle, 110)]
    top = MARGIN + len(heading) * LINE + GAP / 2
    truth = TRUTH if mask.any() else f"{TRUTH}: {empty_mask}"
    raw = [(name, picture) for name, picture in ((IMAGE, image), (DEPTH, depth)) if picture is not None]
    panels = [(name, frame.picture(picture)) for name, picture in raw]
    panels.append((truth, frame.truth()))
    columns = len(panels) + 1 if len(maps) == 1 else min(len(maps), MAPS_A_ROW)
    side = (WIDTH - 2 * MARGIN - (columns - 1) * GAP - (BAR_RIGHT if len(maps) == 1 else 0)) / columns
    first_side = side if len(maps) in (1, 3) else (WIDTH - 2 * MARGIN - 2 * GAP) / 3
    aspect = frame.aspect
    second = top if len(maps) == 1 else top + LINE + first_side * aspect + GAP
    row_height = LINE + side * aspect + (MARGIN if len(maps) == 1 else BAR_BELOW)
    height = second + row_height * -(-len(maps) // columns)

    def draw(canvas: Canvas) -> None:
        for place, (line, style) in enumerate(heading):
            canvas.text(MARGIN, MARGIN + place * LINE, line, **style)
        for place, (name, panel) in enumerate(panels):
            left = MARGIN + place * (first_side + GAP)
            canvas.text(left, top, name)
            panel(canvas.axes(left, top + LINE, first_side, first_side * aspect))
        for place, (name, values) in enumerate(maps.items(), start=len(panels) if len(maps) == 1 else 0):
            left = MARGIN + place % columns * (side + GAP)
            above = second + place // columns * row_height
            canvas.text(left, above, f"{MAP}, {name}")
            frame.overlay(values, limits[name])(canvas.axes(left, above + LINE, side, side * aspect))
            if len(maps) == 1:
                bar_right(canvas, left + side, above + LINE, side * aspect, limits[name], unit)
            else:
                bar_below(canvas, left, above + LINE + side * aspect, side, limits[name], unit)

    write(path, height, draw)


def contact_sheet(path: Path, rows: Sequence[SheetRow], *, limits: Limits, unit: str = UNIT) -> None:
    """Write a PNG with one row a part: image, shaded depth, ground truth, anomaly map, all on one colour scale.

    An image or depth that no part has takes no column.
    """
    if not rows:
        raise ValueError("a contact sheet needs at least one row")
    frames = [_frame(row.image, row.depth, row.mask, {MAP: row.score_map}, {MAP: limits}) for row in rows]
    has_image, has_depth = any(row.image is not None for row in rows), any(row.depth is not None for row in rows)
    names = [IMAGE] * has_image + [DEPTH] * has_depth + [TRUTH, MAP]
    side = (WIDTH - 2 * MARGIN - (len(names) - 1) * GAP - BAR_RIGHT) / len(names)
    lefts = [MARGIN + column * (side + GAP) for column in range(len(names))]
    tops = [MARGIN + LINE]
    for row in rows:
        tops.append(tops[-1] + LINE + side * row.mask.shape[0] / row.mask.shape[1] + GAP / 2)
    end = tops[-1] - GAP / 2

    def draw(canvas: Canvas) -> None:
        for left, name in zip(lefts, names, strict=True):
            canvas.text(left, MARGIN, name, weight="bold")
        for row, frame, top in zip(rows, frames, tops, strict=False):
            canvas.text(MARGIN, top, row.label, color="0.25")
            pictures = [row.image] * has_image + [row.depth] * has_depth
            panels = [None if picture is None else frame.picture(picture) for picture in pictures]
            panels += [frame.truth(), frame.overlay(row.score_map, limits)]
            for left, panel in zip(lefts, panels, strict=True):
                if panel is not None:
                    panel(canvas.axes(left, top + LINE, side, side * frame.aspect))
        bar_right(canvas, lefts[-1] + side, tops[0] + LINE, end - tops[0] - LINE, limits, unit)

    write(path, end + MARGIN, draw)


def _frame(
    image: NDArray[np.uint8] | None,
    depth: NDArray[np.uint8] | None,
    mask: BoolArray,
    maps: Mapping[str, FloatArray],
    limits: Mapping[str, Limits],
) -> Frame:
    """What the panels share; refuses arrays of unequal size. The maps lie over the scan where there is no image."""
    behind = depth[..., None].repeat(3, axis=2) if image is None and depth is not None else image
    if behind is None:
        raise ValueError("a picture needs an image or a scan")
    others: dict[str, NDArray[Any]] = {"mask": mask, **maps} | ({} if depth is None else {"depth": depth})
    for name, values in others.items():
        if values.shape != behind.shape[:2]:
            raise ValueError(f"{name} is {values.shape}, the image {behind.shape[:2]}")
    present = np.ones_like(mask) if depth is None else (depth > 0) | mask
    for name, values in maps.items():
        present |= high_scores(values, limits[name])
    return Frame(luminance(behind), mask, part_box(present))
