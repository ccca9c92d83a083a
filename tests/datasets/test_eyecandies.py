"""Eyecandies: the published layout and M3DM's conversion of it, whose clouds are the same."""

import math
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from lsfa_cli.datasets.base import ReadOptions
from lsfa_cli.datasets.eyecandies import Eyecandies, read_converted_cloud
from lsfa_cli.datasets.eyecandies_cloud import depth_in_metres, part_of_scene, scene_points
from lsfa_cli.datasets.folders import IncompleteError
from lsfa_cli.preprocessing import PreprocessOptions, Recipe, prepare
from tests.datasets import eyecandies_trees as trees
from tests.datasets.refusals import failure

Shared = Callable[[str], Path]
A_FEW = ("train/data/000", "train/data/040", "val/data/12", "test_public/data/00", "test_public/data/29")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A made-up category, published and converted. Tests leave it as they found it."""
    root = tmp_path_factory.mktemp("made")
    trees.write_category(root / "published" / "Dome")
    trees.convert(root / "published" / "Dome", root / "converted" / "Dome")
    return root


@pytest.fixture
def data(tmp_path: Path, made: Path) -> Path:
    """A copy of the published category, to be damaged."""
    shutil.copytree(made / "published", tmp_path / "root")
    return tmp_path / "root" / "Dome"


def refused(data: Path) -> str:
    """The message with which the category of `data` is refused, in listing or in reading."""
    dataset = Eyecandies(data.parent)
    return str(failure(lambda: [dataset.read(record) for record in dataset.records(data.name)]))


def test_records_are_named_by_split_and_kind_of_defect(made: Path) -> None:
    records = Eyecandies(made / "published").records("Dome")
    assert [record.name for record in records] == [
        "train/good/000",
        "train/good/001",
        "validation/good/00",
        "test/bumps/02",
        "test/combined/03",
        "test/good/00",
        "test/good/01",
    ]
    folder = made / "published/Dome/test_public/data"
    assert dict(records[3].files) == {
        "rgb": folder / "02_image_4.png",
        "xyz": folder / "02_depth.png",
        "depth_range": folder / "02_info_depth.yaml",
        "pose": folder / "02_pose.txt",
        "defects": folder / "02_metadata.yaml",
        "mask": folder / "02_mask.png",
    }
    assert "mask" not in records[0].files


def test_read_gives_image_part_and_mask(made: Path) -> None:
    dataset = Eyecandies(made / "published")
    sample = dataset.read(dataset.records("Dome")[3])
    np.testing.assert_array_equal(sample.rgb, trees.picture(12, 4))
    np.testing.assert_array_equal(sample.mask, trees.mask(True) > 0)
    assert sample.xyz.dtype == np.float32
    assert not sample.xyz[~sample.valid].any()
    top = sample.xyz[sample.valid][:, 2].min()  # the dome is 0.3 m high, the conveyor 2.15 m below the axis
    assert top == pytest.approx(0.1 * (trees.CONVEYOR - 0.3), abs=1e-4)
    assert sample.xyz[sample.valid][:, 2].max() == pytest.approx(0.1 * (trees.CONVEYOR - 0.02), abs=1e-4)


def test_good_samples_have_an_empty_mask_and_keep_their_background_in_the_image(made: Path) -> None:
    dataset = Eyecandies(made / "published")
    sample = dataset.read(dataset.records("Dome")[0])
    assert not sample.mask.any()
    ready = prepare(sample, PreprocessOptions(remove_plane=False, keep_largest_cluster=False, pad_multiple=1))
    assert dataset.recipe("Dome") == Recipe(remove_plane=False, keep_largest_cluster=False, pad_multiple=1)
    assert ready.rgb.shape == (3, 224, 224)
    assert ready.rgb[:, ~ready.valid].max() > 0.9
    # Nearest, as the published loaders resize: source index floor(i * 512 / 224).
    index = np.arange(224) * 512 // 224
    np.testing.assert_array_equal(ready.valid, sample.valid[np.ix_(index, index)])


def test_light_is_chosen(made: Path) -> None:
    records = Eyecandies(made / "published", ReadOptions(light=5))
    message = str(failure(lambda: records.records("Dome")))
    assert "val/data/00_image_5.png does not exist; there is light 4." in message
    assert "--light" in message


def test_every_light_of_a_real_sample(shared: Shared, tmp_path: Path) -> None:
    root = shared("data/eyecandies")
    for split, stem in (("train", "000"), ("test_public", "29")):
        folder = tmp_path / "CandyCane" / split / "data"
        folder.mkdir(parents=True)
        for path in (root / "CandyCane" / split / "data").glob(f"{stem}_*"):
            shutil.copy(path, folder)
    images = []
    for light in range(6):
        dataset = Eyecandies(tmp_path, ReadOptions(light=light))
        images.append(dataset.read(dataset.records("CandyCane")[1]).rgb)
    assert len({image.tobytes() for image in images}) == 6


def test_real_part(shared: Shared) -> None:
    records = Eyecandies(shared("data/eyecandies")).records("CandyCane")
    counts = Counter((record.split, record.defect) for record in records)
    assert counts == {
        ("train", "good"): 20,
        ("validation", "good"): 4,
        ("test", "good"): 10,
        **{("test", defect): 3 for defect in ("bumps", "dents", "colors", "normals", "combined")},
    }


def test_mask_of_a_real_sample_is_the_union_of_its_kinds(shared: Shared) -> None:
    dataset = Eyecandies(shared("data/eyecandies"))
    record = next(record for record in dataset.records("CandyCane") if record.name == "test/combined/29")
    folder = record.files["mask"].parent
    kinds = [np.asarray(trees.Image.open(folder / f"29_{kind}_mask.png")) > 0 for kind in trees.KINDS]
    np.testing.assert_array_equal(dataset.read(record).mask, np.logical_or.reduce(kinds))


def missing_in_script(cloud: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Where the script's cloud has a removed point, known from the first one (the conveyor's far end is removed)."""
    return np.abs(cloud - cloud[0, 0]).max(axis=2) < 1e-12


