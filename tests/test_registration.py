"""Registration of whole and partial clouds of a made-up object whose pose is known, against Open3D among others."""

import dataclasses

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from lsfa_cli.errors import MissingDependencyError
from lsfa_cli.open3d_library import import_open3d
from lsfa_cli.pointcloud import thin
from lsfa_cli.registration import (
    FEWEST_POINTS,
    MOST_POINTS,
    RegistrationOptions,
    consensus,
    describe,
    fit_poses,
    mutual_matches,
    oriented_normals,
    poor_note,
    register,
)
from tests.datasets.real3d_trees import directions, scan, surface, whole

OPTIONS = RegistrationOptions()


@pytest.fixture(scope="module")
def open3d():
    try:
        return import_open3d()
    except MissingDependencyError as error:
        pytest.skip(error.message)


def keypoints(points):
    return describe(thin(points, OPTIONS.voxel_size), OPTIONS)


def moved_scan(seed, kind):
    """A scan as the data set reads it, and where its points lie on the object; metres."""
    points, _, turn = scan(seed, kind)
    moved = turn.apply(points) + np.array([20.0, -10.0, 100.0])
    return (moved - moved.mean(axis=0)) / 1000, points / 1000


@pytest.fixture(scope="module")
def template(open3d):
    return keypoints(whole(0) / 1000)


# --- the whole of it


@pytest.mark.parametrize(("seed", "kind"), [(0, "good"), (1, "good"), (11, "bulge"), (12, "bulge"), (21, "sink")])
def test_scans_of_one_side_come_back_onto_the_object(template, seed, kind):
    raw, expected = moved_scan(seed, kind)
    found = register(keypoints(raw), template, OPTIONS)
    error = np.linalg.norm(found.apply(raw) - expected, axis=1)
    assert error.max() < OPTIONS.voxel_size
    assert found.inlier_share > 0.95
    assert found.note == ""
    np.testing.assert_allclose(found.transform[:3, :3] @ found.transform[:3, :3].T, np.eye(3), atol=1e-9)
    assert np.linalg.det(found.transform) == pytest.approx(1)
    assert found.transform[3].tolist() == [0, 0, 0, 1]


def test_whole_clouds_come_back_onto_the_object(template):
    turn = Rotation.random(random_state=5)
    other = whole(9) / 1000  # other points of the same surface
    found = register(keypoints(turn.apply(other) + 0.01), template, OPTIONS)
    assert np.linalg.norm(found.apply(turn.apply(other) + 0.01) - other, axis=1).max() < OPTIONS.voxel_size


def test_the_result_repeats_and_follows_the_seed(template):
    cloud = keypoints(moved_scan(2, "good")[0])
    first = register(cloud, template, OPTIONS)
    again = register(keypoints(moved_scan(2, "good")[0]), template, OPTIONS)
    assert first.transform.tobytes() == again.transform.tobytes()
    assert first.inlier_share == again.inlier_share
    other = register(cloud, template, dataclasses.replace(OPTIONS, seed=1, draws=4096))
    np.testing.assert_allclose(other.transform, first.transform, atol=0.05)


def test_it_is_no_worse_than_open3d_on_the_same_keypoints(template, open3d):
    """Open3D's RANSAC with its own search for matches, on the very points and histograms that ours has."""
    pipelines = open3d.pipelines.registration

    def cloud_of(points):
        return open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points))

    def feature_of(values):
        feature = pipelines.Feature()
        feature.data = values.T
        return feature

    for seed in (3, 4):
        raw, expected = moved_scan(seed, "bulge")
        cloud = keypoints(raw)
        ours = register(cloud, template, OPTIONS)
        open3d.utility.random.seed(0)
        theirs = max(
            (
                pipelines.registration_ransac_based_on_feature_matching(
                    cloud_of(cloud.points),
                    cloud_of(template.points),
                    feature_of(features),
                    feature_of(template.features),
                    True,
                    OPTIONS.inlier_distance,
                    pipelines.TransformationEstimationPointToPoint(False),
                    3,
                    [
                        pipelines.CorrespondenceCheckerBasedOnEdgeLength(OPTIONS.edge_similarity),
                        pipelines.CorrespondenceCheckerBasedOnDistance(OPTIONS.inlier_distance),
                    ],
                    pipelines.RANSACConvergenceCriteria(OPTIONS.draws, OPTIONS.confidence),
                )
                for features in (cloud.features, cloud.flipped)
            ),
            key=lambda result: result.fitness,
        )
        pose = np.asarray(theirs.transformation)
        their_error = np.linalg.norm(raw @ pose[:3, :3].T + pose[:3, 3] - expected, axis=1).mean()
        our_error = np.linalg.norm(ours.apply(raw) - expected, axis=1).mean()
        assert our_error <= their_error + 0.0001
        assert ours.inlier_share >= theirs.fitness - 0.01


def test_a_cloud_of_something_else_is_noted(template):
    ball = directions(3000, 1) * 0.012
    found = register(keypoints(ball), template, OPTIONS)
    assert found.inlier_share < OPTIONS.poor_share
    assert found.note == poor_note(found.inlier_share, OPTIONS)
    assert "within 0.75 mm of the template" in found.note


