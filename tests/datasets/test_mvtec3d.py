"""MVTec 3D-AD: its layout, and what is said when files are not where they should be."""

import errno
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lsfa_cli.datasets.mvtec3d import Mvtec3d, Synthetic
from lsfa_cli.errors import UnknownNameError
from tests.datasets.refusals import failure
from tests.datasets.trees import HEIGHT, WIDTH, cloud, picture, write_category, write_cloud, write_sample

Shared = Callable[[str], Path]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two categories, and things beside them that are none."""
    root = tmp_path / "rgb and xyz.tiff"  # names that public code would replace inside the path
    write_category(root / "widget")
    write_category(root / "gadget")
    (root / "notes").mkdir()
    (root / ".cache" / "train" / "good").mkdir(parents=True)
    (root / "license.txt").write_text("free")
    return root


def test_categories_are_the_folders_with_training_data(root: Path) -> None:
    assert Mvtec3d(root).categories() == ["gadget", "widget"]


def test_records_are_in_order_and_named_by_their_folders(root: Path) -> None:
    records = Mvtec3d(root).records("widget")
    assert [record.name for record in records] == [
        "train/good/000",
        "train/good/001",
        "train/good/002",
        "validation/good/000",
        "test/bent/000",
        "test/bent/001",
        "test/good/000",
        "test/good/001",
        "test/hole/000",
        "test/hole/001",
    ]
    assert [record.split for record in records] == ["train"] * 3 + ["validation"] + ["test"] * 6
    assert [record.label for record in records] == [0] * 4 + [1, 1, 0, 0, 1, 1]
    assert records[4].defect == "bent"
    assert dict(records[0].files) == {
        "rgb": root / "widget/train/good/rgb/000.png",
        "xyz": root / "widget/train/good/xyz/000.tiff",
    }
    assert records[9].files["mask"] == root / "widget/test/hole/gt/001.png"


def test_read_gives_the_files_of_the_sample(root: Path) -> None:
    dataset = Mvtec3d(root)
    samples = {record.name: dataset.read(record) for record in dataset.records("widget")}
    for seed, name in ((1, "train/good/001"), (20, "test/good/000"), (23, "test/hole/001"), (24, "test/bent/000")):
        sample = samples[name]
        assert sample.record.name == name
        np.testing.assert_array_equal(sample.rgb, picture(seed))
        np.testing.assert_array_equal(sample.xyz, cloud(seed))
        np.testing.assert_array_equal(sample.valid, (cloud(seed) != 0).any(axis=2))
        expected = np.zeros((HEIGHT, WIDTH), dtype=bool)
        expected[:2, :3] = sample.record.label  # the class id is 253 or 255
        np.testing.assert_array_equal(sample.mask, expected)


def test_files_of_other_kinds_and_hidden_files_are_no_samples(root: Path) -> None:
    folder = root / "widget/train/good"
    for name in ("rgb/Thumbs.db", "rgb/._000.png", "xyz/.DS_Store", "rgb/readme.txt"):
        (folder / name).write_bytes(b"something else")
    assert len(Mvtec3d(root).records("widget")) == 10


def test_validation_may_be_absent(root: Path) -> None:
    shutil.rmtree(root / "widget/validation")
    assert {record.split for record in Mvtec3d(root).records("widget")} == {"train", "test"}


def test_masks_of_good_samples_may_be_absent_altogether(root: Path) -> None:
    shutil.rmtree(root / "widget/test/good/gt")
    dataset = Mvtec3d(root)
    good = [record for record in dataset.records("widget") if record.name.startswith("test/good")]
    assert len(good) == 2
    assert not dataset.read(good[0]).mask.any()


def test_unknown_category_suggests_the_nearest(root: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"unknown category 'wigdet'\. Did you mean 'widget'\?") as caught:
        Mvtec3d(root).records("wigdet")
    assert caught.value.exit_code == 2
    for name in ("../widget", "", ".", str(root / "widget")):
        with pytest.raises(UnknownNameError):
            Mvtec3d(root).records(name)


def test_folder_that_is_no_category_says_what_it_lacks(root: Path) -> None:
    error = failure(lambda: Mvtec3d(root).records("notes"))
    assert error.message == f"{root / 'notes'} is no category: expected train/good in it, found nothing."


def test_root_without_categories_says_what_was_expected_and_found(tmp_path: Path) -> None:
    for name in ("a.zip", "b.zip", "c.zip", "d.zip", "e.zip", "f.zip"):
        (tmp_path / name).write_bytes(b"")
    error = failure(Mvtec3d(tmp_path).categories)
    assert "expected CATEGORY/train/good/{rgb,xyz}, CATEGORY/test/DEFECT/{rgb,xyz,gt}" in error.message
    assert "found a.zip, b.zip, c.zip, d.zip, e.zip and 1 more." in error.message
    assert "--root, LSFA_DATA_ROOT or root in lsfa.toml" in str(error)
    assert "lsfa data list shows the layouts" in str(error)


def test_root_that_is_a_category_names_the_folder_above(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error = failure(Mvtec3d(root / "widget").categories)
    assert error.hint == f"This folder is a category itself. Use the one above: {root}"
    monkeypatch.chdir(root / "widget")
    assert str(root) in str(failure(Mvtec3d(Path()).categories).hint)


@pytest.mark.parametrize("place", ["train", "train/good", "train/good/rgb", "test/hole"])
def test_root_inside_of_a_category_names_the_folder_above(root: Path, place: str) -> None:
    error = failure(Mvtec3d(root / "widget" / place).categories)
    assert error.hint == f"This is inside of the category {root / 'widget'}. Use {root}"


def test_root_one_level_too_high_names_the_folder_below(root: Path) -> None:
    error = failure(Mvtec3d(root.parent).categories)
    assert error.hint == f"The categories are one folder down. Use {root}"


def test_folder_beside_the_data_set_that_may_not_be_listed_does_no_harm(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root.parent / "locked").mkdir()
    listed = Path.iterdir

    def denied(path: Path) -> Iterator[Path]:
        if path.name == "locked":
            raise PermissionError(errno.EACCES, "Permission denied")
        return listed(path)

    monkeypatch.setattr(Path, "iterdir", denied)
    assert failure(Mvtec3d(root.parent).categories).hint == f"The categories are one folder down. Use {root}"
    error = failure(Mvtec3d(root.parent / "locked").categories)
    assert error.message == f"{root.parent / 'locked'} cannot be listed: Permission denied."


@pytest.mark.parametrize("split", ["train", "test"])
def test_split_without_samples_is_refused(root: Path, split: str) -> None:
    shutil.rmtree(root / "widget" / split)
    (root / "widget" / split / ("good" if split == "train" else "")).mkdir(parents=True)
    assert f"{root / 'widget' / split} holds no samples" in failure(lambda: Mvtec3d(root).records("widget")).message


def test_defect_folder_without_samples_is_refused(root: Path) -> None:
    (root / "widget/test/dent/images").mkdir(parents=True)
    error = failure(lambda: Mvtec3d(root).records("widget"))
    assert f"{root / 'widget/test/dent'} holds no samples" in error.message
    assert "found images" in error.message


def test_all_missing_files_are_counted_and_five_are_named(root: Path) -> None:
    missing = [
        "train/good/xyz/001.tiff",
        "validation/good/rgb/000.png",
        "test/bent/gt/000.png",
        "test/bent/rgb/001.png",
        "test/good/gt/001.png",
        "test/hole/xyz/000.tiff",
    ]
    for name in missing:
        (root / "widget" / name).unlink()
    error = failure(lambda: Mvtec3d(root).records("widget"))
    assert error.message == f"{root / 'widget'}: 6 files are missing: {', '.join(missing[:5])} and 1 more."
    assert len(Mvtec3d(root).records("gadget")) == 10


def test_one_missing_file_is_named(root: Path) -> None:
    (root / "widget/test/hole/rgb/001.png").unlink()
    error = failure(lambda: Mvtec3d(root).records("widget"))
    assert error.message == f"{root / 'widget'}: 1 file is missing: test/hole/rgb/001.png."


def test_missing_folder_counts_as_missing_files(root: Path) -> None:
    shutil.rmtree(root / "widget/train/good/xyz")
    assert "3 files are missing: train/good/xyz/000.tiff" in failure(lambda: Mvtec3d(root).records("widget")).message


def test_folder_in_the_place_of_a_file_is_refused(root: Path) -> None:
    path = root / "widget/test/hole/xyz/000.tiff"
    path.unlink()
    path.mkdir()
    assert failure(lambda: Mvtec3d(root).records("widget")).message == f"{path} is a folder, expected a file."


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="no symbolic links")
def test_link_to_nothing_is_refused_when_read(root: Path) -> None:
    path = root / "widget/train/good/rgb/000.png"
    path.unlink()
    path.symlink_to(root / "absent.png")
    dataset = Mvtec3d(root)
    assert f"{path} does not exist" in failure(lambda: dataset.read(dataset.records("widget")[0])).message


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may list everything")
def test_folder_without_permission_is_refused(root: Path) -> None:
    (root / "widget/train/good/rgb").chmod(0)
    try:
        assert "cannot be listed" in failure(lambda: Mvtec3d(root).records("widget")).message
    finally:
        (root / "widget/train/good/rgb").chmod(0o755)


def test_different_sizes_name_both_files(root: Path) -> None:
    dataset = Mvtec3d(root)
    record = dataset.records("widget")[-1]
    Image.fromarray(np.zeros((HEIGHT, WIDTH + 1), dtype=np.uint8)).save(record.files["mask"])
    error = failure(lambda: dataset.read(record))
    assert error.message == (f"{record.files['mask']} has 11 x 12 pixels, its image {record.files['rgb']} has 10 x 12.")
    write_cloud(record.files["xyz"], cloud(1, HEIGHT + 3, WIDTH))
    assert f"{record.files['xyz']} has 10 x 15 pixels" in failure(lambda: dataset.read(record)).message


def test_good_sample_with_a_marked_defect_is_refused(root: Path) -> None:
    write_sample(root / "widget/test/good", "000", 1, mask_value=255)
    dataset = Mvtec3d(root)
    record = next(record for record in dataset.records("widget") if record.name == "test/good/000")
    error = failure(lambda: dataset.read(record))
    assert error.message == f"{record.files['mask']}: the mask of a good part marks 6 defect pixels."


def test_synthetic_is_the_same_layout_for_which_stand_ins_are_fine(root: Path) -> None:
    assert (Mvtec3d.name, Mvtec3d.stand_in_ok) == ("mvtec3d", False)
    assert (Synthetic.name, Synthetic.stand_in_ok) == ("synthetic", True)
    assert Synthetic(root).records("widget") == Mvtec3d(root).records("widget")


def test_real_category(shared: Shared) -> None:
    root = shared("data/mvtec3d")
    dataset = Mvtec3d(root)
    assert "cable_gland" in dataset.categories()
    records = dataset.records("cable_gland")
    counts = Counter((record.split, record.defect) for record in records)
    assert counts == {
        ("train", "good"): 26,
        ("validation", "good"): 3,
        ("test", "good"): 8,
        ("test", "bent"): 5,
        ("test", "cut"): 5,
        ("test", "hole"): 5,
        ("test", "thread"): 5,
    }
    ids = json.loads((root / "cable_gland/class_ids.json").read_text())
    assert ids["253"] == "hole"  # so masks hold 253, not 255
    for record in [*records[::9], *(record for record in records if record.label)]:
        sample = dataset.read(record)
        assert sample.rgb.shape == sample.xyz.shape == (400, 400, 3)
        assert 0.53 < sample.valid.mean() < 0.68
        assert 0.61 < sample.xyz[sample.valid][:, 2].min() < sample.xyz[..., 2].max() < 0.69
        assert 0.0004 < sample.mask.mean() < 0.008 if record.label else not sample.mask.any()
