"""Real3D-AD: its layout, where points and labels come from, and what is said when files are missing."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from lsfa_cli.datasets.base import CloudDataset, RasterDataset
from lsfa_cli.datasets.clouds import read_points
from lsfa_cli.datasets.real3d_ad import Real3dAd, kind_of
from lsfa_cli.errors import UnknownNameError
from tests.datasets.real3d_trees import scan, whole, write_category, write_pcd
from tests.datasets.refusals import failure


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """One category, below folders whose names would mislead a reader of whole paths."""
    root = tmp_path / "good template temp"
    write_category(root / "pebble", train=2, test=2)
    return root


def test_it_is_a_data_set_of_clouds_alone(root: Path) -> None:
    dataset = Real3dAd(root)
    assert isinstance(dataset, CloudDataset)
    assert not isinstance(dataset, RasterDataset)
    assert dataset.categories() == ["pebble"]
    assert dataset.modalities("pebble") == ("xyz",)


def test_records_in_order_with_every_file_they_depend_on(root: Path) -> None:
    records = Real3dAd(root).records("pebble")
    assert [record.name for record in records] == [
        "train/good/1_template",
        "train/good/2_template",
        "test/bulge/1_bulge",
        "test/bulge/2_bulge",
        "test/good/1_good",
        "test/good/2_good",
        "test/sink/1_sink",
        "test/sink/2_sink",
    ]
    assert [record.label for record in records] == [0, 0, 1, 1, 0, 0, 1, 1]
    folder = root / "pebble"
    template = folder / "train/1_template.pcd"
    assert dict(records[1].files) == {"xyz": folder / "train/2_template.pcd", "template": template}
    assert dict(records[4].files) == {"xyz": folder / "test/1_good.pcd", "template": template}
    assert dict(records[7].files) == {
        "xyz": folder / "test/2_sink.pcd",
        "labels": folder / "gt/2_sink.txt",
        "template": template,
    }


def test_points_are_metres_around_their_mean(root: Path) -> None:
    dataset = Real3dAd(root)
    for record in dataset.records("pebble"):
        sample = dataset.read_cloud(record)
        raw = read_points(record.files["xyz"]).astype(np.float64) / 1000
        assert sample.record is record
        assert sample.points.dtype == np.float32
        np.testing.assert_allclose(sample.points, raw - raw.mean(axis=0), atol=1e-7)
        assert np.abs(sample.points.mean(axis=0)).max() < 1e-7
    first = dataset.read_cloud(dataset.records("pebble")[0])
    np.testing.assert_allclose(first.points, (whole(0) - whole(0).mean(axis=0)) / 1000, atol=1e-6)


def test_labels_of_defective_scans_and_none_on_good_ones(root: Path) -> None:
    dataset = Real3dAd(root)
    for record in dataset.records("pebble"):
        sample = dataset.read_cloud(record)
        assert sample.defect.shape == (len(sample.points),)
        assert bool(sample.defect.any()) == bool(record.label)
    bulge = dataset.read_cloud(next(r for r in dataset.records("pebble") if r.name == "test/bulge/2_bulge"))
    np.testing.assert_array_equal(bulge.defect, scan(101, "bulge")[1])


def test_points_of_a_defective_scan_come_from_its_labels(root: Path) -> None:
    (root / "pebble/gt/1_sink.txt").write_text("0 0 0 0\n10 0 0 1\nnan 0 0 1\n20 30 0 0\n")
    dataset = Real3dAd(root)
    record = next(r for r in dataset.records("pebble") if r.name == "test/sink/1_sink")
    sample = dataset.read_cloud(record)
    np.testing.assert_allclose(sample.points * 1000, [[-10, -10, 0], [0, -10, 0], [10, 20, 0]], atol=1e-5)
    assert sample.defect.tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("stem", "kind"),
    [
        ("83_good", "good"),
        ("83_good_cut", "good"),
        ("3_Good", "good"),
        ("112_bulge", "bulge"),
        ("112_bulge_cut", "bulge"),
        ("7_sink_copy", "sink"),
        ("airplane_7_hole", "hole"),
        ("9_cut", "cut"),
        ("9_cut_copy", "copy"),
        ("12", "unknown"),
    ],
)
def test_the_kind_is_in_the_name(stem: str, kind: str) -> None:
    assert kind_of(stem) == kind


def test_templates_among_the_test_scans_and_other_files_are_left_out(root: Path) -> None:
    folder = root / "pebble"
    write_pcd(folder / "test" / "9_template.pcd", whole(0))
    write_pcd(folder / "train" / "9_scan.pcd", whole(0))
    for name in ("test/readme.txt", "test/.1_bulge.pcd", "train/notes.txt"):
        (folder / name).write_bytes(b"something else")
    assert len(Real3dAd(root).records("pebble")) == 8


def test_prototypes_are_templates_too(root: Path) -> None:
    train = root / "pebble/train"
    for name in ("1", "2"):
        (train / f"{name}_template.pcd").rename(train / f"{name}_prototype.pcd")
    records = Real3dAd(root).records("pebble")
    assert records[0].name == "train/good/1_prototype"
    assert {record.files["template"] for record in records} == {train / "1_prototype.pcd"}


def test_missing_files_and_folders_are_named(root: Path) -> None:
    folder = root / "pebble"
    dataset = Real3dAd(root)
    (folder / "gt/1_sink.txt").unlink()
    assert failure(lambda: dataset.records("pebble")).message == f"{folder}: 1 file is missing: gt/1_sink.txt."
    shutil.rmtree(folder / "gt")
    assert "4 files are missing: gt/1_bulge.txt" in failure(lambda: dataset.records("pebble")).message
    shutil.rmtree(folder / "test")
    assert f"{folder / 'test'} does not exist" in failure(lambda: dataset.records("pebble")).message
    (folder / "test").mkdir()
    assert "holds no scans" in failure(lambda: dataset.records("pebble")).message
    for file in (folder / "train").iterdir():
        file.unlink()
    assert "holds no *template*.pcd or *prototype*.pcd" in failure(lambda: dataset.records("pebble")).message
    shutil.rmtree(folder / "train")
    assert "has no category" in failure(dataset.categories).message


def test_a_folder_in_the_place_of_a_cloud_and_an_unknown_category(root: Path) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'pebble'"):
        Real3dAd(root).records("peble")
    (root / "pebble/test/5_good.pcd").mkdir()
    assert "is a folder" in failure(lambda: Real3dAd(root).records("pebble")).message
