import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsfa_cli.errors import DataError
from lsfa_cli.pointcloud import farthest_point_sampling, nearest_neighbors, points_of, thin, valid_points
from tests.backbones import scans

CASES = [(cloud, groups, size) for cloud in ("bumpy2000", "tilted700") for groups, size in ((64, 16), (128, 32))]


def plain_farthest(points, count, start=0):
    picked = [start]
    while len(picked) < count:
        squared = np.array([[((p - points[q]) ** 2).sum() for q in picked] for p in points]).min(axis=1)
        squared[picked] = -1
        picked.append(int(np.argmax(squared)))
    return np.array(picked)


def plain_neighbors(points, queries, count):
    squared = ((queries[:, None, :] - points[None, :, :]) ** 2).sum(axis=2)
    index = np.argsort(squared, axis=1, kind="stable")[:, :count]
    return np.sqrt(np.take_along_axis(squared, index, axis=1)), index


@pytest.mark.parametrize(("cloud", "groups", "size"), CASES)
def test_farthest_points_and_groups_equal_the_reference(shared, cloud, groups, size):
    with np.load(shared("vectors/point_mae.npz")) as vectors:
        points = vectors[f"{cloud}.points"]
        case = f"{cloud}.g{groups}k{size}"
        expected_centers, expected_groups = vectors[f"{case}.center_idx"], vectors[f"{case}.neighbors"]
    picked = farthest_point_sampling(points, groups)
    np.testing.assert_array_equal(picked, expected_centers)
    np.testing.assert_array_equal(farthest_point_sampling(points.astype(np.float64), groups), expected_centers)
    _, index = nearest_neighbors(points, points[picked], size)
    np.testing.assert_array_equal(np.sort(index, axis=1), expected_groups)
    np.testing.assert_array_equal(index[:, 0], picked)


def test_farthest_points_by_hand():
    # On a line 0, 1, 2, 3, 10: from 0 the farthest is 10; then 3 (3 away from 0); 1 and 2 are both 1 away, 1 is first.
    points = np.zeros((5, 3), dtype=np.float32)
    points[:, 0] = [0, 1, 2, 3, 10]
    assert farthest_point_sampling(points, 5).tolist() == [0, 4, 3, 1, 2]
    assert farthest_point_sampling(points, 2, start=2).tolist() == [2, 4]


@given(st.integers(0, 2**32 - 1), st.integers(1, 24), st.booleans())
@settings(max_examples=40, deadline=None)
def test_farthest_points_equal_the_plain_loop_with_ties_and_copies(seed, total, coarse):
    rng = np.random.default_rng(seed)
    points = rng.integers(0, 3, (total, 3)).astype(np.float64) if coarse else rng.standard_normal((total, 3))
    count = int(rng.integers(1, total + 1))
    start = int(rng.integers(total))
    np.testing.assert_array_equal(
        farthest_point_sampling(points, count, start=start), plain_farthest(points, count, start)
    )


def test_coinciding_points_are_picked_once_each():
    assert farthest_point_sampling(np.ones((4, 3)), 4).tolist() == [0, 1, 2, 3]


