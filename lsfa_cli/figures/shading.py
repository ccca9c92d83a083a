"""A picture of an organized point cloud that a person reads at a glance."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lsfa_cli.samples import BoolArray, FloatArray

SMOOTHING = 0.8  # pixels; sensor noise would otherwise dominate the normals
LIGHT = (-0.50, -0.60, -0.62)  # from the upper left, towards the viewer (camera frame: x right, y down, z away)
DARKEST = 32  # so that a dark slope is not taken for a missing point
_FACING = (0.0, 0.0, -1.0)


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
