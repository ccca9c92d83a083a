"""Eq. 1: from the features of points, or of group centres, to the features of patches.

Interpolation from centres to points and pooling from pixels to patches are both linear. They are made as one matrix
a sample and applied once to the centres' features; the dense map of point features (50176 x 1152) never exists.
Two complete definitions (METHOD 2): `public`, what the published code does, and `paper`, what the text says.
"""

from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from lsfa_cli.errors import UsageError
from lsfa_cli.pointcloud import nearest_neighbors
from lsfa_cli.samples import BoolArray, FloatArray, PatchFeatures

Rule = Literal["public", "paper"]
RULES: tuple[Rule, ...] = ("public", "paper")

# scipy's sparse arrays carry no types.
Matrix = Any

INTERPOLATION_CENTERS = 3
INTERPOLATION_EPSILON = 1e-8
_BLOCK_ENTRIES = 1 << 20


def require_grid(grid: int, image_size: int) -> int:
    """The grid, or a `UsageError` when a raster of `image_size` pixels cannot be divided into so many patches."""
    if not 1 <= grid <= image_size:
        raise UsageError(
            f"a 3D grid of {grid} patches a side does not fit an image of {image_size} pixels.",
            hint="Make xyz_grid smaller or image_size larger.",
        )
    return grid


def patch_validity(valid: BoolArray, grid: int) -> BoolArray:
    """Which patches have a point: any valid pixel among those under the patch. (S, S) -> (grid * grid,).

    Pixel (r, c) lies under patch (floor(r * grid / S), floor(c * grid / S)).
    """
    covered = np.zeros(grid * grid, dtype=np.bool_)
    covered[_patch_of_valid_pixels(valid, grid)] = True
    return covered


def pooling_matrix(valid: BoolArray, grid: int, rule: Rule) -> Matrix:
    """From the features of the valid pixels (in raster order) to patches: csr array (grid * grid, n_valid), float64.

    `public`: the map is 0 at invalid pixels; 3 x 3 mean with stride 1 and no padding, then adaptive mean to the grid.
    Zeros are counted, so a patch at the part's edge shrinks towards 0, and a row without a valid pixel is empty.
    `paper`: the mean over the valid pixels of each patch.
    """
    if _checked(rule) == "public":
        return sparse.csr_array(_zero_padded_pooling(_side(valid), grid)[:, np.flatnonzero(valid)])
    patch = _patch_of_valid_pixels(valid, grid)
    weight = 1.0 / np.bincount(patch, minlength=grid * grid)[patch]
    return sparse.csr_array((weight, (patch, np.arange(len(patch)))), shape=(grid * grid, len(patch)))


def interpolation_matrix(points: FloatArray, centers: FloatArray, rule: Rule) -> Matrix:
    """Eq. 1's alpha: from the features of m centres to n points, rows that sum to 1. points: (n, 3), centers: (m, 3).

    `public`: the 3 nearest centres, alpha proportional to 1 / (d^2 + 1e-8), d in metres; csr array (n, m).
    `paper`: all centres, alpha proportional to 1 / d, and at d = 0 the centre's own feature; dense (n, m).
    d^2 is a sum of squared differences: the expansion |a|^2 - 2ab + |b|^2 loses most digits at 0.5 m.
    """
    if _checked(rule) == "paper":
        return _inverse_distance_weights(points, centers)
    count = min(INTERPOLATION_CENTERS, len(centers))
    distance, index = nearest_neighbors(centers, points, count)
    weight = 1.0 / (distance**2 + INTERPOLATION_EPSILON)
    weight /= weight.sum(axis=1, keepdims=True)
    first = np.arange(0, count * len(points) + 1, count)
    return sparse.csr_array((weight.ravel(), index.ravel(), first), shape=(len(points), len(centers)))


