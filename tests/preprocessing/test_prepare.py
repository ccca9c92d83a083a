"""The whole of METHOD 1, steps 2 to 5, against a plain version of each step and facts about real scans."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from sklearn.cluster import DBSCAN

from lsfa_cli.datasets import open_dataset
from lsfa_cli.errors import DataError
from lsfa_cli.preprocessing import PreprocessOptions, Recipe, prepare
from lsfa_cli.preprocessing.plane import border, fit_plane
from lsfa_cli.samples import PreparedSample, Sample
from lsfa_cli.settings import ExtractSettings
from lsfa_cli.stages.extract import preprocess_options
from tests.preprocessing.scenes import OPTIONS, RECORD, background, part_on_background


def plain_largest_cluster(points: NDArray[np.floating], distance: float, min_points: int) -> NDArray[np.bool_]:
    """Which points (N, 3) scikit-learn's DBSCAN puts into the largest cluster; none when all is noise."""
    labels = DBSCAN(eps=distance, min_samples=min_points).fit_predict(points.astype(np.float64))
    if labels.max() < 0:
        return np.zeros(len(points), dtype=bool)
    names, counts = np.unique(labels[labels >= 0], return_counts=True)
    return np.asarray(labels == names[counts.argmax()])


def plain_prepare(sample: Sample, options: PreprocessOptions) -> PreparedSample:
    """METHOD 1 in its own order, one line a step, with scikit-learn's DBSCAN on the padded cloud."""
    height, width = sample.valid.shape
    on_border = border(height, width, options.border_width) & sample.valid
    plane = fit_plane(
        sample.xyz[on_border],
        inlier_distance=options.plane_inlier_distance,
        sample_points=options.plane_sample_points,
        draws=options.plane_draws,
        seed=options.seed,
    )
    assert plane is not None
    rgb, xyz, valid = sample.rgb.copy(), sample.xyz.copy(), sample.valid.copy()
    for pixel in np.argwhere(valid):
        row, column = pixel
        if abs(xyz[row, column].astype(float) @ plane.normal + plane.offset) < options.plane_removal_distance:
            rgb[row, column], xyz[row, column], valid[row, column] = 0, 0, False
    side = max(-(-height // 100) * 100, -(-width // 100) * 100)
    up, left = (side - height) // 2, (side - width) // 2
    around = ((up, side - height - up), (left, side - width - left))
    rgb, xyz = np.pad(rgb, (*around, (0, 0))), np.pad(xyz, (*around, (0, 0)))
    valid, mask = np.pad(valid, around), np.pad(sample.mask, around)
    rest = np.zeros_like(valid)
    rest[valid] = ~plain_largest_cluster(xyz[valid], options.cluster_distance, options.cluster_min_points)
    rgb[rest], xyz[rest], valid[rest] = 0, 0, False
    size = options.image_size
    small = np.asarray(Image.fromarray(rgb).resize((size, size), Image.BICUBIC), dtype=np.float32) / np.float32(255)
    pick = np.ix_([i * side // size for i in range(size)], [i * side // size for i in range(size)])
    small_mask = np.asarray(Image.fromarray(mask.astype(np.uint8) * 255).resize((size, size), Image.NEAREST)) > 0
    return PreparedSample(
        sample.record, small.transpose(2, 0, 1), xyz[pick].transpose(2, 0, 1), valid[pick], small_mask
    )


def turned(sample: Sample) -> Sample:
    """Height and width exchanged."""
    arrays = {name: getattr(sample, name).swapaxes(0, 1) for name in ("rgb", "xyz", "valid", "mask")}
    return dataclasses.replace(sample, **arrays)


def with_points(sample: Sample, xyz: np.ndarray) -> Sample:
    xyz = xyz.astype(np.float32)
    return dataclasses.replace(sample, xyz=xyz, valid=(xyz != 0).any(axis=2))


@pytest.mark.parametrize(
    "sample",
    [part_on_background(), turned(part_on_background()), part_on_background(100, 100), part_on_background(60, 131)],
    ids=["70 x 90", "90 x 70", "100 x 100", "60 x 131"],
)
def test_prepared_sample_is_that_of_the_plain_steps(sample: Sample) -> None:
    done, plain = prepare(sample, OPTIONS), plain_prepare(sample, OPTIONS)
    for name, kind in (("rgb", np.float32), ("xyz", np.float32), ("valid", bool), ("mask", bool)):
        assert getattr(done, name).dtype == kind
        np.testing.assert_array_equal(getattr(done, name), getattr(plain, name))
    assert done.rgb.shape == done.xyz.shape == (3, 48, 48)
    assert done.notes == ()
    assert done.record is sample.record
    assert 30 < done.valid.sum() < 1200
    assert done.mask.any()


def test_sample_is_not_changed() -> None:
    sample, untouched = part_on_background(), part_on_background()
    for name in ("rgb", "xyz", "valid", "mask"):
        getattr(sample, name).flags.writeable = False
    prepare(sample, OPTIONS)
    for name in ("rgb", "xyz", "valid", "mask"):
        np.testing.assert_array_equal(getattr(sample, name), getattr(untouched, name))


def test_points_are_zero_where_invalid_and_only_the_part_is_left() -> None:
    sample = part_on_background(100, 100)
    done = prepare(sample, dataclasses.replace(OPTIONS, image_size=100))  # nothing is scaled
    assert not done.xyz[:, ~done.valid].any()
    y, x = np.mgrid[:100, :100]
    part = (y - 50) ** 2 + (x - 50) ** 2 < 25**2
    assert not (done.valid & ~part).any()
    assert done.valid.sum() > 0.98 * (part & sample.valid).sum()
    np.testing.assert_array_equal(done.xyz[:, done.valid], sample.xyz[done.valid].T)
    np.testing.assert_array_equal(done.rgb[:, done.valid], sample.rgb[done.valid].T / np.float32(255))


def test_background_is_black_but_pixels_that_never_had_a_point_keep_their_colour() -> None:
    sample = part_on_background(100, 100)
    done = prepare(sample, dataclasses.replace(OPTIONS, image_size=100))
    assert not done.rgb[:, sample.valid & ~done.valid].any()
    never = ~sample.valid
    assert never.sum() > 500
    np.testing.assert_array_equal(done.rgb[:, never], sample.rgb[never].T / np.float32(255))


def test_without_points_on_the_border_the_plane_stays_and_a_note_says_so() -> None:
    sample = part_on_background(100, 100)
    xyz = sample.xyz.copy()
    xyz[border(100, 100, 4)] = 0
    xyz[0, :49] = sample.xyz[0, :49] + np.float32(1e-6)
    count = int((xyz[border(100, 100, 4)] != 0).any(axis=1).sum())
    done = prepare(with_points(sample, xyz), OPTIONS)
    assert done.notes == (f"no plane: {count} valid points on the border do not determine one",)
    assert done.valid.sum() > 0.5 * 48 * 48  # the background is the largest cluster


def test_equal_seeds_give_equal_bytes() -> None:
    first, again = (prepare(part_on_background(), OPTIONS) for _ in range(2))
    for name in ("rgb", "xyz", "valid", "mask"):
        assert getattr(first, name).tobytes() == getattr(again, name).tobytes()


@pytest.mark.parametrize(
    ("xyz", "after"),
    [
        (background(70, 90), "removing the background plane"),
        (background(70, 90) * 1000, "DBSCAN (0.006 m, 30 points)"),
    ],
    ids=["plane only", "millimetres"],
)
def test_no_point_left_names_the_file_and_the_step(xyz: np.ndarray, after: str) -> None:
    sample = with_points(part_on_background(), xyz)
    with pytest.raises(DataError) as caught:
        prepare(sample, OPTIONS)
    assert caught.value.message == f"{RECORD.files['xyz']}: no point is left after {after}."
    assert "in metres" in str(caught.value.hint)
    assert caught.value.exit_code == 3


def test_no_point_left_after_resizing_is_an_error() -> None:
    """40 points together within 2 pixels' width, which every 25th pixel misses."""
    sample = part_on_background(100, 100)
    xyz = np.zeros((100, 100, 3))
    xyz[1:21, 1:3] = 0.5 + np.random.default_rng(0).uniform(0, 1e-3, (20, 2, 3))
    with pytest.raises(DataError, match="no point is left after resizing to 4 pixels"):
        prepare(with_points(sample, xyz), dataclasses.replace(OPTIONS, image_size=4))


def test_settings_have_every_option() -> None:
    assert {field.name for field in dataclasses.fields(PreprocessOptions)} <= set(ExtractSettings.model_fields)
    assert preprocess_options(ExtractSettings(), Recipe()) == PreprocessOptions(
        image_size=224,
        border_width=10,
        plane_inlier_distance=0.004,
        plane_sample_points=50,
        plane_draws=1000,
        plane_removal_distance=0.005,
        cluster_distance=0.006,
        cluster_min_points=30,
        seed=0,
    )


def test_settings_win_over_the_recipe() -> None:
    recipe = Recipe(remove_plane=False, cluster_distance=0.1, pad_multiple=1)
    chosen = preprocess_options(ExtractSettings(cluster_distance=0.2, seed=3), recipe)
    assert (chosen.remove_plane, chosen.cluster_distance, chosen.pad_multiple) == (False, 0.2, 1)
    assert chosen.seed == 3


def test_what_the_recipe_leaves_out_is_skipped() -> None:
    sample = part_on_background()
    options = dataclasses.replace(OPTIONS, remove_plane=False, keep_largest_cluster=False, pad_multiple=1)
    done = prepare(sample, options)
    assert done.notes == ()
    everything = dataclasses.replace(options, image_size=max(sample.valid.shape))
    assert prepare(sample, everything).valid.sum() == sample.valid.sum()


def test_one_modality_alone_is_prepared_like_both() -> None:
    sample = part_on_background()
    whole = prepare(sample, OPTIONS)
    scan = prepare(dataclasses.replace(sample, rgb=None), OPTIONS)
    assert scan.rgb is None
    np.testing.assert_array_equal(scan.xyz, whole.xyz)
    np.testing.assert_array_equal(scan.valid, whole.valid)
    image = prepare(dataclasses.replace(sample, xyz=None, valid=None, mask=None), OPTIONS)
    assert image.xyz is image.valid is image.mask is None
    expected = prepare(sample, dataclasses.replace(OPTIONS, remove_plane=False, keep_largest_cluster=False))
    np.testing.assert_array_equal(image.rgb, expected.rgb)


def test_real_samples_keep_the_part(shared: Callable[[str], Path]) -> None:
    dataset = open_dataset("mvtec3d", shared("data/mvtec3d"))
    options = PreprocessOptions()
    for record in dataset.records("cable_gland")[::8]:
        done = prepare(dataset.read(record), options)
        assert done.notes == ()
        assert 6900 < done.valid.sum() < 8800  # 14 to 15 % after plane removal, 7,100 to 7,400 for three published ones
        assert done.mask.any() == bool(record.label)
