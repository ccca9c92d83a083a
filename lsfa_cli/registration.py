"""Rigid registration of a cloud to a template, the same bits every time (reference notes 1.3, Reg3D-AD).

Both clouds, thinned, are described by FPFH, matched where each is the other's nearest, and the pose is drawn by RANSAC
over triples of matches. Constants are the published ones. Open3D gives normals and histograms; its RANSAC depends on
threads and is not repeatable, so draws, tests and fits are here, in batches. No ICP follows, as published.

Histograms need normals with consistent signs. A scanner's side is unknown and a part may be open or closed, so signs
are made to agree along a spanning tree over neighbours, and the one sign that is left, that of the whole cloud, is
tried both ways: the registration that brings more of the cloud onto the template is taken.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order, connected_components, minimum_spanning_tree
from scipy.spatial import cKDTree

from lsfa_cli.open3d_library import import_open3d
from lsfa_cli.samples import FloatArray

Array = NDArray[np.float64]
Matches = NDArray[np.int64]

SAMPLE = 3  # matches a draw
# Of a thinned cloud: as many as one histogram is made from, and the surface of a ball of 60 mm.
FEWEST_POINTS, MOST_POINTS = 100, 50_000
_BATCH = 4096  # draws at a time: the result depends on it, through when drawing stops
_FINALISTS = 8  # poses by matches, among which the points themselves decide
_REFITS = 5
_NEIGHBORS = 10  # of a point, along which signs of normals spread
_ROWS = 1024  # of a table of distances in memory
_FLAT = 1e-4  # added to the cost of an edge, so that no edge costs nothing


@dataclass(frozen=True, kw_only=True)
class RegistrationOptions:
    """The published constants; lengths in metres.

    voxel_size: of thinning. inlier_distance: between matched points. edge_similarity: smallest ratio of the edges of
    two matched triangles. draws: at most; fewer once `confidence` is reached. poor_share: below it the result is noted.
    """

    voxel_size: float = 0.0005
    normal_radius: float = 0.001
    normal_neighbors: int = 30
    feature_radius: float = 0.0025
    feature_neighbors: int = 100
    inlier_distance: float = 0.00075
    edge_similarity: float = 0.9
    draws: int = 100_000
    confidence: float = 0.999
    poor_share: float = 0.7
    seed: int = 0


class Keypoints(NamedTuple):
    """A thinned cloud (n, 3) and its histograms (n, 33), by normals of either sign."""

    points: Array
    features: Array
    flipped: Array


class Registration(NamedTuple):
    """What `register` found.

    transform: (4, 4), from the cloud to the template. inlier_share: of the thinned cloud's points that then have a
    point of the template within the inlier distance, 0 to 1. note: says so when that is poor, else empty.
    """

    transform: Array
    inlier_share: float
    note: str

    def apply(self, points: FloatArray) -> NDArray[np.float32]:
        """Points (n, 3) where the template has them."""
        moved = points.astype(np.float64) @ self.transform[:3, :3].T + self.transform[:3, 3]
        return moved.astype(np.float32)


def describe(points: FloatArray, options: RegistrationOptions) -> Keypoints:
    """What registration needs to know of a cloud (n, 3), metres, that was thinned to `voxel_size`.

    ValueError for fewer points than `FEWEST_POINTS`, which say nothing of a shape, or more than `MOST_POINTS`: matching
    takes time and memory by their square.
    """
    if not FEWEST_POINTS <= len(points) <= MOST_POINTS:
        raise ValueError(f"{len(points)} points, registration takes {FEWEST_POINTS} to {MOST_POINTS}")
    thinned = points.astype(np.float64)
    normals = oriented_normals(thinned, options)
    return Keypoints(thinned, _histograms(thinned, normals, options), _histograms(thinned, -normals, options))


def register(cloud: Keypoints, template: Keypoints, options: RegistrationOptions) -> Registration:
    """The rigid motion that brings `cloud` onto `template`. Where nothing matches, the identity, with a note."""
    tree: Any = cKDTree(template.points)
    best: tuple[float, float] = (-1.0, 0.0)
    transform = np.eye(4)
    for features in (cloud.features, cloud.flipped):
        matches = mutual_matches(features, template.features)
        source, target = cloud.points[matches[:, 0]], template.points[matches[:, 1]]
        for pose in consensus(source, target, options):
            distance, _ = tree.query(_moved(cloud.points, pose))
            near = distance < options.inlier_distance
            merit = (float(near.mean()), -float(distance[near].mean()) if near.any() else 0.0)
            if merit > best:
                best, transform = merit, pose
    share = max(best[0], 0.0)
    return Registration(transform, share, poor_note(share, options))


def poor_note(share: float, options: RegistrationOptions) -> str:
    """What to say of a registration that brings only this share of a cloud onto the template; empty when it is fine."""
    if share >= options.poor_share:
        return ""
    distance = options.inlier_distance * 1000
    return f"poor registration: {share:.0%} of the cloud lies within {distance:g} mm of the template"


def mutual_matches(first: Array, second: Array) -> Matches:
    """Pairs (m, 2) of rows that are each other's nearest; all pairs of `first` with its nearest where those are few.

    first: (n, D), second: (k, D). Of equally near rows the first. Few is less than three draws, as in Open3D.
    """
    forward, backward = _nearest_rows(first, second), _nearest_rows(second, first)
    rows = np.arange(len(first))
    mutual = backward[forward] == rows
    if mutual.sum() >= 3 * SAMPLE:
        rows, forward = rows[mutual], forward[mutual]
    return np.stack([rows, forward], axis=1)


def consensus(source: Array, target: Array, options: RegistrationOptions) -> list[Array]:
    """RANSAC: the poses (4, 4) that agree with most of the matches, best first; none where no draw passes.

    source, target: (m, 3), matched points. A draw of three passes when its triangles have edges of about equal length.
    Each pose is fitted again to all the matches that agree with it.
    """
    total = len(source)
    if total < SAMPLE:
        return []
    rng = np.random.default_rng(options.seed)
    found: list[tuple[int, float, Array]] = []
    drawn, needed = 0, float(options.draws)
    while drawn < min(needed, options.draws):
        drawn += _BATCH
        picks = rng.integers(0, total, (_BATCH, SAMPLE))
        picks = picks[_similar(source[picks], target[picks], options.edge_similarity)]
        if not len(picks):
            continue
        poses = fit_poses(source[picks], target[picks])
        counts, errors = _agreement(source, target, poses, options.inlier_distance)
        order = np.lexsort((errors, -counts))[:_FINALISTS]
        found += [(int(counts[index]), float(errors[index]), poses[index]) for index in order]
        found = sorted(found, key=lambda entry: (-entry[0], entry[1]))[:_FINALISTS]
        share = found[0][0] / total
        if 0 < share < 1:
            needed = np.log(1 - options.confidence) / np.log1p(-(share**SAMPLE))
        elif share == 1:
            break
    return [_refitted(source, target, pose, options.inlier_distance) for count, _, pose in found if count >= SAMPLE]


def fit_poses(source: Array, target: Array) -> Array:
    """The rotation and translation (b, 4, 4) with the least squared error between (b, k, 3) and (b, k, 3) (Kabsch)."""
    source_mean, target_mean = source.mean(axis=1, keepdims=True), target.mean(axis=1, keepdims=True)
    covariance = np.swapaxes(source - source_mean, 1, 2) @ (target - target_mean)
    left, _, right = np.linalg.svd(covariance)
    # The last axis turns over where the best orthogonal map would be a reflection.
    handed = np.ones((len(source), 3))
    handed[:, 2] = np.sign(np.linalg.det(left) * np.linalg.det(right))
    rotation = np.swapaxes((left * handed[:, None, :]) @ right, 1, 2)
    poses = np.tile(np.eye(4), (len(source), 1, 1))
    poses[:, :3, :3] = rotation
    poses[:, :3, 3] = (target_mean - source_mean @ np.swapaxes(rotation, 1, 2))[:, 0]
    return poses


def oriented_normals(points: Array, options: RegistrationOptions) -> Array:
    """Unit normals (n, 3) whose signs agree among neighbours; the sign of a whole connected surface is outwards.

    Outwards is away from its mean, on average, which is arbitrary for flat surfaces: `register` tries both.
    """
    open3d = import_open3d("registration to the template", "Leave it out with --no-register-clouds.")
    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points))
    search = open3d.geometry.KDTreeSearchParamHybrid(options.normal_radius, options.normal_neighbors)
    cloud.estimate_normals(search)
    normals = np.array(cloud.normals)
    pairs = _neighbor_pairs(points)
    agreement = (normals[pairs[:, 0]] * normals[pairs[:, 1]]).sum(axis=1)
    cost = 1 + _FLAT - np.minimum(np.abs(agreement), 1)
    shape = (len(points), len(points))
    first, second = pairs.T.astype(np.int32)  # older versions of SciPy take no wider indices
    graph = coo_array((cost, (first, second)), shape=shape).tocsr()
    tree = minimum_spanning_tree(graph)
    _, part = connected_components(tree, directed=False)
    signs = _spread_signs(tree, part, normals)
    outwards = points - (_sum_by(part, points) / np.bincount(part)[:, None])[part]
    flux = np.bincount(part, weights=(signs[:, None] * normals * outwards).sum(axis=1))
    signed: Array = normals * (signs * np.where(flux < 0, -1.0, 1.0)[part])[:, None]
    return signed


def _spread_signs(tree: Any, part: NDArray[np.integer], normals: Array) -> Array:
    """Signs (n,) by which normals agree along the edges of a spanning forest; `part` is each point's tree."""
    signs = np.ones(len(normals))
    _, roots = np.unique(part, return_index=True)
    for root in roots:
        order, parents = breadth_first_order(tree, root, directed=False)
        children = order[1:]
        agree = (normals[children] * normals[parents[children]]).sum(axis=1)
        for child, turn in zip(children.tolist(), np.where(agree < 0, -1.0, 1.0).tolist(), strict=True):
            signs[child] = signs[parents[child]] * turn
    return signs


