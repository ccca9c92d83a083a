"""Pictures of point clouds that a person reads at a glance."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from lsfa_cli.samples import BoolArray, FloatArray

SMOOTHING = 0.8  # pixels; sensor noise would otherwise dominate the normals
LIGHT = (-0.50, -0.60, -0.62)  # from the upper left, towards the viewer (camera frame: x right, y down, z away)
DARKEST = 32  # so that a dark slope is not taken for a missing point
_FACING = (0.0, 0.0, -1.0)
MARGIN = 0.04  # of a rendering's side, left free around the cloud
_WIDEST = 8  # pixels that one point may cover to each side
_SAMPLE = 2000  # points whose spacing is measured


def shade_depth(xyz: FloatArray, valid: BoolArray) -> NDArray[np.uint8]:
    """The surface lit from the upper left (Lambert), nearer parts a little brighter.

    xyz: (3, S, S), metres, camera frame. valid: (S, S). Returns (S, S), 0 where invalid and at least 32 elsewhere.
    """
    if xyz.shape != (3, *valid.shape):
        raise ValueError(f"the cloud is {xyz.shape}, its valid mask {valid.shape}")
    if not valid.any():
        return np.zeros(valid.shape, dtype=np.uint8)
    points = _smoothed(xyz, valid)
    light = np.array(LIGHT) / np.linalg.norm(LIGHT)
    lambert = np.clip(np.tensordot(light, _normals(points, valid), axes=1), 0.0, 1.0)
    near, far = np.percentile(points[2][valid], [2.0, 98.0])
    tint = 1.0 - np.clip((points[2] - near) / max(far - near, 1e-9), 0.0, 1.0)
    shade = 0.78 * lambert + 0.18 * tint
    return np.where(valid, np.rint(DARKEST + (255 - DARKEST) * shade), 0.0).astype(np.uint8)


def render_cloud(points: FloatArray, size: int) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """An unorganized cloud seen along its own z axis from above: x to the right, y up, the larger z in front.

    points: (N, 3). Returns a picture (size, size), 0 where nothing is seen, and the index of the point that is seen at
    each pixel, -1 for none. Orthographic; each point covers as many pixels as close the gaps between points.
    """
    if len(points) == 0:
        raise ValueError("a cloud without points has no picture")
    exact = points.astype(np.float64)
    low, high = exact.min(axis=0), exact.max(axis=0)
    extent = max(float((high - low)[:2].max()), 1e-12)
    pitch = extent / max(size * (1 - 2 * MARGIN) - 1, 1)
    middle = (low + high) / 2
    columns = np.rint((exact[:, 0] - middle[0]) / pitch + (size - 1) / 2).astype(np.int64)
    rows = np.rint((middle[1] - exact[:, 1]) / pitch + (size - 1) / 2).astype(np.int64)
    # The last write wins: the highest point, of equally high ones the first.
    order = np.lexsort((-np.arange(len(exact)), exact[:, 2]))
    shown = np.full((size, size), -1, dtype=np.int32)
    shown[rows[order], columns[order]] = order
    reach = int(np.clip(np.ceil(_spacing(exact) / pitch), 1, _WIDEST))
    shown = _splatted(shown, exact[:, 2], reach, 3 * reach * pitch)
    valid = shown >= 0
    height = np.where(valid, exact[shown, 2], 0.0)
    smooth = ndimage.gaussian_filter(height, 0.5 * reach)
    weight = ndimage.gaussian_filter(valid.astype(np.float64), 0.5 * reach)
    depth = -np.where(valid, smooth / np.where(valid, weight, 1.0), 0.0)
    pixel_rows, pixel_columns = np.mgrid[:size, :size] * pitch
    return shade_depth(np.stack([pixel_columns, pixel_rows, depth]), valid), shown


def _spacing(points: NDArray[np.float64]) -> float:
    """The distance from a point to the next, where points are sparse (its 95th percentile)."""
    tree: Any = cKDTree(points)
    distance, _ = tree.query(points[:: max(len(points) // _SAMPLE, 1)], k=2)
    known = distance[np.isfinite(distance[:, 1]), 1]
    return float(np.percentile(known, 95)) if len(known) else 0.0


def _splatted(shown: NDArray[np.int32], height: NDArray[np.float64], reach: int, behind: float) -> NDArray[np.int32]:
    """Every point on a disk of `reach` pixels: the highest is seen, but a pixel's own point unless far `behind` it."""
    size = len(shown)
    own = np.where(shown >= 0, height[shown], -np.inf)
    best, index = own + behind, shown.copy()
    for down in range(-reach, reach + 1):
        for right in range(-reach, reach + 1):
            if 0 < down**2 + right**2 <= reach**2:
                to = (slice(max(down, 0), size + min(down, 0)), slice(max(right, 0), size + min(right, 0)))
                of = (slice(max(-down, 0), size + min(-down, 0)), slice(max(-right, 0), size + min(-right, 0)))
                higher = own[of] > best[to]
                best[to] = np.where(higher, own[of], best[to])
                index[to] = np.where(higher, shown[of], index[to])
    return index


def _smoothed(xyz: FloatArray, valid: BoolArray) -> NDArray[np.float64]:
    """The Gaussian mean of the valid points around each valid pixel; 0 elsewhere."""
    weight = ndimage.gaussian_filter(valid.astype(np.float64), SMOOTHING)
    planes = np.where(valid, xyz, 0.0).astype(np.float64)
    blurred = np.stack([ndimage.gaussian_filter(plane, SMOOTHING) for plane in planes])
    return np.where(valid, blurred / np.where(valid, weight, 1.0), 0.0)


def _normals(points: NDArray[np.float64], valid: BoolArray) -> NDArray[np.float64]:
    """Unit normals (3, S, S) towards the camera; towards it straight where the neighbours give none."""
    across, down = _tangent(points, valid, axis=2), _tangent(points, valid, axis=1)
    normal = np.cross(across, down, axis=0)
    length = np.linalg.norm(normal, axis=0)
    normal = np.where(length > 0, normal / np.where(length > 0, length, 1.0), np.array(_FACING)[:, None, None])
    return np.where(normal[2] > 0, -normal, normal)


def _tangent(points: NDArray[np.float64], valid: BoolArray, axis: int) -> NDArray[np.float64]:
    """The step from a point to the next along an image axis: the mean of those on either side that exist, or 0."""
    ahead, behind = [(0, 0), (0, 0), (0, 0)], [(0, 0), (0, 0), (0, 0)]
    ahead[axis], behind[axis] = (0, 1), (1, 0)
    exists = np.diff(valid.astype(np.int8), axis=axis - 1) == 0
    exists &= valid[1:] if axis == 1 else valid[:, 1:]
    step = np.where(exists, np.diff(points, axis=axis), 0.0)
    count = np.pad(exists, ahead[1:]).astype(np.int64) + np.pad(exists, behind[1:])
    mean: NDArray[np.float64] = (np.pad(step, ahead) + np.pad(step, behind)) / np.maximum(count, 1)
    return mean