@pytest.mark.parametrize("name", A_FEW)
def test_same_clouds_as_the_script_on_real_samples(shared: Shared, tmp_path: Path, name: str) -> None:
    path = shared(f"data/eyecandies/CandyCane/{name}_depth.png")
    stem = path.name.partition("_")[0]
    script = trees.script_cloud(path.parent, stem)
    if name == "train/data/000":
        np.testing.assert_allclose(script[0, 0], [0, 0.00008, -0.00007], rtol=0, atol=6e-6)
        assert script[0, 0, 0] == 0
    records = Eyecandies(path.parents[3]).records("CandyCane")
    sample = Eyecandies(path.parents[3]).read(next(r for r in records if r.files["xyz"] == path))
    np.testing.assert_array_equal(sample.valid, ~missing_in_script(script))
    np.testing.assert_allclose(sample.xyz[sample.valid], script[sample.valid], rtol=0, atol=1e-7)

    tifffile.imwrite(tmp_path / "000.tiff", script, photometric="rgb")
    xyz, valid = read_converted_cloud(tmp_path / "000.tiff")
    np.testing.assert_array_equal(valid, sample.valid)
    np.testing.assert_allclose(xyz, sample.xyz, rtol=0, atol=1e-7)


def test_pixel_by_pixel_by_hand(shared: Shared) -> None:
    """The formulas of reference notes 1.2 in plain arithmetic, over a crop that the part's edge crosses."""
    folder = shared("data/eyecandies/CandyCane/train/data")
    pixels = np.asarray(trees.Image.open(folder / "000_depth.png"))
    nearest, farthest = 2.3110644817352295, 4.90308952331543  # 000_info_depth.yaml
    turn = math.sqrt(0.5)
    shift = (0.0, -2.121320343559642, 2.221320343559643)  # 000_pose.txt, 45 degrees about x

    def point(row: int, column: int) -> tuple[float, float, float]:
        depth = nearest + int(pixels[row, column]) / 65535 * (farthest - nearest)
        x, y, z = depth * (column - 256) / 711.11, depth * (row - 256) / 711.11, depth
        x, y, z = x - shift[0], y - shift[1], z - shift[2]
        return x, turn * y + turn * z, -turn * y + turn * z

    _, y0, z0 = point(511, 256)
    _, y1, z1 = point(0, 256)
    norm = math.hypot(y1 - y0, z1 - z0)
    cos, sin = (z1 - z0) / norm, (y1 - y0) / norm
    cloud, valid = part_of_scene(depth_in_metres(pixels, nearest, farthest), np.loadtxt(folder / "000_pose.txt"))
    rows = np.nonzero(valid)[0]
    crop = [(row, column) for row in range(rows.min() - 3, rows.min() + 12) for column in range(180, 340)]
    kept = 0
    for row, column in crop:
        x, y, z = point(row, column)
        above = cos * (y - y0) - sin * (z - z0)
        along = sin * (y - y0) + cos * (z - z0)
        part = above <= -0.02 and along <= 1.8 and abs(x) <= 1
        kept += part
        assert valid[row, column] == part
        expected = (0.1 * x, -0.1 * z, 0.1 * y) if part else (0, 0, 0)
        np.testing.assert_allclose(cloud[row, column], expected, rtol=0, atol=1e-6)
    assert 50 < kept < len(crop) - 50


