"""The smooth surface of an organized cloud and its normals."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lsfa_cli.samples import BoolArray, FloatArray

SMOOTHING = 1.5
"""Pixels: what the surface's normals are taken from must not follow the sensor's noise."""


def smoothed(xyz: FloatArray, known: BoolArray, smoothing: float = SMOOTHING) -> NDArray[np.float32]:
    """The Gaussian mean (H, W, 3) of the known points around each pixel; far from all of them, the nearest mean."""
    weight = ndimage.gaussian_filter(known.astype(np.float32), smoothing)
    mean = np.empty(xyz.shape, dtype=np.float32)
    enough = weight > 1e-3
    for axis in range(3):
        total = ndimage.gaussian_filter(np.where(known, xyz[..., axis], np.float32(0)), smoothing)
        np.divide(total, weight, out=mean[..., axis], where=enough)
    if not enough.all():
        nearest = ndimage.distance_transform_edt(~enough, return_distances=False, return_indices=True)
        mean = mean[tuple(nearest)]
    return mean


def normals(surface: FloatArray, away: FloatArray) -> NDArray[np.float32]:
    """Unit normals (H, W, 3) of a surface (H, W, 3), on the side from which it is seen along `away`, a unit (3,)."""
    seen = np.asarray(away, dtype=np.float32)
    if min(surface.shape[:2]) < 2:
        return np.broadcast_to(-seen, surface.shape)
    down, across = np.gradient(surface, axis=0), np.gradient(surface, axis=1)
    normal = np.cross(across, down)
    length = np.linalg.norm(normal, axis=-1, keepdims=True)
    normal = np.where(length > 0, normal / np.where(length > 0, length, 1.0), -seen)
    return np.where(np.einsum("...i,i->...", normal, seen)[..., None] > 0, -normal, normal).astype(np.float32)