def projection_matrix(points: FloatArray, centers: FloatArray, valid: BoolArray, grid: int, rule: Rule) -> Matrix:
    """Pooling times interpolation: from the features of m centres to patches, (grid * grid, m).

    points: (n, 3), the points of the valid pixels in raster order. A csr array for `public`; dense for `paper`,
    where every patch takes something of every centre, made in blocks of points.
    """
    pooling = pooling_matrix(valid, grid, rule)
    if pooling.shape[1] != len(points):
        raise ValueError(f"{len(points)} points for {pooling.shape[1]} valid pixels")
    if rule == "public":
        return pooling @ interpolation_matrix(points, centers, rule)
    by_pixel = sparse.csc_array(pooling)
    result = np.zeros((grid * grid, len(centers)))
    step = max(1, _BLOCK_ENTRIES // max(1, len(centers)))
    for start in range(0, len(points), step):
        block = slice(start, start + step)
        result += by_pixel[:, block] @ _inverse_distance_weights(points[block], centers)
    return result


def to_patches(features: FloatArray, matrix: Matrix, valid: BoolArray, grid: int) -> PatchFeatures:
    """Apply a pooling or projection matrix to (n, D) features of pixels or centres; float32, valid patches only."""
    covered = patch_validity(valid, grid)
    rows = matrix[np.flatnonzero(covered)].astype(features.dtype)
    values = np.ascontiguousarray(rows @ features, dtype=np.float32)
    return PatchFeatures(values=values, valid=covered, grid=grid)


def valid_rows(matrix: Matrix, valid: BoolArray, grid: int) -> Matrix:
    """The rows of a pooling or projection matrix that `to_patches` applies, in its order, as float32."""
    return matrix[np.flatnonzero(patch_validity(valid, grid))].astype(np.float32)


def repeat_index(grid: int, target_grid: int) -> NDArray[np.int64]:
    """Which patch of a `grid` raster lies at each position of a target raster, nearest below: (target_grid^2,).

    Position (r, c) takes patch (floor(r * grid / target_grid), floor(c * grid / target_grid)): `values[index]` are
    28 x 28 image patches at the 56 x 56 positions of the 3D scan.
    """
    source = np.arange(target_grid) * grid // target_grid
    return (source[:, None] * grid + source[None, :]).ravel()


def _checked(rule: Rule) -> Rule:
    if rule not in RULES:
        raise ValueError(f"projection '{rule}' is not one of {', '.join(RULES)}")
    return rule


def _side(valid: BoolArray) -> int:
    if valid.ndim != 2 or valid.shape[0] != valid.shape[1]:
        raise ValueError(f"a square mask is needed, not {valid.shape}")
    return int(valid.shape[0])


def _patch_of_valid_pixels(valid: BoolArray, grid: int) -> NDArray[np.int64]:
    side = _side(valid)
    if not 1 <= grid <= side:
        raise ValueError(f"a grid of {grid} patches does not fit {side} pixels")
    row, column = np.nonzero(valid)
    return (row * grid // side) * grid + column * grid // side


@lru_cache(maxsize=8)
def _zero_padded_pooling(side: int, grid: int) -> Matrix:
    """The public code's pooling of a whole map, csc array (grid * grid, side * side): the same along both axes."""
    axis = sparse.csr_array(_pooling_of_an_axis(side, grid))
    return sparse.csc_array(sparse.kron(axis, axis))


def _pooling_of_an_axis(side: int, grid: int) -> NDArray[np.float64]:
    """Mean of 3 without padding, then adaptive mean: bin i holds floor(i * n / grid) to ceil((i + 1) * n / grid)."""
    smoothed = side - 2
    if smoothed < 1:
        raise ValueError(f"{side} pixels are too few for a 3 x 3 mean")
    mean = (np.eye(smoothed, side) + np.eye(smoothed, side, 1) + np.eye(smoothed, side, 2)) / 3.0
    pooled = np.empty((grid, side))
    for i in range(grid):
        pooled[i] = mean[i * smoothed // grid : -(-(i + 1) * smoothed // grid)].mean(axis=0)
    return pooled


def _inverse_distance_weights(points: FloatArray, centers: FloatArray) -> NDArray[np.float64]:
    """Weights proportional to 1 / d over all centres, dense (n, m); centres at d = 0 share the whole weight."""
    squared = np.zeros((len(points), len(centers)))
    for axis in range(3):
        difference = np.subtract.outer(points[:, axis].astype(np.float64), centers[:, axis].astype(np.float64))
        squared += np.square(difference, out=difference)
    at_center = squared == 0
    on_one = at_center.any(axis=1)
    with np.errstate(divide="ignore"):
        weight = np.divide(1.0, np.sqrt(squared, out=squared), out=squared)
    weight[on_one] = at_center[on_one]
    weight /= weight.sum(axis=1, keepdims=True)
    return weight