def test_converted_layout_is_known_by_itself(made: Path) -> None:
    published, converted = Eyecandies(made / "published"), Eyecandies(made / "converted")
    records = converted.records("Dome")
    assert [record.name for record in records] == [
        "train/good/000",
        "train/good/001",
        "test/bad/000",
        "test/bad/001",
        "test/good/000",
        "test/good/001",
    ]
    before = [record for record in published.records("Dome") if record.split != "validation"]
    assert converted.recipe("Dome") == published.recipe("Dome")
    for ours, theirs in zip(before, records, strict=True):
        expected, found = published.read(ours), converted.read(theirs)
        np.testing.assert_array_equal(found.rgb, expected.rgb)
        np.testing.assert_array_equal(found.valid, expected.valid)
        np.testing.assert_array_equal(found.mask, expected.mask)
        np.testing.assert_allclose(found.xyz, expected.xyz, rtol=0, atol=1e-6)


def test_one_root_may_hold_both_layouts(tmp_path: Path, made: Path) -> None:
    (tmp_path / "A").symlink_to(made / "converted" / "Dome")
    (tmp_path / "B").symlink_to(made / "published" / "Dome")
    dataset = Eyecandies(tmp_path)
    assert dataset.categories() == ["A", "B"]
    assert len(dataset.records("A")) == 6
    assert len(dataset.records("B")) == 7


def converted(path: Path, *, fill: tuple[float, float, float] | None) -> NDArray[np.float64]:
    """A cloud whose middle column has x = 0; a quarter of it is at the place of removed points."""
    rng = np.random.default_rng(3)
    cloud = rng.uniform(0.05, 0.2, (512, 512, 3))
    cloud[:, 256, 0] = 0
    if fill is not None:
        cloud[:128] = fill
    tifffile.imwrite(path, cloud, photometric="rgb")
    return cloud


def test_points_on_the_middle_column_are_kept(tmp_path: Path) -> None:
    cloud = converted(tmp_path / "a.tiff", fill=(0, 8e-5, -7e-5))
    cloud[0, 0, 1:] += 3e-13  # rounding of a matrix product at the end of a block
    tifffile.imwrite(tmp_path / "a.tiff", cloud, photometric="rgb")
    xyz, valid = read_converted_cloud(tmp_path / "a.tiff")
    assert not valid[:128].any()
    assert valid[128:].all()
    assert not xyz[:128].any()
    np.testing.assert_array_equal(xyz[128:], cloud[128:].astype(np.float32))


def test_a_cloud_without_removed_points_is_whole(tmp_path: Path) -> None:
    converted(tmp_path / "a.tiff", fill=None)
    assert read_converted_cloud(tmp_path / "a.tiff")[1].all()


