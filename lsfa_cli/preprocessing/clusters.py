"""The largest cluster of a point cloud (METHOD 1, step 4): DBSCAN, computed on cells.

Space is cut into cubic cells whose diagonal is the neighbourhood's radius, so that all points of a cell are neighbours
of each other (Gunawan 2013; Gan and Tao 2015), and its core points share a cluster. With cells of half the side, so
are all points of the 27 cells around a point, which shows nearly every core point to be one without measuring any
distance. What is left is little work: counting the neighbours of points in thin places, and joining cells. The labels
are those of DBSCAN, without visiting every neighbour of every point: an organized cloud has about 1800 neighbours a
point at 400 x 400 pixels, and four times as many at 800 x 800.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from lsfa_cli.samples import BoolArray

_Points = NDArray[np.float64]
_Index = NDArray[np.int64]

# Two cells are joined when any of this many points of each are neighbours; only then are all of them compared.
_WITNESSES = (1, 8)
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
    half = _half_cells(points, distance)
    core = _certain_neighbors(half) >= min_points
    labels = np.full(len(points), -1, dtype=np.int64)
    tree = cKDTree(points, balanced_tree=False, compact_nodes=False)
    thin = np.flatnonzero(~core)
    if len(thin):
        core[thin] = _reach(tree, points[thin], min_points, distance) <= distance
    if not core.any():
        return labels
    labels[core] = _core_labels(points[core], _cells(half[core]), distance)
    core_labels = labels.copy()
    rest = np.flatnonzero(~core)
    for start in range(0, len(rest), _CHUNK):
        chunk = rest[start : start + _CHUNK]
        labels[chunk] = _border_labels(tree, points[chunk], core_labels, distance, min_points)
    return labels


def _half_cells(points: _Points, distance: float) -> _Points:
    """Positions (N, 3), whole numbers, of the points in cells of half the side."""
    # Slightly smaller than distance / sqrt(12), so that rounding cannot put a cell's corners too far apart.
    # Counted from the origin: from a stray point far away, all other positions would be rounded to one.
    side = distance / np.sqrt(12) * (1 - 1e-9)
    half: _Points = np.floor(points / side)
    return half


def _certain_neighbors(half: _Points) -> _Index:
    """For each point, how many points (N,) are neighbours by their half cells alone, itself included.

    Points in adjacent half cells differ by less than two sides along each axis, so they are within the distance.
    """
    low = half.min(axis=0) - 1
    size = half.max(axis=0) - low + 2
    if size.prod() > _TABLE_SIZE:
        _, number, count = np.unique(half, axis=0, return_inverse=True, return_counts=True)
        return np.asarray(count[number.reshape(-1)], dtype=np.int64)
    table = tuple(int(length) for length in size)
    flat = np.ravel_multi_index(tuple((half - low).astype(np.int64).T), table)
    count = np.bincount(flat, minlength=int(size.prod())).reshape(table)
    for axis in range(3):
        count = correlate1d(count, [1, 1, 1], axis=axis, mode="constant")
    certain: _Index = count.reshape(-1)[flat]
    return certain


def _cells(half: _Points) -> _Index:
    """The number (N,) of the cell of each point, counted from 0 over the cells that hold points."""
    position = np.floor(half / 2)
    position -= position.min(axis=0)
    size = position.max(axis=0) + 1
    if size.prod() > _TABLE_SIZE:
        return np.unique(np.floor(half / 2), axis=0, return_inverse=True)[1].astype(np.int64).reshape(-1)
    table = tuple(int(length) for length in size)
    flat = np.ravel_multi_index(tuple(position.astype(np.int64).T), table)
    number = np.cumsum(np.bincount(flat) > 0) - 1
    return np.asarray(number[flat], dtype=np.int64)


def _reach(tree: cKDTree, points: _Points, count: int, distance: float) -> _Points:
    """The distance (N,) to the `count`-th nearest point of the tree, inf where that is beyond `distance`."""
    found, _ = tree.query(points, k=[count], distance_upper_bound=distance * _BOUND)
    return np.asarray(found, dtype=np.float64)[:, 0]


def _border_labels(tree: cKDTree, points: _Points, core_labels: _Index, distance: float, min_points: int) -> _Index:
    """The smallest label (N,) of the core points near points (N, 3) that are not core, -1 where there is none.

    `core_labels` belongs to the tree's points: the labels of core points, -1 for others.
    """
    # A point that is not core has fewer than min_points neighbours, so these are all of them.
    near, neighbor = tree.query(points, k=np.arange(1, min_points), distance_upper_bound=distance * _BOUND)
    found = np.where(near <= distance, np.append(core_labels, -1)[neighbor], -1)
    none = np.iinfo(np.int64).max
    smallest = np.where(found < 0, none, found).min(axis=1, initial=none)
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
    joined = np.zeros((0, 2), dtype=np.int64)
    component = np.arange(len(counts))
    for number in _WITNESSES:
        # Evenly spaced points of each cell; all of them where there are few.
        places = bounds[:-1, None] + (counts[:, None] * np.arange(number) // number)
        within = _any_within(ordered[places], pairs, distance)
        joined = np.concatenate((joined, pairs[within]))
        component = _connect(len(counts), joined)
        undecided = ~within & (counts[pairs] > number).any(axis=1) & (component[pairs[:, 0]] != component[pairs[:, 1]])
        pairs = pairs[undecided]
    for a, b in pairs:
        if component[a] != component[b]:
            tree = cKDTree(ordered[bounds[a] : bounds[a + 1]])
            if _reach(tree, ordered[bounds[b] : bounds[b + 1]], 1, distance).min() <= distance:
                component[component == component[b]] = component[a]
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
        squared = gap[..., 0] ** 2 + gap[..., 1] ** 2 + gap[..., 2] ** 2
        joined[start : start + _CHUNK] = (squared <= distance**2).any(axis=(1, 2))
    return joined


def _connect(count: int, pairs: _Index) -> _Index:
    graph = coo_array((np.ones(len(pairs), dtype=bool), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)
