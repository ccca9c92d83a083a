import numpy as np
import pytest
import torch
import torch.nn.functional as functional

from lsfa_cli.pointcloud import farthest_point_sampling, valid_points
from lsfa_cli.projection import (
    interpolation_matrix,
    patch_validity,
    pooling_matrix,
    projection_matrix,
    repeat_index,
    to_patches,
)

CASES = [f"{cloud}.g{groups}" for cloud in ("bumpy2000", "tilted700") for groups in ("64k16", "128k32")]


def organized_cloud(side, seed=0):
    """A wavy round part about 0.6 m away, with a hole and a lone pixel in the corner."""
    row, column = np.mgrid[:side, :side] / side
    valid = (np.hypot(row - 0.5, column - 0.45) < 0.35) & (np.hypot(row - 0.4, column - 0.5) > 0.06)
    valid[-1, -1] = valid[0, side // 2] = True
    height = 0.6 + 0.004 * np.sin(9 * row) * np.cos(7 * column)
    xyz = np.stack([0.1 * column, 0.1 * row, height]).astype(np.float32)
    return np.where(valid, xyz, 0).astype(np.float32), valid


def dense_public_patches(features, valid, grid):
    """The public code's way through a whole map of (D, S, S)."""
    side = len(valid)
    dense = np.zeros((features.shape[1], side, side))
    dense[:, valid] = features.T
    pooled = functional.adaptive_avg_pool2d(functional.avg_pool2d(torch.from_numpy(dense)[None], 3, stride=1), grid)
    return pooled[0].reshape(features.shape[1], -1).numpy().T


@pytest.mark.parametrize("case", CASES)
def test_public_interpolation_equals_the_reference(shared, case):
    with np.load(shared("vectors/point_mae.npz")) as vectors:
        points = vectors[f"{case.split('.')[0]}.points"]
        part = {name: vectors[f"{case}.{name}"] for name in ("centers", "features", "interp_idx", "interp_weight")}
        stored = {name: vectors[f"{case}.interp_{name}"] for name in ("points", "features", "sum", "norm")}
    matrix = interpolation_matrix(points, part["centers"], "public")
    np.testing.assert_array_equal(matrix.indices.reshape(-1, 3), part["interp_idx"])
    np.testing.assert_allclose(matrix.data.reshape(-1, 3), part["interp_weight"], rtol=0, atol=1e-9)
    features = matrix.astype(np.float32) @ part["features"].T
    np.testing.assert_allclose(features[stored["points"]].T, stored["features"], rtol=0, atol=2e-5)
    np.testing.assert_allclose(features.sum(axis=1, dtype=np.float64), stored["sum"], rtol=0, atol=5e-3)
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), stored["norm"], rtol=0, atol=5e-3)


@pytest.mark.parametrize(("side", "grid"), [(224, 56), (224, 28), (64, 16), (50, 14), (20, 20)])
def test_public_pooling_equals_the_dense_way(side, grid):
    _, valid = organized_cloud(side)
    features = np.random.default_rng(1).standard_normal((int(valid.sum()), 5))
    pooled = pooling_matrix(valid, grid, "public") @ features
    np.testing.assert_allclose(pooled, dense_public_patches(features, valid, grid), rtol=0, atol=1e-12)


def test_one_sparse_matrix_equals_interpolation_and_dense_pooling():
    xyz, valid = organized_cloud(224)
    points = valid_points(xyz, valid)
    centers = points[farthest_point_sampling(points, 200)]
    features = np.random.default_rng(2).standard_normal((200, 24)).astype(np.float32)
    matrix = projection_matrix(points, centers, valid, 56, "public")
    patches = to_patches(features, matrix, valid, 56)
    dense = dense_public_patches(interpolation_matrix(points, centers, "public") @ features, valid, 56)
    np.testing.assert_allclose(patches.values, dense[patches.valid], rtol=0, atol=1e-5)
    assert patches.values.dtype == np.float32
    # Bins overlap, so some patches without a point of their own are not 0; they are still not valid.
    assert (np.abs(dense).sum(axis=1) > 0)[patches.valid].all()
    stored = matrix.data.nbytes + matrix.indices.nbytes + matrix.indptr.nbytes
    assert stored < 2e6