def test_what_is_not_finite_is_no_point(tmp_path: Path) -> None:
    cloud = converted(tmp_path / "a.tiff", fill=(0, 8e-5, -7e-5))
    cloud[200, :4, 1] = [np.nan, np.inf, -np.inf, 1e300]
    tifffile.imwrite(tmp_path / "a.tiff", cloud, photometric="rgb")
    xyz, valid = read_converted_cloud(tmp_path / "a.tiff")
    assert valid[200].tolist() == [False] * 4 + [True] * 508
    assert np.isfinite(xyz).all()


def test_converted_cloud_of_another_kind_is_refused(tmp_path: Path) -> None:
    for pixels, message in (
        (np.ones((100, 100, 3)), "100 x 100 pixels, expected 512 x 512"),
        (np.ones((512, 512, 3), dtype=np.float16), "expected H x W x 3 float32 or float64"),
        (np.zeros((512, 512, 3)), "no valid point"),
    ):
        tifffile.imwrite(tmp_path / "a.tiff", pixels, photometric="rgb")
        assert message in str(failure(lambda: read_converted_cloud(tmp_path / "a.tiff")))


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("test_public/data/02_metadata.yaml", "anomalous: 1", "anomalous: 0", "is not anomalous, and bumps"),
        ("test_public/data/00_metadata.yaml", "anomalous: 0", "anomalous: 1", "anomalous, and no kind of defect"),
        (
            "test_public/data/02_metadata.yaml",
            "dents: 0",
            "dents: maybe",
            "anomalous_dents is 'maybe', expected 0 or 1",
        ),
        ("test_public/data/02_metadata.yaml", "dents", "dints", "no value for anomalous_dents"),
        ("train/data/001_info_depth.yaml", "max: 6.0", "max: much", "normalization max is 'much', expected a number"),
        ("train/data/001_info_depth.yaml", "max: 6.0", "max: 1.0", "depth from 1.5 to 1.0"),
        ("train/data/001_info_depth.yaml", "max: 6.0", "max: .inf", "expected a number"),
        ("train/data/001_info_depth.yaml", "max: 6.0", "max: 6e9", "expected metres above 0"),
        ("train/data/001_info_depth.yaml", "min: 1.5", "min: 0", "expected metres above 0"),
        ("train/data/001_info_depth.yaml", "normalization", "- normal", "expected YAML with one value a name"),
        ("train/data/001_info_depth.yaml", "max: 6.0", "max: {", "damaged YAML"),
        ("train/data/001_info_depth.yaml", "max: 6.0", "max: [6.0]", "no value for normalization max"),
        ("train/data/001_info_depth.yaml", "max: 6.0", "max: &a 6.0\n  min: *a\n#", "it has an alias"),
        ("train/data/001_info_depth.yaml", "max: 6.0", f"max: {'[' * 30_000}", "nested deeper than 8 levels"),
        ("train/data/001_pose.txt", "0.000000000000000000e+00\n", "\n", "expected 4 x 4 numbers"),
        ("train/data/001_pose.txt", "-2.12", "-2..12", "expected 4 x 4 numbers (could not convert"),
        ("train/data/001_pose.txt", "7.0710678", "9.0710678", "the pose is no rotation and shift"),
        ("train/data/001_pose.txt", "e+00\n", "e+09\n", "the pose is no rotation and shift"),
        ("train/data/001_pose.txt", "2.2200000", "nan", "expected 4 x 4 numbers"),
    ],
)
def test_text_files_that_contradict_themselves(data: Path, file: str, old: str, new: str, message: str) -> None:
    replace(data / file, old, new)
    told = refused(data)
    assert message in told
    assert str(data / file) in told


def test_text_files_are_looked_at_before_they_are_parsed(data: Path) -> None:
    path = data / "train/data/001_info_depth.yaml"
    path.write_text("#" * 70_000)
    assert f"{path} has 70000 bytes, at most 65536 are read" in refused(data)
    path.write_bytes(b"\xff\xfe\x00")
    assert f"{path} is no text file" in refused(data)


