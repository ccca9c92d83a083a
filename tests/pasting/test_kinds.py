"""What every kind of defect must do and must not."""

from dataclasses import asdict, replace
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from lsfa_cli.datasets import open_dataset
from lsfa_cli.pasting import KINDS, kinds_for
from lsfa_cli.pasting.paste import LARGEST, SMALLEST, paste
from lsfa_cli.pasting.scene import scene_of
from lsfa_cli.preprocessing import PreprocessOptions, prepare
from tests.pasting.scans import OPTIONS, WITHOUT_PLANE, sample, scaled, scene

ALL = list(KINDS)
# Of kinds that move points along their rays: millimetres towards the camera on a part of the reference size.
RANGES = {
    "bump": (0.0, 5.0),
    "dent": (-5.0, 0.0),
    "hole": (-10.0, 0.5),
    "scratch": (-3.0, 0.0),
    "foreign_material": (0.0, 4.0),
    "cut_and_paste": (-3.0, 3.0),
}
MOVE_CONTENT = ("missing_piece", "warp")

seeds = st.integers(min_value=0, max_value=10_000)
kinds = st.sampled_from(ALL)
quick = settings(max_examples=40, deadline=None, derandomize=True)


@lru_cache
def shared_scene(has="both", camera="origin", gaps=True, height=96, width=120):
    return scene(has=has, camera=camera, gaps=gaps, height=height, width=width)


def pasted(of, kind, seed=0):
    return paste(of, kind, np.random.default_rng(seed)).sample


def towards_camera(of, after):
    """Movement (n,) along the rays, and sideways (n,), metres, of points of the mask that were and are there."""
    both = after.mask & after.valid & of.sample.valid
    before = of.sample.xyz[both].astype(np.float64)
    moved = after.xyz[both].astype(np.float64) - before
    rays = of.camera.away(before)
    along = -(moved * rays).sum(axis=1)
    return along, np.linalg.norm(moved + along[:, None] * rays, axis=1)


@pytest.mark.parametrize("kind", ALL)
def test_equal_seeds_give_equal_samples_and_others_do_not(kind):
    of = shared_scene()
    first, again, other = pasted(of, kind, 1), pasted(scene(), kind, 1), pasted(of, kind, 2)
    for name in ("rgb", "xyz", "valid", "mask"):
        assert np.array_equal(getattr(first, name), getattr(again, name))
    assert not np.array_equal(first.mask, other.mask)


@pytest.mark.parametrize("kind", ALL)
def test_the_original_is_left_alone(kind):
    of, fresh = shared_scene(), sample()
    pasted(of, kind, 3)
    for name in ("rgb", "xyz", "valid", "mask"):
        assert np.array_equal(getattr(of.sample, name), getattr(fresh, name))


@quick
@given(kind=kinds, seed=seeds, camera=st.sampled_from(["origin", "elsewhere", "parallel"]))
def test_nothing_differs_outside_the_mask(kind, seed, camera):
    of = shared_scene(camera=camera) if camera != "elsewhere" else _elsewhere()
    after = pasted(of, kind, seed)
    outside = ~after.mask
    for name in ("rgb", "xyz", "valid"):
        assert np.array_equal(getattr(after, name)[outside], getattr(of.sample, name)[outside])


@lru_cache
def _elsewhere():
    """The part alone, as Eyecandies has it: what is no part was removed when it was read."""
    whole = sample(camera="elsewhere")
    keep = shared_scene().points
    return scene_of(replace(whole, xyz=np.where(keep[..., None], whole.xyz, 0), valid=keep), WITHOUT_PLANE)


@quick
@given(kind=kinds, seed=seeds)
def test_the_mask_is_of_a_sensible_size_and_on_the_part(kind, seed):
    of = shared_scene()
    mask = pasted(of, kind, seed).mask
    assert SMALLEST * of.part.sum() <= mask.sum() <= LARGEST * of.part.sum()
    if kind in MOVE_CONTENT:
        assert (mask & of.part).any()
    else:
        assert not (mask & ~of.part).any()


