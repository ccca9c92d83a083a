"""Content moved across the image: what a bent part shows."""

import numpy as np
from numpy.typing import NDArray

from lsfa_cli.pasting.draft import Draft
from lsfa_cli.pasting.scene import Scene
from lsfa_cli.pasting.shapes import Field, Window
from lsfa_cli.samples import BoolArray

_TORN = 4.0  # pitches: between neighbours farther apart than this nothing is interpolated
_LEAST = 0.05  # of a pixel: what moves less stays


Corner = tuple[NDArray[np.int64], NDArray[np.int64]]


class _Origin:
    """Where the pixels (h, w) of a window come from: between four corners, with their weights."""

    def __init__(self, rows: Field, columns: Field, shape: tuple[int, ...]) -> None:
        low = np.floor(rows).astype(np.int64), np.floor(columns).astype(np.int64)
        high = np.minimum(low[0] + 1, shape[0] - 1), np.minimum(low[1] + 1, shape[1] - 1)
        down, right = rows - low[0], columns - low[1]
        self.nearest: Corner = (np.rint(rows).astype(np.int64), np.rint(columns).astype(np.int64))
        self.corners: list[Corner] = [(low[0], low[1]), (low[0], high[1]), (high[0], low[1]), (high[0], high[1])]
        self.weights = [(1 - down) * (1 - right), (1 - down) * right, down * (1 - right), down * right]


def warp_content(scene: Scene, draft: Draft, window: Window, moved: Field) -> None:
    """Show at each pixel of a window what was `moved` (2, h, w) pixels (rows, columns) before it.

    Only where there is or was the part. A point keeps its depth and lies on the ray of its new pixel; pixels that the
    part has left get the background: its plane, where it is known, else no point.
    """
    rows, columns = np.mgrid[window].astype(np.float32)
    height, width = scene.part.shape
    origin = _Origin(
        np.clip(rows - moved[0], 0, height - 1), np.clip(columns - moved[1], 0, width - 1), scene.part.shape
    )
    shifted = np.hypot(moved[0], moved[1]) > _LEAST
    inside = shifted & (scene.halo[window] | scene.halo[origin.nearest])
    draft.mask[window] |= inside
    if draft.rgb is not None and scene.sample.rgb is not None:
        seen = np.zeros((*inside.shape, 3), dtype=np.float32)
        for corner, weight in zip(origin.corners, origin.weights, strict=True):
            seen += weight[..., None] * scene.sample.rgb[corner]
        draft.rgb[window][inside] = np.rint(seen[inside]).astype(np.uint8)
    if scene.points is not None:
        _warp_points(scene, draft, window, inside, origin)


def _warp_points(scene: Scene, draft: Draft, window: Window, inside: BoolArray, origin: _Origin) -> None:
    if draft.xyz is None or draft.valid is None or scene.points is None or scene.camera is None:
        raise ValueError("points are warped in a scan alone")
    rows, columns = np.mgrid[window]
    xyz, valid = draft.xyz[window], draft.valid[window]  # views: their changes are the draft's
    came, went = inside & scene.part[origin.nearest], inside & scene.part[window]
    xyz[came | went] = 0
    valid[came | went] = False
    arrived = inside & scene.points[origin.nearest]
    depth = _depth(scene, origin, arrived)
    points = scene.camera.meet(rows[arrived], columns[arrived], scene.axis, -depth)
    xyz[arrived], valid[arrived] = points, True
    left = went & ~came
    if scene.plane is not None and left.any():
        normal, offset = scene.plane
        xyz[left], valid[left] = scene.camera.meet(rows[left], columns[left], normal, offset), True


def _depth(scene: Scene, origin: _Origin, wanted: BoolArray) -> NDArray[np.float64]:
    """Depth (n,) along the scene's axis where `wanted`: of the four corners where they hang together, else of one."""
    if scene.sample.xyz is None or scene.points is None:
        raise ValueError("an image has no depth")
    xyz, known = scene.sample.xyz, scene.points

    def at(corner: Corner) -> NDArray[np.float64]:
        points = xyz[corner[0][wanted], corner[1][wanted]].astype(np.float64)
        return np.asarray(np.einsum("ij,j->i", points, scene.axis))

    values = np.stack([at(corner) for corner in origin.corners])
    together = np.stack([known[corner][wanted] for corner in origin.corners]).all(axis=0)
    together &= np.ptp(values, axis=0) < _TORN * scene.pitch
    weights = np.stack([weight[wanted] for weight in origin.weights])
    return np.where(together, (weights * values).sum(axis=0), at(origin.nearest))