@given(st.integers(0, 2**32 - 1), st.booleans())
@settings(max_examples=40, deadline=None)
def test_neighbors_equal_a_full_sort_with_ties_to_the_lowest_index(seed, coarse):
    rng = np.random.default_rng(seed)
    total = int(rng.integers(1, 60))
    points = rng.integers(0, 3, (total, 3)).astype(np.float32) if coarse else rng.standard_normal((total, 3))
    queries = np.concatenate([points[: total // 2], rng.integers(0, 3, (5, 3))])
    count = int(rng.integers(1, total + 1))
    distance, index = nearest_neighbors(points, queries, count)
    expected_distance, expected_index = plain_neighbors(points.astype(np.float64), queries.astype(np.float64), count)
    np.testing.assert_array_equal(index, expected_index)
    np.testing.assert_allclose(distance, expected_distance, rtol=0, atol=1e-15)


def test_a_regular_grid_far_from_the_origin_keeps_its_ties():
    grid = np.stack(np.meshgrid(np.arange(12), np.arange(12), [600]), axis=-1).reshape(-1, 3).astype(np.float64)
    distance, index = nearest_neighbors(grid, grid, 4)
    expected_distance, expected_index = plain_neighbors(grid, grid, 4)
    np.testing.assert_array_equal(index, expected_index)
    np.testing.assert_array_equal(distance, expected_distance)


def test_no_queries_give_empty_neighbors():
    distance, index = nearest_neighbors(np.zeros((3, 3)), np.zeros((0, 3)), 2)
    assert distance.shape == index.shape == (0, 2)


@pytest.mark.parametrize("count", [0, 4])
def test_more_than_there_are_is_an_error(count):
    points = np.arange(9.0).reshape(3, 3)
    with pytest.raises(ValueError, match=f"{count} farthest points asked of 3"):
        farthest_point_sampling(points, count)
    with pytest.raises(ValueError, match=f"{count} neighbours asked of 3"):
        nearest_neighbors(points, points, count)
    with pytest.raises(ValueError, match="start 3"):
        farthest_point_sampling(points, 2, start=3)


def test_valid_points_come_in_raster_order():
    xyz = np.arange(12, dtype=np.float32).reshape(3, 2, 2)
    valid = np.array([[False, True], [True, False]])
    assert valid_points(xyz, valid).tolist() == [[1, 5, 9], [2, 6, 10]]


def test_points_of_a_sample_with_too_few_names_its_file():
    sample = scans.few_points(7, xyz="part/xyz/003.tiff")
    np.testing.assert_array_equal(points_of(sample, 7, "surface"), valid_points(sample.xyz, sample.valid))
    with pytest.raises(DataError, match=r"part/xyz/003\.tiff: 7 points .* point_mae needs 1024"):
        points_of(sample, 1024, "point_mae")
    with pytest.raises(DataError, match=r"^test/hole/001: 7 points"):
        points_of(scans.few_points(7, name="test/hole/001"), 8, "fpfh")


def plain_thin(points, spacing):
    """Cells as a dictionary, in the order of their x, y and z."""
    cells = {}
    for point in points.tolist():
        cells.setdefault(tuple(math.floor(value / spacing) for value in point), []).append(point)
    return np.array([np.mean(cells[cell], axis=0) for cell in sorted(cells)])


@pytest.mark.parametrize("spacing", [0.05, 0.3, 10.0])
def test_thinning_equals_its_plain_twin(spacing):
    points = np.random.default_rng(0).normal(size=(700, 3))
    thinned = thin(points, spacing)
    assert thinned.dtype == np.float32
    np.testing.assert_allclose(thinned, plain_thin(points, spacing), rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(thin(points[::-1], spacing), thinned, atol=1e-6)


def test_thinning_keeps_the_grid_where_it_is():
    """A cloud that is cut in two at a cell's side is thinned as its halves are."""
    points = np.random.default_rng(1).uniform(-1, 1, size=(500, 3))
    left = points[:, 0] < 0.25
    halves = np.concatenate([thin(points[left], 0.25), thin(points[~left], 0.25)])
    np.testing.assert_array_equal(halves, thin(points, 0.25))


def test_no_spacing_keeps_every_point_and_no_points_are_none():
    points = np.random.default_rng(2).normal(size=(9, 3)).astype(np.float32)
    np.testing.assert_array_equal(thin(points, 0), points)
    assert thin(points[:0], 0.5).shape == (0, 3)


def test_spacings_and_units_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="below 0"):
        thin(np.zeros((1, 3)), -1)
    for far in (2.0**20, -(2.0**20) - 1, np.inf, np.nan):
        with pytest.raises(ValueError, match="farther than 1048576 cells"):
            thin(np.array([[0.0, far, 0.0]]), 1)
    corners = np.array([[-1.0, -1, -1], [1, 1, 1]]) * (2.0**20 - 0.5)
    np.testing.assert_array_equal(thin(corners, 1), corners.astype(np.float32))
