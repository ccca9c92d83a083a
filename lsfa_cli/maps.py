"""Anomaly maps from patch scores (METHOD 4.5): repeat, upsample, blur."""

import functools
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

_BATCH = 8  # maps in float64 at a time
_BAND = 56  # pixels of a map that are computed together: few patches are near enough to have a part in them


def score_maps(
    patch_scores: ArrayLike, *, size: int = 224, sigma: float = 4.0, base_grid: int = 56
) -> NDArray[np.float32]:
    """Maps (n, size, size) of patch scores (n, grid * grid), each on a square raster, row by row.

    A grid smaller than `base_grid` is first repeated to it (position i takes patch floor(i * grid / base_grid)),
    because the published maps of images start from 56 x 56. Then bilinear to `size` without aligned corners,
    and a Gaussian blur of `sigma` pixels, cut off at 4 sigma, edges reflected (edge value repeated); 0 does not blur.
    """
    scores = np.asarray(patch_scores, dtype=np.float64)
    grid = math.isqrt(scores.shape[-1]) if scores.ndim == 2 else 0
    if grid < 1 or grid * grid != scores.shape[-1]:
        raise ValueError(f"patch scores must be (n, grid * grid), got {scores.shape}")
    if size < 1 or base_grid < 1 or sigma < 0:
        raise ValueError(f"size and base_grid must be positive, sigma not negative: {size}, {base_grid}, {sigma}")
    if np.isnan(scores).any():
        raise ValueError("patch scores contain NaN")
    # Every step is linear and treats rows and columns alike, so the whole is one small matrix on either side.
    bands = _bands(grid, size, float(sigma), base_grid)
    maps = np.empty((len(scores), size, size), dtype=np.float32)
    for first in range(0, len(scores), _BATCH):
        rasters = scores[first : first + _BATCH].reshape(-1, grid, grid)
        across = np.empty((len(rasters), grid, size))
        for pixels, patches, weights in bands:
            across[:, :, pixels] = rasters[:, :, patches] @ weights.T
        for pixels, patches, weights in bands:
            maps[first : first + _BATCH, pixels] = weights @ across[:, patches]
    return maps


def patch_shares(masks: NDArray[np.bool_], grid: int) -> NDArray[np.float64]:
    """The share (n, grid * grid) of each patch's pixels that masks (n, S, S) mark, row by row.

    Pixel i of a row belongs to patch floor(i * grid / S) of it.
    """
    size = masks.shape[-1]
    if not 1 <= grid <= size:
        raise ValueError(f"{grid} patches a side do not fit on {size} pixels")
    first = -(-np.arange(grid) * size // grid)  # the first pixel of each patch
    counts = np.add.reduceat(masks, first, axis=1, dtype=np.int64)
    counts = np.add.reduceat(counts, first, axis=2)
    lengths = np.diff(first, append=size)
    return (counts / np.outer(lengths, lengths)).reshape(len(masks), -1)


class _Band(NamedTuple):
    """What `score_maps` does along one axis for some of the pixels, from the patches that have a part in them."""

    pixels: slice
    patches: slice
    weights: NDArray[np.float64]


@functools.lru_cache(maxsize=16)
def _bands(grid: int, size: int, sigma: float, base_grid: int) -> tuple[_Band, ...]:
    """All pixels of an axis, band after band."""
    along = _axis_matrix(grid, size, sigma, base_grid)
    bands = []
    for first in range(0, size, _BAND):
        pixels = slice(first, min(first + _BAND, size))
        used = np.flatnonzero(along[pixels].any(axis=0))
        patches = slice(int(used[0]), int(used[-1]) + 1)
        weights = np.ascontiguousarray(along[pixels, patches])
        weights.setflags(write=False)
        bands.append(_Band(pixels, patches, weights))
    return tuple(bands)


def _axis_matrix(grid: int, size: int, sigma: float, base_grid: int) -> NDArray[np.float64]:
    """What `score_maps` does along one axis: (size, grid), rows sum to 1."""
    target = max(grid, base_grid)
    repeat = np.zeros((target, grid))
    repeat[np.arange(target), np.arange(target) * grid // target] = 1.0
    matrix = _bilinear_matrix(target, size) @ repeat
    if sigma > 0:
        matrix = ndimage.gaussian_filter1d(matrix, sigma, axis=0, mode="reflect", truncate=4.0)
    return np.asarray(matrix)


def _bilinear_matrix(source: int, target: int) -> NDArray[np.float64]:
    """Linear interpolation from `source` to `target` samples, pixel centres at i + 1/2, clamped at the ends."""
    position = np.clip((np.arange(target) + 0.5) * source / target - 0.5, 0, source - 1)
    left = np.floor(position).astype(np.int64)
    right = np.minimum(left + 1, source - 1)
    matrix = np.zeros((target, source))
    np.add.at(matrix, (np.arange(target), left), 1.0 - (position - left))
    np.add.at(matrix, (np.arange(target), right), position - left)
    return matrix
