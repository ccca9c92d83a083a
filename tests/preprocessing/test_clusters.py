"""DBSCAN on cells against scikit-learn's, a plain one, Open3D's, and clouds worked out by hand."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.cluster import DBSCAN

from lsfa_cli.backbones.fpfh import import_open3d
from lsfa_cli.datasets.tiffs import read_cloud
from lsfa_cli.errors import MissingDependencyError
from lsfa_cli.preprocessing import clusters
from lsfa_cli.preprocessing.clusters import dbscan, largest_cluster
from lsfa_cli.preprocessing.plane import border, fit_plane

Shared = Callable[[str], Path]


def plain_dbscan(points: NDArray[np.float64], distance: float, min_points: int) -> NDArray[np.int64]:
    """All distances, and the definition word by word."""
    near = np.sqrt(((points[:, None] - points[None]) ** 2).sum(axis=2)) <= distance
    core = near.sum(axis=1) >= min_points
    labels = np.full(len(points), -1)
    for start in np.flatnonzero(core):
        if labels[start] >= 0:
            continue
        label = labels.max() + 1
        labels[start], waiting = label, [start]
        while waiting:
            for neighbor in np.flatnonzero(near[waiting.pop()] & (labels < 0)):
                labels[neighbor] = label
                if core[neighbor]:
                    waiting.append(neighbor)
    return labels


def blobs(seed: int, count: int, spread: float) -> NDArray[np.float64]:
    """Points around a few places within a decimetre, some on a sheet, some anywhere."""
    random = np.random.default_rng(seed)
    places = random.uniform(0, 0.1, (random.integers(1, 6), 3))
    points = places[random.integers(len(places), size=count)] + random.normal(0, spread, (count, 3))
    points[: count // 4, 2] = 0.05
    points[count // 2 : count // 2 + count // 8] = random.uniform(-0.05, 0.15, (count // 8, 3))
    return points


@given(
    seed=st.integers(0, 10**6),
    count=st.integers(1, 600),
    spread=st.sampled_from([1e-4, 0.002, 0.006, 0.02]),
    min_points=st.sampled_from([1, 2, 5, 30]),
)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_labels_are_those_of_dbscan(seed: int, count: int, spread: float, min_points: int) -> None:
    points = blobs(seed, count, spread)
    labels = dbscan(points, distance=0.006, min_points=min_points)
    np.testing.assert_array_equal(labels, plain_dbscan(points, 0.006, min_points))
    np.testing.assert_array_equal(labels, DBSCAN(eps=0.006, min_samples=min_points).fit_predict(points))


@pytest.mark.parametrize("size", [0.05, 0.08, 0.12, 0.2])
def test_labels_are_those_of_dbscan_where_clusters_just_hold_together(size: int) -> None:
    points = np.random.default_rng(3).uniform(0, size, (12_000, 3)) * [1, 1, 0.3]
    labels = dbscan(points, distance=0.006, min_points=8)
    np.testing.assert_array_equal(labels, DBSCAN(eps=0.006, min_samples=8).fit_predict(points))


def test_sorted_cells_and_small_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    points = np.random.default_rng(4).uniform(0, 0.13, (4000, 3)) * [1, 1, 0.3]
    expected = dbscan(points, distance=0.006, min_points=8)
    assert expected.max() > 3
    assert (expected < 0).any()
    monkeypatch.setattr(clusters, "_TABLE_SIZE", 1)
    monkeypatch.setattr(clusters, "_CHUNK", 7)
    np.testing.assert_array_equal(dbscan(points, distance=0.006, min_points=8), expected)


def test_stray_points_far_away_change_nothing() -> None:
    points = blobs(5, 900, 0.002).astype(np.float32)
    stray = np.array([[3e38, -3e38, 0], [-1e12, 5, 5], [0, 0, -4e5]], dtype=np.float32)
    labels = dbscan(np.concatenate([stray, points]), distance=0.006, min_points=30)
    assert labels[:3].tolist() == [-1, -1, -1]
    np.testing.assert_array_equal(labels[3:], dbscan(points, distance=0.006, min_points=30))


def test_points_exactly_the_distance_apart_are_neighbours() -> None:
    chain = np.arange(6)[:, None] * np.array([0.25, 0.0, 0.0])
    assert dbscan(chain, distance=0.25, min_points=2).tolist() == [0] * 6
    assert dbscan(chain, distance=0.25, min_points=3).tolist() == [0] * 6  # the ends are no core points
    assert dbscan(chain, distance=np.nextafter(0.25, 0), min_points=2).tolist() == [-1] * 6


def test_point_between_two_clusters_joins_the_first() -> None:
    """Two piles of four at 0 and 2, one point at 1: not core with min_points 6, near both piles' edges."""
    line = np.array([1.0, 0, 0, 0, 0, 0.1, 1.9, 2, 2, 2, 2])
    points = np.stack([line, np.zeros(11), np.zeros(11)], axis=1)
    for order in (np.arange(11), np.arange(11)[::-1]):
        labels = dbscan(points[order], distance=0.9, min_points=5)
        np.testing.assert_array_equal(labels, DBSCAN(eps=0.9, min_samples=5).fit_predict(points[order]))
        assert labels[np.flatnonzero(order == 0)[0]] == 0
        assert labels.max() == 1


