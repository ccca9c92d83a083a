"""Backbones of unorganized clouds: which there are, what a group is, and what is refused."""

import numpy as np
import pytest

from lsfa_cli.backbones import BACKBONES, CLOUD_BACKBONES, load_backbone, load_cloud_backbone
from lsfa_cli.backbones.base import Backbone, CloudBackbone
from lsfa_cli.errors import MissingDependencyError, UnknownNameError, UsageError
from lsfa_cli.open3d_library import import_open3d
from tests.datasets.real3d_trees import whole


@pytest.fixture
def points():
    return (whole(0, 900) / 1000).astype(np.float32)


@pytest.fixture
def fpfh():
    try:
        import_open3d()
    except MissingDependencyError as error:
        pytest.skip(error.message)
    return load_cloud_backbone("fpfh")


def test_the_list_names_the_classes_that_have_groups():
    assert set(CLOUD_BACKBONES) == {name for name in BACKBONES if hasattr(BACKBONES[name].load(), "group_features")}


@pytest.mark.parametrize("name", sorted(set(BACKBONES) - set(CLOUD_BACKBONES)))
def test_others_say_which_ones_work(name):
    with pytest.raises(UsageError, match=f"backbone {name} does not work on unorganized point clouds") as caught:
        load_cloud_backbone(name)
    assert caught.value.hint == "Use --xyz-backbone fpfh (or point_mae, coordinates)."


def test_unknown_names_and_arguments_are_refused_as_elsewhere():
    with pytest.raises(UnknownNameError, match="Did you mean 'fpfh'"):
        load_cloud_backbone("fpfhh")
    with pytest.raises(UnknownNameError, match="argument of backbone coordinates"):
        load_cloud_backbone("coordinates?scale=2")
    with pytest.raises(UsageError, match="no weights"):
        load_cloud_backbone("coordinates", "weights.pth")


def test_coordinates_are_millimetres_of_every_point(points):
    backbone = load_cloud_backbone("coordinates")
    assert isinstance(backbone, CloudBackbone)
    assert not isinstance(backbone, Backbone)
    centers, features = backbone.group_features(points)
    np.testing.assert_array_equal(centers, points)
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, points.astype(np.float64) * 1000, rtol=1e-6)
    assert (backbone.dimension, backbone.minimum_points) == (3, 1)
    with pytest.raises(ValueError, match="no points"):
        backbone.group_features(points[:0])


def test_coordinates_are_no_features_of_an_organized_scan():
    with pytest.raises(UsageError, match="unorganized point clouds only") as caught:
        load_backbone("coordinates")
    assert "surface" in caught.value.hint


def test_fpfh_has_a_group_at_every_point(fpfh, points):
    assert isinstance(fpfh, CloudBackbone)
    centers, features = fpfh.group_features(points)
    np.testing.assert_array_equal(centers, points)
    assert features.dtype == np.float32
    np.testing.assert_array_equal(features, fpfh.point_features(points).astype(np.float32))
    assert features.shape == (900, fpfh.dimension)
    with pytest.raises(ValueError, match="needs 3"):
        fpfh.group_features(points[:2])


def test_fpfh_of_the_same_place_does_not_depend_on_the_far_side(fpfh, points):
    """A scan of one side has about the whole object's histograms there: normals have the same signs."""
    from scipy.spatial import cKDTree

    scan = points[points[:, 2] > 0]
    middle = scan[:, 2] > np.quantile(scan[:, 2], 0.7)  # far from the cut
    _, same = cKDTree(points).query(scan[middle])
    whole_features, scan_features = fpfh.group_features(points).features, fpfh.group_features(scan).features
    np.testing.assert_allclose(scan_features[middle], whole_features[same], atol=25)
    assert np.median(np.abs(scan_features[middle] - whole_features[same])) < 0.1
