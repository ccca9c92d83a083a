"""Unordered point clouds: farthest-point sampling, exact nearest neighbours, thinning."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from lsfa_cli.errors import DataError
from lsfa_cli.samples import BoolArray, FloatArray, PreparedSample, scan_of

IndexArray = NDArray[np.int64]

# Distances of a k-d tree are rounded differently from ours, so that two within this relative gap may be equal.
_TIE = 1e-9
# Of the grid of `thin`, in each direction: three coordinates of a cell fit into one 64-bit number.
MOST_CELLS = 2**20


def valid_points(xyz: FloatArray, valid: BoolArray) -> FloatArray:
    """The points of an organized cloud in raster order. xyz: (3, S, S), valid: (S, S). Returns (n, 3)."""
    return np.ascontiguousarray(xyz[:, valid].T)


def points_of(sample: PreparedSample, minimum: int, backbone: str) -> FloatArray:
    """The valid points of a prepared sample, (n, 3); `DataError` naming the file for fewer than `minimum` points."""
    xyz, valid = scan_of(sample)
    found = int(np.count_nonzero(valid))
    if found < minimum:
        file = sample.record.files.get("xyz", sample.record.name)
        raise DataError(
            f"{file}: {found} points are left after preprocessing, and backbone {backbone} needs {minimum}.",
            hint="Check the scan, or the settings that remove its background (plane_*, cluster_*).",
        )
    return valid_points(xyz, valid)


def farthest_point_sampling(points: FloatArray, count: int, *, start: int = 0) -> IndexArray:
    """Indices of `count` points, each the farthest from those picked before it (METHOD 2, Point-MAE's centres).

    points: (N, 3). Returns (count,), in the order of picking, beginning with `start`; of equally far points the one
    with the lowest index. No index comes twice, also where points coincide. ValueError for fewer points than `count`.
    """
    total = len(points)
    if not 1 <= count <= total:
        raise ValueError(f"{count} farthest points asked of {total}")
    if not 0 <= start < total:
        raise ValueError(f"start {start} is not the index of one of {total} points")
    # One row a coordinate, worked on in place and of the points' own type: few calls, and all of it stays in the
    # processor's cache over all picks (float32 is what the public CUDA code computes in).
    number = np.result_type(points.dtype, np.float32)
    cloud = np.array(points.T, dtype=number, order="C")
    columns = np.ascontiguousarray(cloud.T)[:, :, None]
    squares = np.empty_like(cloud)
    squared, of_y, of_z = squares
    nearest = np.full(total, np.inf, number)
    picked = np.empty(count, dtype=np.int64)
    current = start
    for position in range(count):
        picked[position] = current
        np.subtract(cloud, columns[current], out=squares)
        np.multiply(squares, squares, out=squares)
        np.add(squared, of_y, out=squared)
        np.add(squared, of_z, out=squared)
        np.minimum(nearest, squared, out=nearest)
        nearest[current] = -1.0  # below every distance, so that a pick never comes again
        current = int(nearest.argmax())
    return picked


def nearest_neighbors(points: FloatArray, queries: FloatArray, count: int) -> tuple[FloatArray, IndexArray]:
    """The `count` nearest points of each query, nearest first; of equally near ones the lowest index first.

    points: (N, 3), queries: (Q, 3). Returns distances (Q, count), float64 and from coordinate differences, in the
    unit of the coordinates, and indices (Q, count). ValueError for fewer points than `count`.
    """
    total = len(points)
    if not 1 <= count <= total:
        raise ValueError(f"{count} neighbours asked of {total} points")
    cloud = points.astype(np.float64)
    asking = queries.astype(np.float64)
    if len(asking) == 0:
        return np.empty((0, count)), np.empty((0, count), dtype=np.int64)
    tree: Any = cKDTree(cloud)
    asked = min(count + 1, total)
    found, candidates = tree.query(asking, k=np.arange(1, asked + 1))
    distance, index = _nearest_first(cloud, asking[:, None, :], candidates[:, :count])
    if asked > count:
        # Where the first one left out is as near as the last one taken, the tree's choice between them is arbitrary.
        tied = np.flatnonzero(found[:, count] <= found[:, count - 1] * (1 + _TIE))
        for row in tied:
            ball = tree.query_ball_point(asking[row], found[row, count] * (1 + _TIE))
            d, i = _nearest_first(cloud, asking[row], np.array(ball, dtype=np.int64))
            distance[row], index[row] = d[:count], i[:count]
    return distance, index


def _nearest_first(
    points: NDArray[np.float64], query: NDArray[np.float64], candidates: IndexArray
) -> tuple[NDArray[np.float64], IndexArray]:
    """Candidates (..., k) of queries (..., 1 or none, 3), sorted by distance and then by index."""
    difference = points[candidates] - query
    difference *= difference
    squared = difference[..., 0] + difference[..., 1] + difference[..., 2]
    order = np.lexsort((candidates, squared), axis=-1)
    distance = np.sqrt(np.take_along_axis(squared, order, axis=-1))
    return distance, np.take_along_axis(candidates, order, axis=-1).astype(np.int64)


def thin(points: FloatArray, spacing: float) -> NDArray[np.float32]:
    """The mean of the points in each cell of a grid of cubes with sides `spacing`, cells in the order of x, y, z.

    points: (N, 3). Returns (n, 3), n <= N. The grid is fixed in space (a corner is the origin), so that equal
    surfaces of registered clouds are thinned alike. spacing: in the unit of the points; 0 keeps them all.
    ValueError for points that are not finite, or farther than 2^20 cells from the origin: their unit is wrong.
    """
    if spacing < 0:
        raise ValueError(f"a spacing of {spacing} is below 0")
    if spacing == 0 or len(points) == 0:
        return points.astype(np.float32)
    exact = points.astype(np.float64)
    cells = np.floor(exact / spacing)
    if not ((cells >= -MOST_CELLS) & (cells < MOST_CELLS)).all():
        raise ValueError(f"the cloud reaches farther than {MOST_CELLS} cells of {spacing} from the origin")
    whole = cells.astype(np.int64) + MOST_CELLS
    key = (whole[:, 0] * (2 * MOST_CELLS) + whole[:, 1]) * (2 * MOST_CELLS) + whole[:, 2]
    _, cell, count = np.unique(key, return_inverse=True, return_counts=True)
    sums = [np.bincount(cell, weights=exact[:, axis], minlength=len(count)) for axis in range(3)]
    means: NDArray[np.float32] = (np.stack(sums, axis=1) / count[:, None]).astype(np.float32)
    return means
