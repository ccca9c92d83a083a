"""How raw and preprocessed samples look: image, shaded scan, mask, and their facts in words."""

import numpy as np
from numpy.typing import NDArray

from lsfa_cli.checks.base import View
from lsfa_cli.checks.facts import Facts, PointFacts
from lsfa_cli.figures.raw_samples import Look
from lsfa_cli.figures.shading import render_cloud, shade_depth
from lsfa_cli.samples import BoolArray, PreparedSample, Sample

CLOUD_SIZE = 512
"""Side of the picture of an unorganized cloud, pixels."""


def look_of(view: View, longest: int | None = None) -> Look:
    """What a raw sample shows. longest: every n-th pixel is taken, so that no side is longer; None takes all."""
    if view.cloud is not None:
        picture, shown = render_cloud(view.cloud.points, min(longest or CLOUD_SIZE, CLOUD_SIZE))
        defect = np.where(shown >= 0, view.cloud.defect[shown], False)
        return Look(None, picture, defect)
    if view.sample is None:
        raise ValueError(f"{view.record.name} was not read")
    return _raster_look(view.sample, longest)


def prepared_look(sample: PreparedSample) -> Look:
    """What a preprocessed sample shows."""
    image = None if sample.rgb is None else np.rint(sample.rgb.transpose(1, 2, 0) * 255).astype(np.uint8)
    depth = None if sample.xyz is None or sample.valid is None else shade_depth(sample.xyz, sample.valid)
    return Look(image, depth, sample.mask)


def _raster_look(sample: Sample, longest: int | None) -> Look:
    shape = sample.rgb.shape if sample.rgb is not None else sample.valid.shape if sample.valid is not None else (1,)
    step = 1 if longest is None else max(1, -(-max(shape[:2]) // longest))
    depth = None
    if sample.xyz is not None and sample.valid is not None:
        xyz = sample.xyz[::step, ::step].transpose(2, 0, 1)
        depth = shade_depth(xyz, sample.valid[::step, ::step])
    image = None if sample.rgb is None else sample.rgb[::step, ::step]
    return Look(image, depth, None if sample.mask is None else _thinned(sample.mask, step))


def _thinned(mask: BoolArray, step: int) -> BoolArray:
    """Every n-th pixel of a mask; a pixel counts when any of its block does, so that no defect is lost."""
    height, width = mask.shape
    padded = np.pad(mask, ((0, -height % step), (0, -width % step)))
    blocks = padded.reshape(padded.shape[0] // step, step, padded.shape[1] // step, step)
    return np.asarray(blocks.any(axis=(1, 3)))


def fact_lines(facts: Facts, mask: NDArray[np.bool_] | None) -> list[str]:
    """Size, ranges and shares in words. mask: of pixels or of points."""
    lines = []
    if facts.size is not None:
        lines.append(f"size: {facts.size[1]} x {facts.size[0]} pixels")
    if facts.image is not None:
        image = facts.image
        mean = ", ".join(f"{value:.0f}" for value in image.mean)
        lines.append(f"RGB: {image.low:.0f} to {image.high:.0f} of 255 (96 % of values), mean {mean}")
    if facts.points is not None:
        points = facts.points
        share = "" if points.valid_share is None else f", {points.valid_share:.1%} of pixels"
        lines.append(f"points: {points.count:,}{share}")
        ranges = [
            f"{axis} {low:.4f} to {high:.4f}" for axis, low, high in zip("xyz", points.low, points.high, strict=True)
        ]
        lines.append(f"metres (96 % of points): {', '.join(ranges)}; {extent_text(points)}")
    lines.append(_mask_line(mask, "pixels" if facts.size is not None else "points"))
    return lines


def extent_text(points: PointFacts) -> str:
    """The sides of a cloud in words."""
    return f"extent {' x '.join(f'{1000 * side:.4g}' for side in points.extent)} mm"


def _mask_line(mask: NDArray[np.bool_] | None, thing: str) -> str:
    if mask is None:
        return "defect: nobody has marked it"
    return f"defect: {int(mask.sum()):,} {thing}, {mask.mean():.2%}" if mask.any() else "defect: none marked"