def _neighbor_pairs(points: Array) -> Matches:
    """Pairs (p, 2) of near points, each once, the lower index first."""
    neighbors: Any = cKDTree(points)
    _, near = neighbors.query(points, k=min(_NEIGHBORS + 1, len(points)))
    rows = np.repeat(np.arange(len(points)), near.shape[1])
    pairs = np.stack([rows, near.ravel()], axis=1)
    pairs = np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1)
    return np.unique(pairs, axis=0).astype(np.int64)


def _sum_by(part: NDArray[np.integer], points: Array) -> Array:
    return np.stack([np.bincount(part, weights=points[:, axis]) for axis in range(3)], axis=1)


def _histograms(points: Array, normals: Array, options: RegistrationOptions) -> Array:
    open3d = import_open3d()
    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points))
    cloud.normals = open3d.utility.Vector3dVector(normals)
    search = open3d.geometry.KDTreeSearchParamHybrid(options.feature_radius, options.feature_neighbors)
    return np.array(open3d.pipelines.registration.compute_fpfh_feature(cloud, search).data).T


def _nearest_rows(queries: Array, rows: Array) -> NDArray[np.int64]:
    """The index of the nearest row (k, D) of each query (n, D)."""
    squares = (rows**2).sum(axis=1)
    nearest = [
        (squares - 2 * (queries[start : start + _ROWS] @ rows.T)).argmin(axis=1)
        for start in range(0, len(queries), _ROWS)
    ]
    return np.concatenate(nearest).astype(np.int64)


