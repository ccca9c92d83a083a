import numpy as np
import pytest

from lsfa_cli.pasting.camera import camera_of
from tests.pasting.scans import DISTANCE, FOCAL, heights, scan

PART = heights(96, 120) > 0


def rays_of(camera_kind, xyz):
    """The true viewing rays to points (n, 3) of the cameras of `scan`."""
    if camera_kind == "parallel":
        return np.broadcast_to([0.0, 0.0, 1.0], xyz.shape)
    place = np.array([0.02, 0.3, -0.01]) if camera_kind == "elsewhere" else np.zeros(3)
    rays = xyz.astype(np.float64) - place
    return rays / np.linalg.norm(rays, axis=-1, keepdims=True)


@pytest.mark.parametrize("kind", ["origin", "elsewhere", "parallel"])
def test_rays_are_those_that_the_cloud_was_seen_along(kind):
    xyz, valid = scan(camera=kind)
    camera = camera_of(xyz, valid & PART)
    found, true = camera.away(xyz[valid]), rays_of(kind, xyz[valid])
    # The part is 30 mm high in half a metre: a degree is what its relief determines.
    assert np.degrees(np.arccos(np.clip((found * true).sum(axis=-1), -1, 1))).max() < 1.0
    assert np.linalg.norm(found, axis=-1) == pytest.approx(1.0)


@pytest.mark.parametrize("kind", ["origin", "elsewhere", "parallel"])
def test_a_pixel_and_a_plane_meet_where_the_pixels_point_is(kind):
    xyz, valid = scan(camera=kind)
    known = valid & PART
    camera = camera_of(xyz, known)
    rows, columns = np.nonzero(known)
    normal = np.array([0.0, 0.0, 1.0])
    met = camera.meet(rows, columns, normal, -xyz[known][:, 2].astype(np.float64))
    assert np.abs(met - xyz[known]).max() < 2e-5


def test_the_camera_of_a_made_up_cloud_by_hand():
    xyz, valid = scan(camera="origin", gaps=False)
    camera = camera_of(xyz, valid)
    met = camera.meet(np.array([48]), np.array([60]), np.array([0.0, 0.0, 1.0]), -1.0)
    assert met == pytest.approx(np.array([[0.0, 0.0, 1.0]]), abs=1e-4)  # the middle pixel looks straight ahead
    met = camera.meet(np.array([48]), np.array([110]), np.array([0.0, 0.0, 1.0]), -1.0)
    assert met == pytest.approx(np.array([[50 / FOCAL, 0.0, 1.0]]), abs=1e-4)


def test_a_flat_cloud_is_seen_from_the_origin():
    rows, columns = np.mgrid[:20, :30] - np.array([10, 15])[:, None, None]
    xyz = np.stack([columns / FOCAL * DISTANCE, rows / FOCAL * DISTANCE, np.full((20, 30), DISTANCE)], -1)
    camera = camera_of(xyz, np.ones((20, 30), dtype=bool))
    assert camera.away(np.array([0.1, 0.0, 0.5])) == pytest.approx(np.array([0.1, 0, 0.5]) / np.hypot(0.1, 0.5))


def test_a_flat_cloud_around_the_origin_is_seen_along_z():
    rows, columns = np.mgrid[:20, :30] - np.array([10, 15])[:, None, None]
    xyz = np.stack([columns * 5e-4, rows * 5e-4, np.zeros((20, 30))], axis=-1)
    camera = camera_of(xyz, np.ones((20, 30), dtype=bool))
    assert camera.away(xyz[3, 4]) == pytest.approx(np.array([0.0, 0.0, 1.0]), abs=1e-6)


def test_few_points_determine_no_camera():
    with pytest.raises(ValueError, match="5 points"):
        camera_of(np.ones((1, 5, 3)), np.ones((1, 5), dtype=bool))
