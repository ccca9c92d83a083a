import numpy as np
import pytest
from PIL import Image

from lsfa_cli.datasets.mvtec3d import Synthetic
from lsfa_cli.datasets.synthetic import generate
from lsfa_cli.errors import DataError
from lsfa_cli.stages.check_data import check_data
from lsfa_cli.stages.data_montage import TILES, chosen, write_montage
from tests.checks.views import record


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    root = tmp_path_factory.mktemp("parts")
    generate(root, categories=["cover"], size=96, train=3, validation=0, test_good=1, test_per_defect=1, jobs=1)
    (root / "cover" / "train" / "good" / "rgb" / "001.png").write_bytes(b"damaged")
    return root


def test_a_montage_marks_what_was_found_and_what_cannot_be_read(parts, tmp_path):
    dataset = Synthetic(parts)
    path = tmp_path / "deep" / "montage.png"
    write_montage(dataset, check_data(dataset, ["cover"], jobs=1), path)
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    red = np.abs(pixels - [217, 26, 26]).max(axis=2) < 12
    columns = np.flatnonzero(red.any(axis=0))
    assert red.sum() > 800
    assert columns.min() > 180  # the second of six tiles, and no other
    assert columns.max() < 370


def test_no_sample_is_a_data_error(tmp_path):
    (tmp_path / "part" / "train" / "good").mkdir(parents=True)
    dataset = Synthetic(tmp_path)
    with pytest.raises(DataError, match="no sample"):
        write_montage(dataset, check_data(dataset, ["part"], jobs=1), tmp_path / "montage.png")


def test_marked_samples_come_first_but_leave_room_for_others():
    records = [record(f"train/good/{number:03}") for number in range(100)]
    names = [row.name for row in records]
    few = chosen(records, {names[50]: "outliers"})
    assert len(few) == TILES
    assert records[50] in few
    assert records[0] in few
    assert records[99] in few
    assert few == sorted(few, key=lambda row: row.name)
    many = chosen(records, dict.fromkeys(names[:60], "values"))
    assert len(many) == TILES
    assert sum(row.name in names[:60] for row in many) == TILES * 2 // 3
    assert chosen(records[:5], {}) == records[:5]