def test_points_at_one_place_and_no_points() -> None:
    assert dbscan(np.full((40, 3), 0.6), distance=0.006, min_points=30).tolist() == [0] * 40
    assert dbscan(np.full((29, 3), 0.6), distance=0.006, min_points=30).tolist() == [-1] * 29
    assert dbscan(np.zeros((0, 3)), distance=0.006, min_points=30).tolist() == []


def organized(*columns: float) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """A row of 100 points 1 mm apart for each given height; pixels without a point between."""
    xyz = np.zeros((2 * len(columns), 100, 3), dtype=np.float32)
    valid = np.zeros(xyz.shape[:2], dtype=bool)
    for row, height in enumerate(columns):
        xyz[2 * row, :, 0] = np.arange(100) * 1e-3
        xyz[2 * row, :, 2] = height
        valid[2 * row] = True
    return xyz, valid


def test_largest_cluster_is_kept_and_of_equal_ones_the_first() -> None:
    xyz, valid = organized(0.5, 0.6, 0.7)
    valid[0, 90:] = False
    keep = largest_cluster(xyz, valid, distance=0.006, min_points=5)
    expected = np.zeros_like(valid)
    expected[2] = True
    np.testing.assert_array_equal(keep, expected)


def test_noise_is_never_the_largest_cluster() -> None:
    """30 points together and 500 alone, which published code would keep instead."""
    random = np.random.default_rng(6)
    xyz = random.uniform(-5, 5, (10, 53, 3)).astype(np.float32)
    xyz[4, :30] = 0.5 + random.uniform(0, 1e-3, (30, 3))
    valid = np.ones((10, 53), dtype=bool)
    keep = largest_cluster(xyz, valid, distance=0.006, min_points=30)
    assert keep.sum() == 30
    assert keep[4, :30].all()
    assert not largest_cluster(xyz, valid, distance=0.006, min_points=31).any()
    assert not largest_cluster(xyz, np.zeros_like(valid), distance=0.006, min_points=1).any()


def real_part(path: Path, step: int) -> NDArray[np.float64]:
    """Points above the background of a real scan, of every `step`-th row and column."""
    xyz, valid = read_cloud(path)
    plane = fit_plane(xyz[border(*valid.shape, 10) & valid], inlier_distance=0.004, sample_points=50, draws=100, seed=0)
    assert plane is not None
    above = valid & (plane.distances(xyz) >= 0.005)
    return xyz[::step, ::step][above[::step, ::step]].astype(np.float64)


def open3d_or_skip() -> Any:
    try:
        return import_open3d()
    except MissingDependencyError as error:
        pytest.skip(error.message)


def kept_otherwise_by_open3d(open3d: Any, path: Path) -> tuple[int, int]:
    """Pixels that Open3D's DBSCAN and ours do not agree to keep, and all that have a point above the background."""
    xyz, valid = read_cloud(path)
    plane = fit_plane(xyz[border(*valid.shape, 10) & valid], inlier_distance=0.004, sample_points=50, draws=100, seed=0)
    assert plane is not None
    above = valid & (plane.distances(xyz) >= 0.005)
    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(xyz[above].astype(np.float64)))
    labels = np.asarray(cloud.cluster_dbscan(eps=0.006, min_points=30))
    expected = np.zeros_like(valid)
    expected[above] = labels == np.bincount(labels[labels >= 0]).argmax()
    return int((largest_cluster(xyz, above, distance=0.006, min_points=30) != expected).sum()), int(above.sum())


@pytest.mark.parametrize(("name", "step"), [("train/good/xyz/009", 2), ("test/good/xyz/009", 3)])
def test_real_parts_as_scikit_learn_sees_them(shared: Shared, name: str, step: int) -> None:
    points = real_part(shared(f"data/mvtec3d/cable_gland/{name}.tiff"), step)
    for distance, min_points in ((0.006, 30), (0.003, 30), (0.0015, 10)):
        expected = DBSCAN(eps=distance, min_samples=min_points, algorithm="kd_tree").fit_predict(points)
        np.testing.assert_array_equal(dbscan(points, distance=distance, min_points=min_points), expected)


@pytest.mark.parametrize("distance", [0.006, 0.002])
def test_real_part_as_open3d_sees_it(shared: Shared, distance: float) -> None:
    open3d = open3d_or_skip()
    points = real_part(shared("data/mvtec3d/cable_gland/test/bent/xyz/005.tiff"), 2)
    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points))
    expected = np.asarray(cloud.cluster_dbscan(eps=distance, min_points=20))
    np.testing.assert_array_equal(dbscan(points, distance=distance, min_points=20), expected)


def test_same_pixels_are_kept_as_by_open3d(shared: Shared) -> None:
    """At full resolution, of every sixteenth real sample; `nox -s bench` compares all of them."""
    open3d = open3d_or_skip()
    different = total = 0
    for path in sorted(shared("data/mvtec3d/cable_gland").rglob("xyz/*.tiff"))[::16]:
        different_here, total_here = kept_otherwise_by_open3d(open3d, path)
        different, total = different + different_here, total + total_here
    assert total > 90_000
    assert different <= 0.001 * total