@quick
@given(kind=st.sampled_from(list(RANGES)), seed=seeds)
def test_points_move_along_their_rays_within_the_stated_range(kind, seed):
    of = shared_scene()
    along, sideways = towards_camera(of, pasted(of, kind, seed))
    low, high = (of.metres(limit) for limit in RANGES[kind])
    assert along.min() >= low - 2e-6
    assert along.max() <= high + 2e-6
    assert sideways.max() < 1e-6


@pytest.mark.parametrize(("kind", "sign"), [("bump", 1), ("dent", -1), ("hole", -1), ("foreign_material", 1)])
def test_the_sign_and_the_least_height(kind, sign):
    of = shared_scene(gaps=False)
    for seed in range(5):
        along, _ = towards_camera(of, pasted(of, kind, seed))
        assert (sign * along).max() > of.metres(0.3)


@quick
@given(kind=st.sampled_from([kind for kind in ALL if kind not in MOVE_CONTENT]), seed=seeds)
def test_no_point_appears_where_there_was_none(kind, seed):
    of = shared_scene()
    after = pasted(of, kind, seed)
    assert not (after.valid & ~of.sample.valid).any()


@quick
@given(kind=kinds, seed=seeds)
def test_missing_points_are_zero_and_the_others_are_finite(kind, seed):
    after = pasted(shared_scene(), kind, seed)
    assert (after.xyz[~after.valid] == 0).all()
    assert np.isfinite(after.xyz).all()
    assert after.xyz.dtype == np.float32
    assert after.rgb.dtype == np.uint8


@pytest.mark.parametrize("kind", MOVE_CONTENT)
def test_points_that_come_lie_on_the_rays_of_their_pixels(kind):
    of = shared_scene()
    for seed in range(5):
        after = pasted(of, kind, seed)
        rows, columns = np.nonzero(after.mask & after.valid)
        points = after.xyz[rows, columns].astype(np.float64)
        assert of.camera.error(points, np.stack([columns, rows], axis=1)) < 0.1


def test_where_a_piece_is_missing_the_table_is_seen():
    of = shared_scene()
    for seed in range(5):
        after = pasted(of, "missing_piece", seed)
        left = after.mask & of.points & ~scene_of(after, OPTIONS).points
        assert left.sum() > 0.5 * (after.mask & of.points).sum()
        seen = left & after.valid
        assert 0 < seen.sum() < left.sum()  # with the gaps that the table has elsewhere
        assert of.plane.distances(after.xyz[seen]).max() < OPTIONS.plane_removal_distance
        assert after.rgb[left].mean() < 60 < of.sample.rgb[left].mean()


def test_without_a_plane_a_missing_piece_leaves_no_points():
    of = _elsewhere()
    after = pasted(of, "missing_piece", 0)
    assert not (after.valid & ~of.points).any()
    assert (of.points & ~after.valid).sum() > 10


def test_no_hole_goes_through_the_table():
    thin = sample(gaps=False)
    of = scene_of(thin, OPTIONS)
    normal, offset = of.plane
    facing = np.sign((of.sample.xyz[of.points] @ normal + offset).mean())
    for seed in range(10):
        after = pasted(of, "hole", seed)
        above = facing * (after.xyz[after.mask & after.valid] @ normal + offset)
        assert above.min() > -1e-5


def test_a_bump_is_brighter_towards_the_light_and_darker_away_from_it():
    of = shared_scene(gaps=False)
    for seed in range(5):
        after = pasted(of, "bump", seed)
        rows, columns = np.nonzero(after.mask)
        change = (after.rgb.astype(float) - of.sample.rgb).mean(axis=2)[after.mask]
        # Across the image, the side towards the light comes first where the light's x is negative.
        facing = (columns - columns.mean()) * of.light[0] + (rows - rows.mean()) * of.light[1]
        assert np.corrcoef(facing, change)[0, 1] > 0.15


