"""Material elsewhere: pieces missing, bent, or out of place."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lsfa_cli.pasting.background import uncover
from lsfa_cli.pasting.draft import Draft, draft_of, lose_points, paint, raise_surface, scale
from lsfa_cli.pasting.kinds.places import drawn_metres, on_part, on_silhouette, pixels
from lsfa_cli.pasting.scene import Scene
from lsfa_cli.pasting.shapes import Field, Shape, Window, irregular_blob, smooth_noise, smoothstep
from lsfa_cli.pasting.warping import warp_content
from lsfa_cli.samples import BoolArray

Scalar = TypeVar("Scalar", bound=np.generic)

_HIGHEST_STEP = 3.0  # mm on a part of the reference size, of pasted relief against its surroundings
_KEPT = 0.93  # of what is left of a part, that must hang together
_FOREIGN_SHARE = 0.02  # of a source, that may lie off the part


def missing_piece(scene: Scene, generator: np.random.Generator) -> Draft | None:
    """A piece bitten from the silhouette, 12 to 32 % of the part's size across: points gone, the background behind."""
    at = on_silhouette(scene, generator)
    if at is None:
        return None
    draft = draft_of(scene)
    radius = pixels(scene, generator, (0.06, 0.16))
    blob = irregular_blob(generator, at, radius, scene.part.shape, 0.22)
    gone = np.zeros(scene.part.shape, dtype=bool)
    gone[blob.window] = (blob.level > 0) & scene.halo[blob.window]
    if not _hangs_together(scene.outline & ~gone) or not uncover(scene, draft, gone, generator):
        return None
    # The broken edge catches the light, or lies in the shade.
    edge = (blob.level <= 0) & (blob.level > -max(0.12, 1.5 / radius)) & scene.part[blob.window]
    rough = smooth_noise(generator, (blob.level.shape[0], blob.level.shape[1]), 0.3 * radius, 2)
    scale(draft, blob.window, edge, np.clip(float(generator.uniform(0.7, 1.35)) + 0.12 * rough, 0.5, 1.6))
    return draft


def _hangs_together(part: BoolArray) -> bool:
    """Whether nearly all of it is one piece: what is cut off would be lost without being marked."""
    pieces, count = ndimage.label(part)
    return count > 0 and bool(np.bincount(pieces.ravel())[1:].max() >= _KEPT * part.sum())


def cut_and_paste(scene: Scene, generator: np.random.Generator) -> Draft | None:
    """Texture and relief from elsewhere on the part, 12 to 30 % of its size across: missing thread, misplaced print."""
    radius = pixels(scene, generator, (0.06, 0.15))
    blob = irregular_blob(generator, on_part(scene, generator, 0.4 * radius), radius, scene.part.shape, 0.2)
    inside = (blob.level > 0) & scene.part[blob.window]
    shift = _shift(scene, generator, blob, inside, 1.3 * radius)
    if shift is None:
        return None
    draft = draft_of(scene)
    weight = smoothstep(0.0, 0.3, blob.level)
    if scene.sample.rgb is not None:
        source = _shifted(scene.sample.rgb, blob.window, shift).astype(np.float32)
        target = scene.sample.rgb[blob.window].astype(np.float32)
        # Light falls otherwise there; its difference is not the defect.
        exposure = np.clip(target[inside].mean() / max(float(source[inside].mean()), 1.0), 0.6, 1.6) ** 0.7
        paint(draft, blob.window, inside, source * exposure, weight)
    if scene.points is not None:
        step = _relief(scene, blob.window, (0, 0), inside) - _relief(scene, blob.window, shift, inside)
        limit = scene.metres(_HIGHEST_STEP)
        height = np.where(inside, np.clip(step, -limit, limit) * weight, 0).astype(np.float32)
        raise_surface(scene, draft, blob.window, height, generator, lit=False)
        missing = _shifted(scene.part, blob.window, shift) & ~_shifted(scene.points, blob.window, shift)
        lose_points(draft, blob.window, missing & (weight > 0.5) & scene.points[blob.window], generator)
    return draft


