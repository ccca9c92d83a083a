"""The largest cluster of a point cloud (METHOD 1, step 4): DBSCAN, computed on cells.

Space is cut into cubic cells whose diagonal is the neighbourhood's radius, so that all points of a cell are neighbours
of each other (Gunawan 2013; Gan and Tao 2015). A cell with enough points holds core points only, and the core points
of a cell share a cluster. What is left is little work: counting the neighbours of points in thin cells, and joining
cells. The labels are those of DBSCAN, without visiting every neighbour of every point: an organized cloud has about
1800 neighbours a point at 400 x 400 pixels, and four times as many at 800 x 800.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from lsfa_cli.samples import BoolArray

_Points = NDArray[np.float64]
_Index = NDArray[np.int64]

# Of two adjacent cells, this many points each are compared before all of them are.
_WITNESSES = 8
# Rows handled at once where a row needs many values.
_CHUNK = 8192
# Cells up to this number are numbered by position; beyond (stray points far away) they are sorted.
_TABLE_SIZE = 2**24
# Trees report distances strictly below their bound; DBSCAN includes equality.
_BOUND = 1 + 1e-9


def largest_cluster(xyz: NDArray[np.floating], valid: BoolArray, *, distance: float, min_points: int) -> BoolArray:
    """Which of the valid points (H, W) belong to the largest cluster of the cloud (H, W, 3).

    `distance` is in metres. Of equally large clusters the one that comes first in raster order is kept. Noise is no
    cluster: where there is nothing else, the result is all False.
    """
    labels = dbscan(xyz[valid], distance=distance, min_points=min_points)
    keep = np.zeros(valid.shape, dtype=bool)
    if labels.size and labels.max() >= 0:
        keep[valid] = labels == np.bincount(labels[labels >= 0]).argmax()
    return keep


def dbscan(cloud: NDArray[np.floating], *, distance: float, min_points: int) -> _Index:
    """The cluster of each point of a cloud (N, 3): (N,) int64, -1 for noise.

    DBSCAN (Ester et al. 1996): a point with at least `min_points` points, itself included, within `distance` is a core
    point; core points within `distance` of each other share a cluster; any other point within `distance` of core
    points joins the first of their clusters. Clusters are numbered in the order of their first core points.
    """
    points: _Points = cloud.astype(np.float64)
    if not len(points):
        return np.zeros(0, dtype=np.int64)
    cell = _cells(points, distance)
    core = np.bincount(cell)[cell] >= min_points
    thin = np.flatnonzero(~core)
    labels = np.full(len(points), -1, dtype=np.int64)
    if len(thin):
        tree = cKDTree(points, balanced_tree=False, compact_nodes=False)
        core[thin] = _nearest(tree, points[thin], [min_points], distance)[0][:, 0] <= distance
    if not core.any():
        return labels
    labels[core] = _core_labels(points[core], cell[core], distance)
    rest = np.flatnonzero(~core)
    if len(rest):
        # A point that is not core has fewer than min_points neighbours, so these are all of them.
        near, neighbor = _nearest(tree, points[rest], np.arange(1, min_points), distance)
        labels[rest] = _first_label(np.where(near <= distance, np.append(labels, -1)[neighbor], -1))
    return labels


def _cells(points: _Points, distance: float) -> _Index:
    """The number (N,) of the cell of each point; equal for points within `distance` by construction."""
    # Slightly smaller than distance / sqrt(3), so that rounding cannot put a cell's corners too far apart.
    side = distance / np.sqrt(3) * (1 - 1e-9)
    position = np.floor((points - points.min(axis=0)) / side)
    size = position.max(axis=0) + 1
    if size.prod() <= _TABLE_SIZE:
        flat = ((position[:, 0] * size[1] + position[:, 1]) * size[2] + position[:, 2]).astype(np.int64)
        number = np.cumsum(np.bincount(flat) > 0) - 1
        return np.asarray(number[flat], dtype=np.int64)
    return np.unique(position, axis=0, return_inverse=True)[1].astype(np.int64).reshape(-1)


def _nearest(tree: cKDTree, points: _Points, which: "list[int] | _Index", distance: float) -> tuple[_Points, _Index]:
    """Distances and indices (N, len(which)) of the `which`-th nearest points; inf and the tree's size beyond."""
    found = [
        tree.query(points[start : start + _CHUNK], k=which, distance_upper_bound=distance * _BOUND)
        for start in range(0, len(points), _CHUNK)
    ]
    return np.concatenate([part[0] for part in found]), np.concatenate([part[1] for part in found])