def test_training_sample_with_a_defect_is_refused(data: Path) -> None:
    shutil.copy(data / "test_public/data/02_metadata.yaml", data / "train/data/001_metadata.yaml")
    assert "a train sample with a defect (bumps)" in refused(data)


def test_good_sample_whose_mask_marks_pixels_is_refused(data: Path) -> None:
    shutil.copy(data / "test_public/data/02_mask.png", data / "test_public/data/00_mask.png")
    assert "00_mask.png: the mask of a good part marks 300 defect pixels" in refused(data)


def test_missing_files_are_counted_and_named(data: Path) -> None:
    for name in ("train/data/000_pose.txt", "test_public/data/01_mask.png", "test_public/data/01_depth.png"):
        (data / name).unlink()
    told = refused(data)
    assert (
        "3 files are missing: train/data/000_pose.txt, test_public/data/01_depth.png, test_public/data/01_mask.png"
    ) in told


def test_incomplete_category_tells_the_samples_that_are_known(data: Path) -> None:
    (data / "train/data/000_pose.txt").unlink()
    (data / "train/data/001_metadata.yaml").unlink()
    with pytest.raises(IncompleteError) as caught:
        Eyecandies(data.parent).records("Dome")
    assert caught.value.missing == ("train/data/000_pose.txt", "train/data/001_metadata.yaml")
    assert [record.name for record in caught.value.records][:2] == ["train/good/000", "validation/good/00"]
    assert len(caught.value.records) == 6


def test_empty_splits_are_refused_but_validation_may_be_absent(data: Path) -> None:
    shutil.rmtree(data / "val")
    assert len(Eyecandies(data.parent).records("Dome")) == 6
    shutil.rmtree(data / "test_public")
    assert f"{data / 'test_public'} holds no samples" in refused(data)


def test_other_files_are_no_samples(data: Path) -> None:
    for name in ("Thumbs.db", "._000_depth.png", "notes_1.txt", "٣_depth.png", "000_object_params.yaml"):
        (data / "train/data" / name).write_bytes(b"something else")
    assert len(Eyecandies(data.parent).records("Dome")) == 7


def test_images_of_another_size_are_refused(data: Path) -> None:
    trees.write_png(data / "train/data/000_depth.png", trees.dome(0)[:400])
    assert "000_depth.png: 512 x 400 pixels, expected 512 x 512" in refused(data)
    trees.write_png(data / "train/data/000_depth.png", trees.dome(0))
    trees.write_png(data / "train/data/000_image_4.png", trees.picture(0, 4)[:400])
    assert "000_depth.png has 512 x 512 pixels, its image" in refused(data)


def test_depth_without_a_part_is_refused(data: Path) -> None:
    trees.write_png(data / "train/data/000_depth.png", np.full((512, 512), 9000, dtype=np.uint16))
    assert "000_depth.png: all points are background" in refused(data)


def test_rows_that_show_one_place_are_refused() -> None:
    with pytest.raises(ValueError, match="show the same place"):
        part_of_scene(np.zeros((4, 4), dtype=np.float32), np.eye(4))


def test_scene_points_of_a_level_camera() -> None:
    points = scene_points(np.full((4, 6), 2, dtype=np.float32), np.eye(4))
    np.testing.assert_allclose(points[:, 2, 3], [0, 0, 2], rtol=0, atol=1e-12)
    np.testing.assert_allclose(points[:, 0, 0], [-3 * 2 / 711.11, -2 * 2 / 711.11, 2], rtol=0, atol=1e-12)


def test_a_sample_takes_less_than_60_ms(made: Path) -> None:
    pixels, pose = trees.dome(1), trees.POSE
    times = []
    for _ in range(5):
        start = time.perf_counter()
        part_of_scene(depth_in_metres(pixels, 1.5, 6.0), pose)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.06


def test_reading_imports_no_torch() -> None:
    code = "import sys, lsfa_cli.datasets.eyecandies, lsfa_cli.datasets.mvtec2d; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "timm", "open3d"} & set(modules)