def _similar(source: Array, target: Array, ratio: float) -> NDArray[np.bool_]:
    """(b,), which triangles (b, 3, 3) have edges of similar lengths, none of them 0."""
    first = np.linalg.norm(source - np.roll(source, 1, axis=1), axis=2)
    second = np.linalg.norm(target - np.roll(target, 1, axis=1), axis=2)
    shorter, longer = np.minimum(first, second), np.maximum(first, second)
    similar: NDArray[np.bool_] = np.all((shorter >= ratio * longer) & (shorter > 0), axis=1)
    return similar


def _agreement(source: Array, target: Array, poses: Array, distance: float) -> tuple[NDArray[np.int64], Array]:
    """For each pose (b, 4, 4) how many matches agree with it, and their mean squared error."""
    counts, errors = np.zeros(len(poses), dtype=np.int64), np.zeros(len(poses))
    for index, pose in enumerate(poses):
        squared = ((_moved(source, pose) - target) ** 2).sum(axis=1)
        agree = squared < distance**2
        counts[index] = agree.sum()
        errors[index] = squared[agree].mean() if counts[index] else np.inf
    return counts, errors


def _refitted(source: Array, target: Array, pose: Array, distance: float) -> Array:
    """The pose fitted to all matches that agree with it, as long as that makes more of them agree."""
    best, count = pose, 0
    for _ in range(_REFITS):
        agree = ((_moved(source, pose) - target) ** 2).sum(axis=1) < distance**2
        if agree.sum() <= count:
            break
        count = int(agree.sum())
        best = pose
        pose = fit_poses(source[agree][None], target[agree][None])[0]
    return best


def _moved(points: Array, pose: Array) -> Array:
    moved: Array = points @ pose[:3, :3].T + pose[:3, 3]
    return moved