def _first_label(labels: _Index) -> _Index:
    """The smallest label of each row that is not -1, else -1."""
    none = np.iinfo(np.int64).max
    smallest = np.where(labels < 0, none, labels).min(axis=1, initial=none)
    return np.where(smallest == none, -1, smallest)


def _core_labels(points: _Points, cell: _Index, distance: float) -> _Index:
    """Clusters (N,) of core points (N, 3), numbered in the order of their first points."""
    order = np.argsort(cell, kind="stable")
    starts = np.flatnonzero(np.diff(cell[order], prepend=-1))
    bounds = np.append(starts, len(order))
    ordered = points[order]
    component = _components(ordered, bounds, distance)
    labels = np.empty(len(points), dtype=np.int64)
    labels[order] = np.repeat(component, np.diff(bounds))
    _, first, number = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty_like(first)
    rank[np.argsort(first)] = np.arange(len(first))
    return np.asarray(rank[number], dtype=np.int64)


def _components(ordered: _Points, bounds: _Index, distance: float) -> _Index:
    """Which cells (C,) are connected. Cell c has the core points ordered[bounds[c] : bounds[c + 1]]."""
    counts = np.diff(bounds)
    low = np.minimum.reduceat(ordered, bounds[:-1])
    high = np.maximum.reduceat(ordered, bounds[:-1])
    pairs = _pairs_in_reach(low, high, distance)
    # Evenly spaced points of each cell; all of them where there are few.
    share = np.arange(_WITNESSES) / _WITNESSES
    witnesses = ordered[bounds[:-1, None] + (counts[:, None] * share).astype(np.int64)]
    joined = _any_within(witnesses, pairs, distance)
    component = _connect(len(counts), pairs[joined])
    # Settle the pairs that would still join components: those that witnesses could not decide.
    open_pairs = pairs[~joined & (counts[pairs] > _WITNESSES).any(axis=1)]
    while len(open_pairs := open_pairs[component[open_pairs[:, 0]] != component[open_pairs[:, 1]]]):
        (a, b), open_pairs = open_pairs[0], open_pairs[1:]
        tree = cKDTree(ordered[bounds[a] : bounds[a + 1]])
        nearest, _ = _nearest(tree, ordered[bounds[b] : bounds[b + 1]], [1], distance)
        if nearest.min() <= distance:
            component = np.where(component == component[b], component[a], component)
    return component


def _pairs_in_reach(low: _Points, high: _Points, distance: float) -> _Index:
    """Pairs (P, 2) of cells whose bounding boxes are at most `distance` apart."""
    # The boxes' diagonals are at most `distance`, so the centres of such cells are at most twice that apart.
    tree = cKDTree((low + high) / 2)
    pairs = tree.query_pairs(2 * distance * _BOUND, output_type="ndarray").astype(np.int64)
    first, second = pairs.T
    gap = np.maximum(np.maximum(low[first] - high[second], low[second] - high[first]), 0)
    near: _Index = pairs[(gap**2).sum(axis=1) <= (distance * _BOUND) ** 2]
    return near


def _any_within(witnesses: _Points, pairs: _Index, distance: float) -> BoolArray:
    """For each pair of cells (P, 2), is any witness (C, W, 3) of one within `distance` of one of the other: (P,)."""
    joined = np.empty(len(pairs), dtype=bool)
    for start in range(0, len(pairs), _CHUNK):
        first, second = pairs[start : start + _CHUNK].T
        gap = witnesses[first][:, :, None, :] - witnesses[second][:, None, :, :]
        joined[start : start + _CHUNK] = ((gap**2).sum(axis=3) <= distance**2).any(axis=(1, 2))
    return joined


def _connect(count: int, pairs: _Index) -> _Index:
    graph = coo_array((np.ones(len(pairs), dtype=bool), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)