def test_paper_projection_by_plain_loops():
    xyz, valid = organized_cloud(40)
    points = valid_points(xyz, valid).astype(np.float64)
    centers = points[farthest_point_sampling(points, 30)]
    features = np.random.default_rng(3).standard_normal((30, 4))
    by_point = np.empty((len(points), 4))
    for i, point in enumerate(points):
        distance = np.sqrt(((centers - point) ** 2).sum(axis=1))
        if distance.min() == 0:
            by_point[i] = features[distance.argmin()]
        else:
            by_point[i] = (features / distance[:, None]).sum(axis=0) / (1 / distance).sum()
    sums, counts = np.zeros((100, 4)), np.zeros(100)
    for feature, row, column in zip(by_point, *np.nonzero(valid), strict=True):
        sums[row // 4 * 10 + column // 4] += feature
        counts[row // 4 * 10 + column // 4] += 1
    patches = to_patches(features, projection_matrix(points, centers, valid, 10, "paper"), valid, 10)
    np.testing.assert_array_equal(patches.valid, counts > 0)
    np.testing.assert_allclose(
        patches.values, (sums[counts > 0] / counts[counts > 0, None]).astype(np.float32), rtol=1e-6, atol=1e-7
    )


def test_paper_blocks_do_not_change_the_result(monkeypatch):
    xyz, valid = organized_cloud(40)
    points = valid_points(xyz, valid)
    whole = projection_matrix(points, points[:50], valid, 10, "paper")
    monkeypatch.setattr("lsfa_cli.projection._BLOCK_ENTRIES", 50 * 7)
    np.testing.assert_allclose(projection_matrix(points, points[:50], valid, 10, "paper"), whole, rtol=1e-12)


@pytest.mark.parametrize("rule", ["public", "paper"])
def test_interpolation_weights_sum_to_one_and_stay_with_translation(rule):
    rng = np.random.default_rng(4)
    points = rng.uniform(0, 0.1, (60, 3))
    matrix = interpolation_matrix(points, points[:20], rule)
    dense = matrix if rule == "paper" else matrix.toarray()
    np.testing.assert_allclose(dense.sum(axis=1), 1, rtol=1e-12)
    moved = interpolation_matrix(points + 2.5, points[:20] + 2.5, rule)
    np.testing.assert_allclose(moved if rule == "paper" else moved.toarray(), dense, rtol=0, atol=1e-9)


def test_a_point_on_a_centre():
    points = np.array([[0.0, 0, 0], [0.01, 0, 0]])
    centers = np.array([[0.0, 0, 0], [0.03, 0, 0], [0.0, 0, 0]])
    # Two centres at d = 0 share the weight; the other point is 0.01, 0.02, 0.01 away.
    np.testing.assert_allclose(
        interpolation_matrix(points, centers, "paper"), [[0.5, 0, 0.5], [0.4, 0.2, 0.4]], rtol=1e-12
    )
    weight = 1 / (np.array([0.0, 9e-4, 0.0]) + 1e-8)
    public = interpolation_matrix(points, centers, "public").toarray()
    np.testing.assert_allclose(public[0], weight / weight.sum(), rtol=1e-12)


def test_fewer_than_three_centres():
    matrix = interpolation_matrix(np.zeros((4, 3)), np.ones((2, 3)), "public")
    np.testing.assert_allclose(matrix.toarray(), np.full((4, 2), 0.5))


def test_patch_validity_is_any_pixel_under_the_patch():
    valid = np.zeros((224, 224), dtype=bool)
    valid[3, 7] = valid[220, 223] = True
    assert np.flatnonzero(patch_validity(valid, 56)).tolist() == [1, 55 * 56 + 55]
    assert not patch_validity(np.zeros((8, 8), dtype=bool), 4).any()


@pytest.mark.parametrize("side", [16, 21, 30, 50])
@pytest.mark.parametrize("grid", [4, 7, 16])
def test_every_valid_patch_takes_something_of_its_own_pixels(side, grid):
    for pixel in np.random.default_rng(side * grid).integers(0, side, (20, 2)):
        valid = np.zeros((side, side), dtype=bool)
        valid[tuple(pixel)] = True
        patch = patch_validity(valid, grid)
        assert patch.sum() == 1
        for rule in ("public", "paper"):
            assert pooling_matrix(valid, grid, rule).toarray()[patch, 0] > 0


@pytest.mark.parametrize("rule", ["public", "paper"])
def test_no_valid_pixel_gives_no_patches(rule):
    valid = np.zeros((16, 16), dtype=bool)
    patches = to_patches(np.zeros((0, 3), dtype=np.float32), pooling_matrix(valid, 4, rule), valid, 4)
    assert patches.values.shape == (0, 3)
    assert not patches.valid.any()


def test_repeat_index():
    assert repeat_index(2, 4).tolist() == [0, 0, 1, 1, 0, 0, 1, 1, 2, 2, 3, 3, 2, 2, 3, 3]
    assert repeat_index(2, 3).tolist() == [0, 0, 1, 0, 0, 1, 2, 2, 3]


def test_repeating_28_to_56_is_the_adaptive_mean_of_the_public_code():
    values = np.random.default_rng(5).standard_normal((28 * 28, 3))
    pooled = functional.adaptive_avg_pool2d(torch.from_numpy(values.T.reshape(1, 3, 28, 28)), 56)
    np.testing.assert_array_equal(values[repeat_index(28, 56)], pooled[0].reshape(3, -1).numpy().T)


def test_bad_arguments_are_refused():
    valid = np.ones((8, 8), dtype=bool)
    with pytest.raises(ValueError, match="projection 'publik'"):
        pooling_matrix(valid, 4, "publik")
    with pytest.raises(ValueError, match="projection 'publik'"):
        interpolation_matrix(np.zeros((1, 3)), np.zeros((1, 3)), "publik")
    with pytest.raises(ValueError, match="9 patches does not fit 8 pixels"):
        patch_validity(valid, 9)
    with pytest.raises(ValueError, match="square mask"):
        pooling_matrix(np.ones((4, 5), dtype=bool), 2, "public")
    with pytest.raises(ValueError, match="3 points for 64 valid pixels"):
        projection_matrix(np.zeros((3, 3)), np.zeros((3, 3)), valid, 4, "public")
    with pytest.raises(ValueError, match="too few for a 3 x 3 mean"):
        pooling_matrix(np.ones((2, 2), dtype=bool), 1, "public")
