"""MVTec AD: its layout, and what is said when files are not where they should be."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from lsfa_cli.datasets.mvtec2d import Mvtec2d
from lsfa_cli.preprocessing import PreprocessOptions, prepare
from tests.datasets import trees as trees3d
from tests.datasets.mvtec2d_trees import SIDE, defect_mask, picture, write_category
from tests.datasets.refusals import failure
from tests.datasets.trees import write_png


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A colour and a grey category, and a file beside them."""
    write_category(tmp_path / "carpet")
    write_category(tmp_path / "grid", grey=True, train=1)
    (tmp_path / "license.txt").write_text("CC BY-NC-SA")
    (tmp_path / "carpet" / "readme.txt").write_text("as published")
    return tmp_path


def refused(root: Path, category: str = "carpet") -> str:
    dataset = Mvtec2d(root)
    return str(failure(lambda: [dataset.read(record) for record in dataset.records(category)]))


def test_records_are_in_order_and_named_by_their_folders(root: Path) -> None:
    dataset = Mvtec2d(root)
    assert dataset.categories() == ["carpet", "grid"]
    assert dataset.modalities("carpet") == ("rgb",)
    records = dataset.records("carpet")
    assert [record.name for record in records] == [
        "train/good/000",
        "train/good/001",
        "train/good/002",
        "train/good/003",
        "test/cut/000",
        "test/cut/001",
        "test/good/000",
        "test/good/001",
        "test/thread/000",
        "test/thread/001",
    ]
    assert [record.label for record in records] == [0] * 4 + [1, 1, 0, 0, 1, 1]
    assert dict(records[9].files) == {
        "rgb": root / "carpet/test/thread/001.png",
        "mask": root / "carpet/ground_truth/thread/001_mask.png",
    }
    assert dict(records[6].files) == {"rgb": root / "carpet/test/good/000.png"}


def test_read_gives_image_and_mask(root: Path) -> None:
    dataset = Mvtec2d(root)
    records = {record.name: record for record in dataset.records("carpet")}
    good, cut = dataset.read(records["test/good/001"]), dataset.read(records["test/cut/001"])
    np.testing.assert_array_equal(good.rgb, picture(101))
    assert not good.mask.any()
    np.testing.assert_array_equal(cut.mask, defect_mask(201) > 0)
    assert good.xyz is None
    assert good.valid is None


def test_grey_images_have_three_equal_channels(root: Path) -> None:
    dataset = Mvtec2d(root)
    sample = dataset.read(dataset.records("grid")[0])
    assert sample.rgb.shape == (SIDE, SIDE, 3)
    for channel in range(3):
        np.testing.assert_array_equal(sample.rgb[..., channel], picture(0, grey=True))


def test_recipe_only_resizes(tmp_path: Path) -> None:
    write_category(tmp_path / "tile", train=1, defects=("crack",), side=700)  # no multiple of 224 or 16
    dataset = Mvtec2d(tmp_path)
    recipe = dataset.recipe("tile")
    assert (recipe.remove_plane, recipe.keep_largest_cluster, recipe.pad_multiple) == (False, False, 1)
    sample = prepare(
        dataset.read(dataset.records("tile")[1]),
        PreprocessOptions(remove_plane=False, keep_largest_cluster=False, pad_multiple=1),
    )
    assert sample.rgb.shape == (3, 224, 224)
    assert sample.rgb[:, -1].mean() > 0.3  # no padding
    assert sample.mask.mean() == pytest.approx(1 / 36, rel=0.1)


def test_missing_files_are_counted_and_named(root: Path) -> None:
    (root / "carpet/ground_truth/cut/000_mask.png").unlink()
    (root / "carpet/test/thread/001.png").unlink()
    told = refused(root)
    assert "2 files are missing: ground_truth/cut/000_mask.png, test/thread/001.png." in told


@pytest.mark.parametrize("folder", ["train/good", "test/cut", "test"])
def test_empty_folders_are_refused(root: Path, folder: str) -> None:
    shutil.rmtree(root / "carpet" / folder)
    (root / "carpet" / folder).mkdir(parents=True)
    assert f"{root / 'carpet' / folder} holds no samples: expected ID.png in it, found nothing." in refused(root)


def test_absent_test_split_is_refused(root: Path) -> None:
    shutil.rmtree(root / "carpet/test")
    assert f"{root / 'carpet/test'} holds no samples: expected ID.png in it, found no such folder." in refused(root)


def test_mvtec_3d_ad_is_told_apart(tmp_path: Path) -> None:
    trees3d.write_category(tmp_path / "bagel")
    assert "expected ID.png in it, found gt, rgb, xyz" in refused(tmp_path, "bagel")


def test_mask_of_another_size_and_other_kinds_of_image_are_refused(root: Path) -> None:
    mask = root / "carpet/ground_truth/cut/000_mask.png"
    write_png(mask, defect_mask(0)[:50])
    assert f"{mask} has {SIDE} x 50 pixels, its image" in refused(root)
    write_png(mask, picture(0))
    assert "expected a mask with one grey channel, found 8-bit RGB" in refused(root)
    image = root / "carpet/train/good/000.png"
    write_png(image, picture(0).astype(np.uint16)[..., 0])
    assert f"{image}: expected an 8-bit RGB or grey PNG, found 16-bit grey" in refused(root)


def test_files_of_other_kinds_are_no_samples(root: Path) -> None:
    for name in ("train/good/Thumbs.db", "train/good/._000.png", "test/cut/notes.txt", "ground_truth/cut/000.png"):
        (root / "carpet" / name).write_bytes(b"something else")
    assert len(Mvtec2d(root).records("carpet")) == 10


@pytest.mark.parametrize("odd", ["a b", "zwei\nZeilen", "Fädchen 漢字", "%s {x} [1]", "-n"])
def test_any_name_of_a_file_and_folder(tmp_path: Path, odd: str) -> None:
    write_category(tmp_path / odd, train=1, defects=(odd,))
    for folder, ending in (("test", ""), ("ground_truth", "_mask")):
        path = tmp_path / odd / folder / odd
        (path / f"000{ending}.png").rename(path / f"{odd}{ending}.png")
    dataset = Mvtec2d(tmp_path)
    record = {record.name: record for record in dataset.records(odd)}[f"test/{odd}/{odd}"]
    assert dataset.read(record).mask.any()
