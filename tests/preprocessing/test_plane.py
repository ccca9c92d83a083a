"""The background plane: exact on clean data, robust to a part on the border, honest about no plane."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lsfa_cli.backbones.fpfh import import_open3d
from lsfa_cli.datasets.tiffs import read_cloud
from lsfa_cli.errors import MissingDependencyError
from lsfa_cli.preprocessing.plane import Plane, border, fit_plane

INLIER = 0.004
TRUTH = Plane(np.array([0.2, -0.1, -1.0]) / np.linalg.norm([0.2, -0.1, -1.0]), 0.6 / np.linalg.norm([0.2, -0.1, -1.0]))


def on_plane(count: int, seed: int, noise: float = 5e-4) -> NDArray[np.float64]:
    """Points of z = 0.6 + 0.2 x - 0.1 y, 10 cm wide."""
    random = np.random.default_rng(seed)
    x, y = random.uniform(-0.05, 0.05, (2, count))
    return np.stack([x, y, 0.6 + 0.2 * x - 0.1 * y + random.normal(0, noise, count)], axis=1)


def fit(points: NDArray[np.floating], sample_points: int = 50, draws: int = 1000, seed: int = 0) -> Plane | None:
    return fit_plane(points, inlier_distance=INLIER, sample_points=sample_points, draws=draws, seed=seed)


def off_by(plane: Plane | None) -> float:
    """The largest difference to the true plane over the field, metres."""
    assert plane is not None
    assert np.linalg.norm(plane.normal) == pytest.approx(1)
    points = on_plane(2000, 99, noise=0.02)
    return float(np.abs(plane.distances(points) - TRUTH.distances(points)).max())


@pytest.mark.parametrize(("height", "width", "width_of_border"), [(12, 9, 2), (5, 30, 2), (6, 6, 3), (4, 4, 10)])
def test_border_is_the_outermost_rows_and_columns(height: int, width: int, width_of_border: int) -> None:
    for (row, column), inside in np.ndenumerate(border(height, width, width_of_border)):
        edge = min(row, column, height - 1 - row, width - 1 - column)
        assert inside == (edge < width_of_border)


def test_distances_by_hand() -> None:
    plane = Plane(np.array([0.0, 0.6, 0.8]), -1.0)
    points = np.array([[[0, 0, 1.25], [5, 0, 0], [1, 2, 3]]], dtype=np.float32)
    np.testing.assert_allclose(plane.distances(points), [[0, 1, 2.6]], atol=1e-7)


def test_clean_plane_is_the_least_squares_plane_of_its_points() -> None:
    points = on_plane(3000, 1)
    plane = fit(points)
    assert plane is not None
    centred = points - points.mean(axis=0)
    normal = np.linalg.svd(centred)[2][2]
    np.testing.assert_allclose(abs(plane.normal @ normal), 1, atol=1e-12)
    np.testing.assert_allclose(plane.distances(points.mean(axis=0)), 0, atol=1e-12)


def test_result_is_refitted_to_its_own_inliers() -> None:
    points = np.concatenate([on_plane(1500, 2), on_plane(400, 3) - [0, 0, 0.02]])
    plane = fit(points)
    assert plane is not None
    inliers = points[plane.distances(points) < INLIER]
    assert len(inliers) == 1500
    normal = np.linalg.svd(inliers - inliers.mean(axis=0))[2][2]
    np.testing.assert_allclose(abs(plane.normal @ normal), 1, atol=1e-12)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.45])
def test_scattered_outliers_do_not_move_the_plane(share: float) -> None:
    points = on_plane(4000, 4)
    outliers = np.random.default_rng(5).uniform([-0.05, -0.05, 0.4], [0.05, 0.05, 0.7], (int(4000 * share), 3))
    points[: len(outliers)] = outliers
    assert off_by(fit(points)) < 3e-4


@pytest.mark.parametrize("share", [0.1, 0.2, 0.3])
@pytest.mark.parametrize("height", [0.015, 0.03])
def test_part_across_one_side_of_the_border_does_not_move_the_plane(share: float, height: float) -> None:
    """A draw of 50 is never free of the part here: 0.7 ** 50 is 2e-8."""
    points = on_plane(6000, 6)
    part = points[:, 0] > np.quantile(points[:, 0], 1 - share)
    points[part, 2] -= height
    for seed in range(3):
        assert off_by(fit(points, seed=seed)) < 3e-4


def test_stray_points_far_away_do_no_harm() -> None:
    points = on_plane(3000, 7).astype(np.float32)
    points[:5] = [[3e38, 0, 1], [-3e38, 1, 0], [0, 1e20, 0], [1e9, 1e9, 1e9], [0, 0, -1e6]]
    assert off_by(fit(points)) < 3e-4


def test_same_seed_same_bytes_and_row_order_matters_little() -> None:
    points = np.concatenate([on_plane(3000, 8), on_plane(900, 9) - [0, 0, 0.01]])
    first, again, other = fit(points), fit(points.copy()), fit(points, seed=1)
    assert first is not None
    assert again is not None
    assert first.normal.tobytes() == again.normal.tobytes()
    assert first.offset == again.offset
    assert max(off_by(first), off_by(other)) < 3e-4


def test_many_draws_are_made_in_blocks() -> None:
    assert off_by(fit(on_plane(500, 10), sample_points=5, draws=10_000)) < 3e-4


@pytest.mark.parametrize("sample_points", [3, 50])
def test_too_few_points_give_no_plane(sample_points: int) -> None:
    assert fit(on_plane(sample_points - 1, 11), sample_points) is None
    assert fit(on_plane(0, 11), sample_points) is None
    assert off_by(fit(on_plane(sample_points, 11, noise=0), sample_points)) < 1e-6


def test_points_on_a_line_or_at_one_place_give_no_plane() -> None:
    line = np.linspace(0, 0.1, 200)[:, None] * np.array([1.0, 2.0, 0.5]) + [0, 0, 0.6]
    assert fit(line) is None
    assert fit(np.full((100, 3), 0.6)) is None


def test_three_points_are_the_least_for_a_draw() -> None:
    with pytest.raises(ValueError, match="takes 3 points, not 2"):
        fit(on_plane(100, 12), sample_points=2)


def test_open3d_finds_the_same_plane_on_real_borders(shared: Callable[[str], Path]) -> None:
    try:
        open3d = import_open3d()
    except MissingDependencyError as error:
        pytest.skip(error.message)
    for name in ("train/good/xyz/009", "test/hole/xyz/010", "test/bent/xyz/020"):
        xyz, valid = read_cloud(shared(f"data/mvtec3d/cable_gland/{name}.tiff"))
        points = xyz[border(*valid.shape, 10) & valid].astype(np.float64)
        open3d.utility.random.seed(0)
        cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points))
        model, _ = cloud.segment_plane(distance_threshold=INLIER, ransac_n=50, num_iterations=1000)
        theirs = Plane(np.array(model[:3]), float(model[3]))
        ours = fit(points)
        assert ours is not None
        differ = (ours.distances(xyz) < 0.005) != (theirs.distances(xyz) < 0.005)
        assert (differ & valid).sum() <= 1e-4 * valid.sum()
