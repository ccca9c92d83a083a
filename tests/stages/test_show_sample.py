import shutil

import numpy as np
import pytest
from PIL import Image

from lsfa_cli.datasets.mvtec3d import Synthetic
from lsfa_cli.datasets.real3d_ad import Real3dAd
from lsfa_cli.datasets.synthetic import generate
from lsfa_cli.errors import DataError, UnknownNameError, UsageError
from lsfa_cli.settings import ExtractSettings
from lsfa_cli.stages.show_sample import find_sample, show_sample
from tests.datasets.real3d_trees import write_category, write_pcd


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    root = tmp_path_factory.mktemp("parts")
    generate(root, categories=["cover"], size=96, train=2, validation=0, test_good=1, test_per_defect=1, jobs=1)
    return root


def shown(root, path, name="test/rib/000", settings=None):
    dataset = Synthetic(root)
    category, record = find_sample(dataset, None, name)
    return show_sample(dataset, category, record, path, settings)


def test_a_sample_as_it_is(parts, tmp_path):
    lines = shown(parts, tmp_path / "s.png")
    assert lines[0] == "as it is: size: 96 x 96 pixels"
    assert "defect: " in lines[-1]
    pixels = np.asarray(Image.open(tmp_path / "s.png").convert("RGB")).astype(int)
    assert (np.abs(pixels - [0, 230, 255]).max(axis=2) < 40).sum() > 100


def test_settings_change_what_is_shown(parts, tmp_path):
    def share(**settings):
        lines = shown(parts, tmp_path / "s.png", settings=ExtractSettings(**settings))
        (line,) = (line for line in lines if line.startswith("preprocessed: points"))
        return float(line.rpartition(", ")[2].partition("%")[0])

    removed = share()
    kept = share(remove_plane=False, keep_largest_cluster=False)
    assert removed < 0.7 * kept


def test_preprocessing_that_leaves_nothing_names_the_file(parts, tmp_path):
    with pytest.raises(DataError, match=r"xyz.000\.tiff"):
        shown(parts, tmp_path / "s.png", settings=ExtractSettings(plane_removal_distance=10))


def test_a_wrong_name_gets_the_nearest_and_a_short_list(parts):
    with pytest.raises(UnknownNameError, match="Did you mean 'test/rib/000'") as caught:
        find_sample(Synthetic(parts), "cover", "test/rib/00")
    assert "Known: " in str(caught.value)


def test_the_category_must_be_named_where_there_are_several(parts, tmp_path):
    for name in ("cover", "lid"):
        shutil.copytree(parts / "cover", tmp_path / name)
    with pytest.raises(UsageError, match="2 categories") as caught:
        find_sample(Synthetic(tmp_path), None, "test/rib/000")
    assert "cover or lid" in str(caught.value)
    assert find_sample(Synthetic(tmp_path), "lid", "test/rib/000")[0] == "lid"


def test_files_missing_elsewhere_are_no_matter(parts, tmp_path):
    shutil.copytree(parts / "cover", tmp_path / "cover")
    (tmp_path / "cover/train/good/rgb/000.png").unlink()
    assert shown(tmp_path, tmp_path / "s.png")
    with pytest.raises(DataError, match=r"train.good.rgb.000\.png does not exist"):
        shown(tmp_path, tmp_path / "s.png", "train/good/000")


def test_an_unorganized_cloud_and_its_thinning(tmp_path):
    write_category(tmp_path / "duck")
    dataset = Real3dAd(tmp_path)
    category, record = find_sample(dataset, None, dataset.records("duck")[-1].name)
    lines = show_sample(dataset, category, record, tmp_path / "s.png", ExtractSettings(cloud_spacing=0.003))
    counts = [
        int(line.partition("points: ")[2].partition(";")[0].replace(",", "")) for line in lines if "points:" in line
    ]
    assert counts[1] < counts[0] / 2
    assert lines[-1].startswith("thinned to 3 mm: ")
    with Image.open(tmp_path / "s.png") as picture:
        assert picture.width == 1080


def test_a_cloud_in_a_wrong_unit_is_refused_by_name(tmp_path):
    points = np.random.default_rng(0).normal(size=(500, 3)) * 20
    write_pcd(tmp_path / "duck/train/a_template.pcd", points)
    points[0] = 1e9
    write_pcd(tmp_path / "duck/test/1_good.pcd", points)
    dataset = Real3dAd(tmp_path)
    category, record = find_sample(dataset, None, "test/good/1_good")
    with pytest.raises(DataError, match=r"1_good\.pcd: the cloud reaches .* m from its middle"):
        show_sample(dataset, category, record, tmp_path / "s.png", ExtractSettings())
