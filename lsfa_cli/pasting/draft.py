"""The copy of a sample that a defect changes, and what the physics of surface, light and sensor does to it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lsfa_cli.pasting.relief import normals, smoothed
from lsfa_cli.pasting.scene import Scene, shade
from lsfa_cli.pasting.shapes import Field, Window
from lsfa_cli.samples import BoolArray, FloatArray

_CONTRAST = (0.3, 2.0)  # how much darker and brighter a changed slope may be
_TORN = 4.0  # neighbouring points farther apart than this many pitches are seen by one of two views alone
_LOSS = 0.55  # share of such points that are lost
_GRAZING = 0.14  # cosine between ray and normal under which no light comes back


@dataclass(frozen=True)
class Draft:
    """rgb (H, W, 3), xyz (H, W, 3) and valid (H, W) as in `Sample`, to be changed in place; mask: (H, W), where."""

    rgb: NDArray[np.uint8] | None
    xyz: NDArray[np.float32] | None
    valid: BoolArray | None
    mask: BoolArray


def draft_of(scene: Scene) -> Draft:
    """A copy of the scene's sample, nothing touched."""
    sample = scene.sample
    copies = (None if array is None else array.copy() for array in (sample.rgb, sample.xyz, sample.valid))
    rgb, xyz, valid = copies
    return Draft(rgb, xyz, valid, np.zeros(scene.part.shape, dtype=bool))  # type: ignore[arg-type]  # in this order


def paint(
    draft: Draft, window: Window, inside: BoolArray, colours: FloatArray, weight: FloatArray | None = None
) -> None:
    """Change the image where `inside` (h, w) of the window to `colours` (h, w, 3) or (3,), mixed in by `weight`.

    Without an image nothing is done, here and in `scale`.
    """
    if draft.rgb is None:
        return
    draft.mask[window] |= inside
    old = draft.rgb[window].astype(np.float32)
    share = np.float32(1) if weight is None else weight[..., None]
    mixed = np.clip(np.rint(old + share * (colours - old)), 0, 255).astype(np.uint8)
    draft.rgb[window][inside] = mixed[inside]


def scale(draft: Draft, window: Window, inside: BoolArray, factor: FloatArray) -> None:
    """Multiply the image where `inside` (h, w) of the window by `factor` (h, w) or (h, w, 3)."""
    if draft.rgb is None:
        return
    by = factor[..., None] if factor.ndim == 2 else factor
    paint(draft, window, inside, draft.rgb[window] * by)


def raise_surface(
    scene: Scene, draft: Draft, window: Window, height: Field, generator: np.random.Generator, *, lit: bool = True
) -> None:
    """Move the part's points towards the camera by `height` (h, w) metres, away where negative, 0 outside the defect.

    Points move along their viewing rays, and not through the plane behind the part. The image brightens and darkens
    with the slopes (unless not `lit`), and a sensor that loses points loses those on torn or grazing slopes.
    """
    inside = (height != 0) & scene.part[window]
    draft.mask[window] |= inside
    surface, rays = _surface(scene, window)
    before = normals(surface, scene.axis)
    after = normals(surface - rays * height[..., None], scene.axis)
    if lit:
        contrast = np.clip(shade(after, scene.light) / shade(before, scene.light), *_CONTRAST)
        scale(draft, window, inside, contrast)
    if draft.xyz is None or draft.valid is None or scene.points is None:
        return
    moved = inside & scene.points[window] & draft.valid[window]
    _move(scene, draft, window, height, moved)
    if scene.gaps:
        facing = -np.einsum("hwi,hwi->hw", after, np.broadcast_to(rays, after.shape))
        was = -np.einsum("hwi,hwi->hw", before, np.broadcast_to(rays, before.shape))
        lost = (facing < _GRAZING) & (was >= _GRAZING)
        lost |= _jump(height) > _TORN * scene.pitch
        lose_points(draft, window, moved & lost, generator, _LOSS)


def lose_points(
    draft: Draft, window: Window, where: BoolArray, generator: np.random.Generator, share: float = 1.0
) -> None:
    """Make points invalid where `where` (h, w) of the window, or a share of them, and 0 as readers leave them."""
    draft.mask[window] |= where
    chance = generator.random(where.shape)
    if draft.xyz is None or draft.valid is None:
        return
    gone = where & (chance < share)
    draft.valid[window][gone] = False
    draft.xyz[window][gone] = 0


def _move(scene: Scene, draft: Draft, window: Window, height: Field, moved: BoolArray) -> None:
    if draft.xyz is None or scene.camera is None:
        raise ValueError("points move in a scan alone")
    points = draft.xyz[window][moved].astype(np.float64)
    rays = scene.camera.away(points)
    towards = height[moved].astype(np.float64)
    if scene.plane is not None:
        normal, offset = scene.plane
        rate = np.einsum("ij,j->i", rays, normal)
        behind = -(np.einsum("ij,j->i", points, normal) + offset) / np.where(rate == 0, np.inf, rate)
        towards = np.maximum(towards, np.minimum(-np.maximum(behind, 0.0), 0.0))
    draft.xyz[window][moved] = points - rays * towards[:, None]


def _surface(scene: Scene, window: Window) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The smooth surface (h, w, 3) of the part in a window, and its viewing rays; a flat one without a scan."""
    sample = scene.sample
    if sample.xyz is None or scene.points is None or scene.camera is None:
        rows, columns = np.mgrid[window].astype(np.float32) * np.float32(scene.pitch)
        flat = np.stack([columns, rows, np.zeros_like(rows)], axis=-1)
        return flat, np.asarray(scene.axis, dtype=np.float32)
    surface = smoothed(sample.xyz[window], scene.points[window])
    return surface, scene.camera.away(surface).astype(np.float32)


def _jump(height: Field) -> Field:
    """The largest difference (h, w) to a neighbour."""
    return np.asarray(ndimage.maximum_filter(height, 3) - ndimage.minimum_filter(height, 3), dtype=np.float32)