def _shift(
    scene: Scene, generator: np.random.Generator, blob: Shape, inside: BoolArray, least: float
) -> tuple[int, int] | None:
    """Rows and columns to another place where the same shape lies on the part; None where a few draws find none."""
    rows, columns = np.nonzero(inside)
    rows, columns = rows + blob.window[0].start, columns + blob.window[1].start
    height, width = scene.part.shape
    for _ in range(20):
        to = on_part(scene, generator, 0.4 * blob.radius)
        down, right = to[0] - int(rows.mean()) if len(rows) else 0, to[1] - int(columns.mean()) if len(rows) else 0
        if not len(rows) or np.hypot(down, right) < least:
            continue
        fits = blob.window[0].start + down >= 0 and blob.window[0].stop + down <= height
        fits = fits and blob.window[1].start + right >= 0 and blob.window[1].stop + right <= width
        if fits and scene.part[rows + down, columns + right].mean() > 1 - _FOREIGN_SHARE:
            return down, right
    return None


def _shifted(array: NDArray[Scalar], window: Window, shift: tuple[int, int]) -> NDArray[Scalar]:
    rows, columns = window
    return array[rows.start + shift[0] : rows.stop + shift[0], columns.start + shift[1] : columns.stop + shift[1]]


def _relief(scene: Scene, window: Window, shift: tuple[int, int], inside: BoolArray) -> Field:
    """Depth (h, w) in metres over the plane through the surface that is `shift` from a window; 0 without points."""
    if scene.sample.xyz is None or scene.points is None:
        raise ValueError("an image has no relief")
    xyz = _shifted(scene.sample.xyz, window, shift)
    known = inside & _shifted(scene.points, window, shift)
    if known.sum() < 3:
        return np.zeros(known.shape, dtype=np.float32)
    depth = np.einsum("hwi,i->hw", xyz, scene.axis)
    rows, columns = np.mgrid[: known.shape[0], : known.shape[1]] - np.array(known.shape)[:, None, None] / 2
    terms = np.stack([rows, columns, np.ones(known.shape)], axis=-1)[known]
    inverse = np.linalg.pinv(np.einsum("ij,ik->jk", terms, terms), hermitian=True)
    factors = np.einsum("jk,k->j", inverse, np.einsum("ij,i->j", terms, depth[known]))
    plane = factors[0] * rows + factors[1] * columns + factors[2]
    return np.where(known, depth - plane, 0.0).astype(np.float32)


def warp(scene: Scene, generator: np.random.Generator) -> Draft | None:
    """The part bent over 30 to 65 % of its size: moved sideways by 5 to 11 % of it, and up or down by 0.5 to 3 mm."""
    radius = pixels(scene, generator, (0.16, 0.32))
    at = on_silhouette(scene, generator) if generator.random() < 0.7 else None
    at = on_part(scene, generator) if at is None else at
    blob = irregular_blob(generator, at, radius, scene.part.shape, 0.1)
    profile = np.maximum(smoothstep(0.0, 0.9, blob.level) - 0.08, 0.0) / np.float32(0.92)
    angle = generator.uniform(0.0, 2 * np.pi)
    # Less than 0.6 of a pixel a pixel, so that nothing folds over.
    amount = min(pixels(scene, generator, (0.05, 0.11)), 0.35 * radius)
    moved = np.stack([np.sin(angle) * amount * profile, np.cos(angle) * amount * profile])
    draft = draft_of(scene)
    warp_content(scene, draft, blob.window, moved.astype(np.float32))
    lift = drawn_metres(scene, generator, (0.5, 3.0)) * (1.0 if generator.random() < 0.5 else -1.0)
    lift = np.clip(lift, -0.2 * radius * scene.pitch, 0.2 * radius * scene.pitch)
    raise_surface(scene, draft, blob.window, np.where(draft.mask[blob.window], lift * profile, 0.0), generator)
    return draft
