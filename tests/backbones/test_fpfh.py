import sys

import numpy as np
import pytest

from lsfa_cli.backbones import load_backbone
from lsfa_cli.errors import DataError, MissingDependencyError, UsageError
from lsfa_cli.open3d_library import import_open3d
from lsfa_cli.pointcloud import valid_points
from lsfa_cli.projection import patch_validity, pooling_matrix
from tests.backbones import scans


@pytest.fixture(scope="module")
def open3d():
    try:
        return import_open3d()
    except MissingDependencyError as error:
        pytest.skip(error.message)


@pytest.fixture
def fpfh(open3d):
    return load_backbone("fpfh", image_size=48, grid=12)


def test_creating_the_backbone_without_open3d_raises_that_error(monkeypatch):
    monkeypatch.setitem(sys.modules, "open3d", None)  # Python's own way to make an import fail
    with pytest.raises(
        MissingDependencyError, match=r"^backbone fpfh: .*pip install open3d.* surface needs no Open3D"
    ) as caught:
        load_backbone("fpfh")
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_patches_are_the_pooled_features_of_points(fpfh, open3d):
    sample = scans.wavy_scan()
    (patches,) = fpfh.patches([sample])
    assert patches.values.dtype == np.float32
    assert patches.dimension == fpfh.dimension == 33
    np.testing.assert_array_equal(patches.valid, patch_validity(sample.valid, 12))
    points = valid_points(sample.xyz, sample.valid)
    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points.astype(np.float64)))
    cloud.estimate_normals(open3d.geometry.KDTreeSearchParamHybrid(0.1, 30))
    # Towards the camera: n . (camera - p) > 0 with the camera at the origin.
    normals = np.asarray(cloud.normals)
    normals[(normals * points).sum(axis=1) > 0] *= -1
    cloud.normals = open3d.utility.Vector3dVector(normals)
    search = open3d.geometry.KDTreeSearchParamHybrid(0.25, 100)
    features = np.asarray(open3d.pipelines.registration.compute_fpfh_feature(cloud, search).data).T
    pooled = (pooling_matrix(sample.valid, 12, "public") @ features)[patches.valid]
    np.testing.assert_allclose(patches.values, pooled, rtol=1e-6, atol=1e-4)
    # Each of the three angles has one histogram that sums to 100 a neighbourhood, and one of its own.
    np.testing.assert_allclose(features.sum(axis=1), 600, atol=1e-3)


@pytest.mark.parametrize("size", [0.02, 0.6])
def test_within_the_radius_and_beyond_it_histograms_are_those_of_the_plain_code(fpfh, open3d, size):
    points = np.random.default_rng(0).normal(size=(600, 3)) * size / 6 + [0, 0, 1]
    assert (np.linalg.norm(np.ptp(points, axis=0)) < fpfh.arguments.feature_radius) == (size < 0.1)
    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points))
    cloud.estimate_normals(open3d.geometry.KDTreeSearchParamHybrid(0.1, 30))
    cloud.orient_normals_towards_camera_location(np.zeros(3))
    search = open3d.geometry.KDTreeSearchParamHybrid(0.25, 100)
    expected = np.asarray(open3d.pipelines.registration.compute_fpfh_feature(cloud, search).data).T
    np.testing.assert_allclose(fpfh.point_features(points), expected, atol=1e-9)


def test_orientation_changes_the_features_and_the_identity(open3d):
    sample = scans.wavy_scan()
    oriented, plain = (load_backbone(f"fpfh?orient={flag}", image_size=48, grid=12) for flag in ("true", "false"))
    assert oriented.identity != plain.identity
    assert "orient=false" in plain.identity["arguments"]
    a, b = oriented.patches([sample])[0].values, plain.patches([sample])[0].values
    assert np.abs(a - b).max() > 1


def test_bytes_repeat(fpfh):
    sample = scans.wavy_scan()
    first = fpfh.patches([sample])[0].values.tobytes()
    for _ in range(5):
        assert fpfh.patches([sample])[0].values.tobytes() == first


def test_invalid_pixels_do_not_matter(fpfh):
    sample = scans.wavy_scan()
    (expected,) = fpfh.patches([sample])
    (garbage,) = fpfh.patches([scans.with_garbage(sample)])
    np.testing.assert_array_equal(garbage.values, expected.values)
    larger = load_backbone("fpfh?orient=true", image_size=64, grid=16, projection="paper")
    same_grid = load_backbone("fpfh", image_size=48, grid=12, projection="paper")
    np.testing.assert_array_equal(
        larger.patches([scans.padded(sample, 8)])[0].values, same_grid.patches([sample])[0].values
    )


def test_a_batch_is_its_samples(fpfh):
    samples = [scans.wavy_scan(), scans.few_points(200)]
    together = fpfh.patches(samples)
    for sample, patches in zip(samples, together, strict=True):
        np.testing.assert_array_equal(fpfh.patches([sample])[0].values, patches.values)


@pytest.mark.parametrize("count", [0, 2])
def test_too_few_points_name_the_file(fpfh, count):
    with pytest.raises(DataError, match=rf"scan/007\.tiff: {count} points .* fpfh needs 3"):
        fpfh.patches([scans.few_points(count, xyz="scan/007.tiff")])
    assert fpfh.patches([scans.few_points(3)])[0].values.shape[1] == 33


@pytest.mark.parametrize(
    ("argument", "rule"),
    [
        ("normal_radius=0", "normal_radius must be above 0"),
        ("normal_neighbors=2", "normal_neighbors must be at least 3"),
        ("feature_radius=-1", "feature_radius must be above 0"),
        ("feature_neighbors=1", "feature_neighbors must be at least 3"),
    ],
)
def test_impossible_neighbourhoods_are_refused(argument, rule):
    with pytest.raises(UsageError, match=rule):
        load_backbone(f"fpfh?{argument}")


def test_weights_and_impossible_grids_are_refused(open3d):
    with pytest.raises(UsageError, match="no weights"):
        load_backbone("fpfh", "weights.pth")
    with pytest.raises(UsageError, match="grid of 64 patches"):
        load_backbone("fpfh", image_size=32, grid=64)
