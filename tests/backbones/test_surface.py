import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsfa_cli.backbones import load_backbone
from lsfa_cli.backbones.surface import (
    BINS,
    SCALES,
    least_eigenvectors,
    pixel_features,
    point_spacing,
)
from lsfa_cli.errors import DataError, UsageError
from lsfa_cli.projection import patch_validity, pooling_matrix
from tests.backbones import scans

FLAT = BINS.index(0.0)


@pytest.fixture(scope="module")
def surface():
    return load_backbone("surface", image_size=48, grid=12)


def rounded(side=48, radius=0.03, sign=1.0):
    """A spherical cap towards the camera (sign 1) or away from it (sign -1)."""
    x, y = scans.grid_of(side)
    valid = np.hypot(x, y) < 0.009
    height = np.sqrt(np.where(valid, radius**2 - x**2 - y**2, 1))
    return scans.scan(sign * np.where(valid, height, 0), valid)


def plain_features(xyz, valid):
    """Pixel by pixel, with a library's eigenvectors and each elevation put into its two bins."""
    spacing = point_spacing(xyz, valid)
    side = len(valid)

    def ball(row, column, step):
        radius = 1.5 * 2.5 * step * spacing
        for i in range(-2, 3):
            for j in range(-2, 3):
                r, c = row + i * step, column + j * step
                if (i, j) == (0, 0) or abs(i * j) == 4 or not (0 <= r < side and 0 <= c < side and valid[r, c]):
                    continue
                difference = (xyz[:, r, c].astype(np.float64) - xyz[:, row, column]) / radius
                if difference @ difference < 1:
                    yield (r, c), difference, 1 - difference @ difference

    # A whole neighbourhood facing the camera: 4 neighbours at 1, 4 at sqrt 2, 4 at 2 and 8 at sqrt 5 pixels.
    whole = 20 - (4 * 1 + 4 * 2 + 4 * 4 + 8 * 5) / 3.75**2
    normals = np.zeros_like(xyz, dtype=np.float64)
    for row, column in np.argwhere(valid):
        near = list(ball(row, column, 1))
        weights = np.array([1.0] + [w for _, _, w in near])
        differences = np.array([np.zeros(3)] + [d for _, d, _ in near])
        centred = differences - weights @ differences / weights.sum()
        vector = np.linalg.eigh((centred * weights[:, None]).T @ centred)[1][:, 0]
        normals[:, row, column] = vector if vector[2] < 0 else -vector
    result = []
    for row, column in np.argwhere(valid):
        blocks = []
        for step in SCALES:
            near = list(ball(row, column, step))
            total = sum(w for _, _, w in near)
            for own in (True, False):
                histogram = np.zeros(len(BINS))
                for (r, c), difference, weight in near:
                    normal = normals[:, row, column] if own else normals[:, r, c]
                    elevation = normal @ difference / np.linalg.norm(difference)
                    for position in range(len(BINS)):
                        hat = np.zeros(len(BINS))
                        hat[position] = 1
                        histogram[position] += weight / max(total, whole / 2) * np.interp(elevation, BINS, hat)
                blocks.append(histogram)
        result.append(np.concatenate(blocks))
    return np.array(result)


def test_features_equal_the_plain_way():
    sample = scans.wavy_scan(26)
    fast = pixel_features(sample.xyz, sample.valid)
    assert fast.shape == (sample.valid.sum(), 54)
    np.testing.assert_allclose(fast, plain_features(sample.xyz, sample.valid), rtol=0, atol=2e-3)


@pytest.mark.parametrize("slope", [(0, 0), (0.5, 0), (-0.4, 0.6)])
def test_a_plane_is_flat_however_it_is_tilted(slope):
    x, y = scans.grid_of(40)
    plane = scans.scan(slope[0] * x + slope[1] * y, np.hypot(x, y) < 0.007)
    features = pixel_features(plane.xyz, plane.valid).reshape(-1, 6, len(BINS))
    assert np.delete(features, FLAT, axis=2).max() < 5e-3
    inside = np.hypot(x, y)[plane.valid] < 0.003
    np.testing.assert_allclose(features[inside, :, FLAT], 1, atol=5e-3)
    assert features[~inside, :, FLAT].min() > 0.3


def test_a_sphere_has_the_elevations_that_geometry_says():
    sample = rounded()
    features = pixel_features(sample.xyz, sample.valid)
    middle = np.flatnonzero((np.argwhere(sample.valid) == [24, 24]).all(axis=1))[0]
    own, neighbors = features[middle].reshape(3, 2, len(BINS))[1]
    # A chord of length d on a sphere of radius R rises d / 2R over the tangent plane; here d is 0.9 to 2 mm,
    # so the mean of the chords' sines lies between 0.015 and 0.034, away from the camera as seen from the middle.
    assert 0.015 < -(own @ BINS) < 0.034
    assert 0.015 < neighbors @ BINS < 0.034