def test_a_registration_is_poor_below_its_limit():
    assert poor_note(0.7, OPTIONS) == ""
    assert poor_note(0.42, OPTIONS).startswith("poor registration: 42% of the cloud")


def test_clouds_of_few_points_give_no_nonsense(template):
    for points in (whole(0)[:FEWEST_POINTS], np.zeros((FEWEST_POINTS, 3))):
        found = register(describe(points / 1000, OPTIONS), template, OPTIONS)
        assert np.isfinite(found.transform).all()
        np.testing.assert_allclose(found.transform[:3, :3] @ found.transform[:3, :3].T, np.eye(3), atol=1e-9)
    for count in (0, FEWEST_POINTS - 1, MOST_POINTS + 1):
        with pytest.raises(ValueError, match="registration takes 100 to 50000"):
            describe(np.zeros((count, 3)), OPTIONS)


# --- its parts


def test_poses_are_those_that_made_the_points():
    rng = np.random.default_rng(0)
    source = rng.normal(size=(50, 5, 3))
    turns = Rotation.random(50, random_state=1)
    shifts = rng.normal(size=(50, 1, 3))
    target = np.stack([turn.apply(points) for turn, points in zip(turns, source, strict=True)]) + shifts
    poses = fit_poses(source, target)
    np.testing.assert_allclose(poses[:, :3, :3], turns.as_matrix(), atol=1e-9)
    np.testing.assert_allclose(poses[:, :3, 3], shifts[:, 0], atol=1e-9)


def test_poses_of_noisy_points_equal_scipy_and_are_no_reflections():
    rng = np.random.default_rng(2)
    source, target = rng.normal(size=(30, 4, 3)), rng.normal(size=(30, 4, 3))  # nothing in common
    poses = fit_poses(source, target)
    np.testing.assert_allclose(np.linalg.det(poses[:, :3, :3]), 1)
    for pose, first, second in zip(poses, source, target, strict=True):
        expected, _ = Rotation.align_vectors(second - second.mean(axis=0), first - first.mean(axis=0))
        np.testing.assert_allclose(pose[:3, :3], expected.as_matrix(), atol=1e-6)


def test_three_points_determine_a_pose():
    """Triangles are flat: the rotation is whole all the same."""
    source = np.array([[[0.0, 0, 0], [1, 0, 0], [0, 1, 0]]])
    pose = fit_poses(source, source @ np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]]) + 2)[0]
    np.testing.assert_allclose(pose[:3, :3].T, [[0, 0, 1], [1, 0, 0], [0, 1, 0]], atol=1e-12)
    np.testing.assert_allclose(pose[:3, 3], [2, 2, 2], atol=1e-12)


def test_mutual_matches_equal_their_plain_twin():
    rng = np.random.default_rng(3)
    first, second = rng.normal(size=(1500, 5)), rng.normal(size=(1100, 5))
    squared = ((first[:, None, :] - second[None, :, :]) ** 2).sum(axis=2)
    expected = [
        [row, column]
        for row, column in enumerate(squared.argmin(axis=1).tolist())
        if int(squared[:, column].argmin()) == row
    ]
    assert mutual_matches(first, second).tolist() == expected


def test_few_mutual_matches_are_filled_up_with_one_sided_ones():
    first, second = np.arange(20.0)[:, None], np.array([[0.0], [100.0]])
    assert mutual_matches(first, second).tolist() == [[row, 0] for row in range(20)]


def test_consensus_finds_the_pose_among_wrong_matches():
    """A fifth of 400 matches are right."""
    rng = np.random.default_rng(4)
    source = rng.uniform(-0.02, 0.02, (400, 3))
    turn = Rotation.random(random_state=2)
    target = rng.uniform(-0.02, 0.02, (400, 3))
    target[:80] = turn.apply(source[:80]) + 0.003 + rng.normal(0, 1e-5, (80, 3))
    best = consensus(source, target, OPTIONS)[0]
    np.testing.assert_allclose(best[:3, :3], turn.as_matrix(), atol=1e-3)
    np.testing.assert_allclose(best[:3, 3], 0.003, atol=1e-5)


def test_consensus_of_nothing_is_nothing():
    points = np.random.default_rng(5).uniform(size=(2, 3))
    assert consensus(points, points, OPTIONS) == []
    many = np.random.default_rng(5).uniform(size=(40, 3))
    assert consensus(many, np.zeros((40, 3)), OPTIONS) == []  # no triangle has edges


def test_normals_point_outwards_on_an_open_and_on_a_closed_surface(open3d):
    unit = directions(4000, 0)
    outwards = surface(unit) / np.linalg.norm(surface(unit), axis=1, keepdims=True)
    for seen in (np.ones(4000, dtype=bool), unit[:, 2] > 0.1):
        normals = oriented_normals(surface(unit)[seen] / 1000, OPTIONS)
        np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-9)
        assert (normals * outwards[seen]).sum(axis=1).min() > 0


def test_normals_of_parts_that_do_not_touch_are_signed_by_themselves(open3d):
    ball = directions(1500, 0) * 0.004
    normals = oriented_normals(np.concatenate([ball, ball + 0.05]), OPTIONS)
    assert (normals[:1500] * ball).sum(axis=1).min() > 0
    assert (normals[1500:] * ball).sum(axis=1).min() > 0
