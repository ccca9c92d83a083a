"""The table of data sets and the opening of one."""

import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lsfa_cli.datasets import DATASETS, open_dataset
from lsfa_cli.errors import DataError, UnknownNameError
from tests.datasets import eyecandies_trees, folder_trees, mvtec2d_trees, real3d_trees, trees
from tests.datasets.trees import write_category

# Writers of a category in the layout of a data set; the others read MVTec 3D-AD's.
WRITERS = {
    "eyecandies": eyecandies_trees.write_category,
    "folder": folder_trees.write_category,
    "mvtec2d": mvtec2d_trees.write_category,
    "real3d_ad": real3d_trees.write_category,
}


@pytest.mark.parametrize("name", DATASETS)
def test_every_row_opens(tmp_path: Path, name: str) -> None:
    WRITERS.get(name, trees.write_category)(tmp_path / "widget")
    dataset = open_dataset(name, tmp_path)
    assert dataset.name == name
    assert dataset.root == tmp_path
    assert dataset.stand_in_ok == (name == "synthetic")
    assert dataset.categories() == ["widget"]
    assert dataset.records("widget")[0].split == "train"
    assert DATASETS[name].help
    assert DATASETS[name].needs
    sent = pickle.loads(pickle.dumps(dataset))  # as worker processes get it
    assert sent.records("widget") == dataset.records("widget")


@pytest.mark.parametrize("name", DATASETS)
def test_without_test_samples_nothing_of_them_is_looked_at(tmp_path: Path, name: str) -> None:
    widget = tmp_path / "widget"
    WRITERS.get(name, trees.write_category)(widget)
    whole = open_dataset(name, tmp_path).records("widget")
    assert {record.split for record in whole} >= {"train", "test"}
    expected = [record for record in whole if record.split != "test"]
    assert open_dataset(name, tmp_path, test=False).records("widget") == expected
    for folder in ("test", "test_public", "gt", "ground_truth", "masks"):
        shutil.rmtree(widget / folder, ignore_errors=True)
    assert open_dataset(name, tmp_path, test=False).records("widget") == expected


def test_unknown_name_suggests_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"unknown dataset 'mvtec'\. Did you mean 'mvtec3d'\?"):
        open_dataset("mvtec", tmp_path)


def test_root_must_be_given_and_exist(tmp_path: Path) -> None:
    (tmp_path / "data.tar.xz").write_bytes(b"")
    for root, message in (
        (None, "no folder given for the data set 'mvtec3d'"),
        (tmp_path / "absent", f"{tmp_path / 'absent'} does not exist"),
        (tmp_path / "data.tar.xz", f"{tmp_path / 'data.tar.xz'} is a file, not a folder"),
        (tmp_path / ("long" * 100), "cannot be used"),
        (Path("~no-such-user-here/data"), "cannot be used"),
        (tmp_path / "caf\udce9", "cannot be used"),  # a name that is not UTF-8, as Python holds it
    ):
        with pytest.raises(DataError) as caught:
            open_dataset("mvtec3d", root)
        assert message in caught.value.message
        assert "--root, LSFA_DATA_ROOT or root in lsfa.toml" in str(caught.value)
        assert caught.value.exit_code == 3


def test_home_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_category(tmp_path / "data" / "widget")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert open_dataset("mvtec3d", Path("~/data")).root == tmp_path / "data"


def test_the_table_imports_nothing_heavy() -> None:
    code = "import sys, lsfa_cli.datasets; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "lsfa_cli.datasets" in modules
    assert not {"numpy", "PIL", "tifffile", "scipy", "torch"} & set(modules)