def test_dents_and_bumps_mirror_each_other():
    bump, dent = rounded(sign=1.0), rounded(sign=-1.0)
    a = pixel_features(bump.xyz, bump.valid).reshape(-1, 6, len(BINS))
    b = pixel_features(dent.xyz, dent.valid).reshape(-1, 6, len(BINS))
    np.testing.assert_allclose(a, b[:, :, ::-1], atol=5e-3)
    assert np.abs(a - b).max() > 0.2


@pytest.mark.parametrize("offset", [(0.1, -0.05, 0.2), (-0.03, 0.01, -0.3)])
def test_moving_the_part_changes_nothing(offset):
    sample = scans.wavy_scan()
    moved = scans.moved(sample, offset)
    np.testing.assert_allclose(
        pixel_features(moved.xyz, moved.valid), pixel_features(sample.xyz, sample.valid), rtol=0, atol=2e-3
    )


def test_turning_the_part_turns_the_map():
    sample = scans.wavy_scan()
    turned = np.rot90(sample.xyz, axes=(1, 2))
    # The raster turns by 90 degrees, and x and y with it.
    turned = np.stack([turned[1], -turned[0], turned[2]])
    positions = np.full(sample.valid.shape, -1)
    positions[sample.valid] = np.arange(sample.valid.sum())
    order = np.rot90(positions)[np.rot90(sample.valid)]
    np.testing.assert_allclose(
        pixel_features(turned, np.rot90(sample.valid)),
        pixel_features(sample.xyz, sample.valid)[order],
        rtol=0,
        atol=2e-3,
    )


def test_features_are_in_units_of_the_neighbourhood():
    sample = scans.wavy_scan()
    np.testing.assert_allclose(
        pixel_features(sample.xyz * 8, sample.valid), pixel_features(sample.xyz, sample.valid), rtol=0, atol=1e-5
    )


def test_depth_edges_do_not_leak():
    x, y = scans.grid_of(40)
    step = scans.scan(np.where(x < 0, 0.05, 0.3 * y), np.hypot(x, y) < 0.007)
    features = pixel_features(step.xyz, step.valid).reshape(-1, 6, len(BINS))
    assert np.delete(features, FLAT, axis=2).max() < 5e-3
    # On a straight edge half a neighbourhood is there, which is enough to count in full.
    inside = np.hypot(x, y)[step.valid] < 0.003
    np.testing.assert_allclose(features[inside, :, FLAT], 1, atol=5e-3)


def test_what_invalid_pixels_hold_does_not_matter(surface):
    sample = scans.wavy_scan()
    (expected,) = surface.patches([sample])
    np.testing.assert_array_equal(surface.patches([scans.with_garbage(sample)])[0].values, expected.values)


def test_padding_by_invalid_pixels_changes_nothing():
    sample = scans.wavy_scan()
    padded = scans.padded(sample, 8)
    np.testing.assert_array_equal(pixel_features(padded.xyz, padded.valid), pixel_features(sample.xyz, sample.valid))
    paper = [load_backbone("surface", image_size=48 + 16 * k, grid=12 + 4 * k, projection="paper") for k in (0, 1)]
    (small,), (large,) = paper[0].patches([sample]), paper[1].patches([padded])
    np.testing.assert_array_equal(large.values, small.values)
    np.testing.assert_array_equal(large.valid.reshape(16, 16)[2:14, 2:14], small.valid.reshape(12, 12))


def test_patches_are_the_pooled_pixels(surface):
    sample = scans.wavy_scan()
    (patches,) = surface.patches([sample])
    assert patches.values.dtype == np.float32
    assert patches.dimension == surface.dimension == 54
    np.testing.assert_array_equal(patches.valid, patch_validity(sample.valid, 12))
    pooled = pooling_matrix(sample.valid, 12, "public") @ pixel_features(sample.xyz, sample.valid)
    np.testing.assert_allclose(patches.values, pooled[patches.valid], rtol=0, atol=1e-6)


def test_bytes_repeat_and_a_batch_is_its_samples(surface):
    samples = [scans.wavy_scan(), scans.few_points(200)]
    together = surface.patches(samples)
    for sample, patches in zip(samples, together, strict=True):
        assert surface.patches([sample])[0].values.tobytes() == patches.values.tobytes()


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_histograms_are_shares_on_any_cloud(seed):
    rng = np.random.default_rng(seed)
    valid = rng.random((12, 12)) < rng.uniform(0.1, 1)
    valid[5, 5:7] = True
    xyz = rng.uniform(0, 10.0 ** rng.uniform(-3, 1), (3, 12, 12)).astype(np.float32)
    blocks = pixel_features(xyz, valid).reshape(-1, 6, len(BINS))
    assert blocks.min() > -1e-5
    assert blocks.sum(axis=2).max() < 1 + 1e-5