def test_a_sensor_without_gaps_loses_no_points():
    of = shared_scene(gaps=False)
    assert not of.gaps
    for kind in RANGES:
        for seed in range(3):
            assert np.array_equal(pasted(of, kind, seed).valid, of.sample.valid)


@pytest.mark.parametrize("kind", kinds_for(image=True, scan=False))
def test_an_image_alone(kind):
    after = pasted(shared_scene(has="rgb"), kind, 1)
    assert after.xyz is None
    assert after.valid is None
    changed = (after.rgb != shared_scene().sample.rgb).any(axis=2)
    assert changed.any()
    assert not (changed & ~after.mask).any()


@pytest.mark.parametrize("kind", kinds_for(image=False, scan=True))
def test_a_scan_alone(kind):
    of = shared_scene(has="xyz")
    after = pasted(of, kind, 1)
    assert after.rgb is None
    changed = (after.xyz != of.sample.xyz).any(axis=2) | (after.valid != of.sample.valid)
    assert changed.any()
    assert not (changed & ~after.mask).any()


def test_a_print_fault_leaves_the_scan_alone():
    of = shared_scene()
    for seed in range(5):
        after = pasted(of, "print_fault", seed)
        assert np.array_equal(after.xyz, of.sample.xyz)
        assert np.array_equal(after.valid, of.sample.valid)


def test_on_an_even_part_print_faults_are_ink_alone():
    textured = shared_scene()
    even = replace(textured.sample, rgb=np.where(textured.part[..., None], np.uint8(140), textured.sample.rgb))
    for seed in range(20):
        after = pasted(scene_of(even, OPTIONS), "print_fault", seed)
        change = np.abs(after.rgb[after.mask].astype(int) - 140).max(axis=1)
        # Lines of ink: thin, and seen wherever they are.
        assert ndimage.distance_transform_edt(after.mask).max() < 4
        assert change.mean() > 10


@pytest.mark.parametrize("kind", ALL)
def test_a_part_eight_times_as_large_gets_the_same_defect_eight_times_as_large(kind):
    small = shared_scene()
    large_sample = replace(small.sample, xyz=8 * small.sample.xyz)
    large = scene_of(large_sample, scaled(OPTIONS, 8.0))
    first, second = pasted(small, kind, 4), pasted(large, kind, 4)
    assert np.array_equal(first.mask, second.mask)
    assert np.array_equal(first.valid, second.valid)
    assert np.abs(8 * first.xyz.astype(np.float64) - second.xyz).max() < 1e-5
    assert np.abs(first.rgb.astype(int) - second.rgb).max() <= 1


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize(("height", "width"), [(64, 200), (200, 64)])
def test_wide_and_narrow_images(kind, height, width):
    of = shared_scene(height=height, width=width)
    after = pasted(of, kind, 0)
    assert after.mask.shape == (height, width)
    assert (after.mask & of.part).any()


@quick
@given(kind=kinds, seed=seeds)
def test_preprocessing_keeps_the_defect(kind, seed):
    prepared = prepare(pasted(shared_scene(), kind, seed), OPTIONS)
    assert prepared.mask.any()
    assert prepared.valid.any()


@pytest.mark.parametrize("category", ["mvtec3d/cable_gland", "eyecandies/CandyCane"])
def test_real_parts(category, shared):
    data, name = category.split("/")
    dataset = open_dataset(data, shared(f"data/{data}"))
    options = PreprocessOptions(**asdict(dataset.recipe(name)))
    of = scene_of(dataset.read(dataset.records(name)[0]), options)
    for kind in ALL:
        after = pasted(of, kind, 7)
        assert not (after.xyz != of.sample.xyz)[~after.mask].any()
        assert prepare(after, options).mask.any(), kind