def test_a_lone_pixel_has_no_histogram():
    sample = scans.wavy_scan()
    valid = sample.valid.copy()
    valid[20:37, 20:37] = False
    valid[28, 28] = True
    features = pixel_features(np.where(valid, sample.xyz, 0), valid)
    lone = np.flatnonzero((np.argwhere(valid) == [28, 28]).all(axis=1))[0]
    assert not features[lone].any()


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_points_name_the_file(surface, count):
    with pytest.raises(DataError, match=rf"scan/007\.tiff: {count} points .* surface needs 2"):
        surface.patches([scans.few_points(count, xyz="scan/007.tiff")])


def test_points_without_neighbours_name_the_file(surface):
    sample = scans.wavy_scan(xyz="scan/008.tiff")
    valid = np.zeros_like(sample.valid)
    valid[::3, ::3] = True
    alone = scans.with_cloud(sample, np.ones_like(sample.xyz), valid)
    with pytest.raises(DataError, match=r"scan/008\.tiff: .* adjacent"):
        surface.patches([alone])
    with pytest.raises(ValueError, match="adjacent"):
        pixel_features(alone.xyz, alone.valid)


def test_weights_and_impossible_grids_are_refused():
    with pytest.raises(UsageError, match="no weights"):
        load_backbone("surface", "weights.pth")
    with pytest.raises(UsageError, match="grid of 64 patches"):
        load_backbone("surface", image_size=32, grid=64)


def test_point_spacing_is_the_median_of_adjacent_distances():
    xyz = np.zeros((3, 2, 3), dtype=np.float32)
    xyz[0] = [[0, 1, 4], [0, 0, 0]]
    valid = np.array([[True, True, True], [False, False, True]])
    # Distances 1 and 3 along the row, 4 down the last column.
    assert point_spacing(xyz, valid) == 3
    assert point_spacing(xyz, np.eye(2, 3, dtype=bool)) == 0


def test_least_eigenvectors_equal_a_library():
    rng = np.random.default_rng(0)
    shapes = rng.standard_normal((500, 3, 3)) * 10.0 ** rng.uniform(-4, 2, (500, 1, 1))
    matrices = shapes @ shapes.transpose(0, 2, 1)
    entries = matrices[:, (0, 1, 2, 0, 0, 1), (0, 1, 2, 1, 2, 2)].T
    vectors = least_eigenvectors(entries)
    expected = np.linalg.eigh(matrices)[1][:, :, 0]
    np.testing.assert_allclose(np.abs((vectors.T * expected).sum(axis=1)), 1, atol=1e-7)
    degenerate = np.array([[0, 0, 0, 0, 0, 0], [2, 2, 2, 0, 0, 0], [3, 0, 0, 0, 0, 0]], dtype=np.float64).T
    np.testing.assert_array_equal(least_eigenvectors(degenerate), 0)


@pytest.mark.parametrize("depth", [-4e-4, 4e-4])
def test_a_shallow_dent_or_bump_stands_out_from_normal_parts(depth):
    backbone = load_backbone("surface", image_size=64, grid=16)
    x, y = scans.grid_of(64)
    valid = np.hypot(x, y) < 0.013

    def part(seed, defect):
        rng = np.random.default_rng(seed)
        height = 2e-3 * np.cos(250 * x) + 2e-5 * rng.standard_normal(x.shape)
        spot = np.exp(-((x - 4e-3) ** 2 + (y + 3e-3) ** 2) / (2 * 9e-4**2))
        return scans.scan(height + defect * spot, valid)

    bank = np.concatenate([patches.values for patches in backbone.patches([part(seed, 0) for seed in range(6)])])
    good, bad = backbone.patches([part(100, 0), part(100, depth)])
    scores = np.zeros((2, 256))
    for row, patches in zip(scores, (good, bad), strict=True):
        distance = np.linalg.norm(patches.values[:, None, :] - bank[None], axis=2)
        row[patches.valid] = distance.min(axis=1)
    worst = np.unravel_index(scores[1].argmax(), (16, 16))
    centre = np.array([32 - 3e-3 / scans.SPACING, 32 + 4e-3 / scans.SPACING]) / 4
    assert np.abs(np.array(worst) + 0.5 - centre).max() < 1.5
    assert scores[1].max() > 1.5 * scores[0].max()
