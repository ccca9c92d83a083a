"""Every fault is put into a copy of a clean data set and must be found; the clean one gives nothing."""

import json
import os
import shutil
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from lsfa_cli.commands.data.check_text import print_report
from lsfa_cli.datasets.eyecandies import Eyecandies
from lsfa_cli.datasets.folder import Folder
from lsfa_cli.datasets.mvtec3d import Mvtec3d, Synthetic
from lsfa_cli.datasets.real3d_ad import Real3dAd
from lsfa_cli.datasets.synthetic import generate
from lsfa_cli.errors import DataError, UnknownNameError
from lsfa_cli.samples import CloudSample
from lsfa_cli.stages.check_data import check_data, spread
from lsfa_cli.stages.data_montage import write_montage
from lsfa_cli.stages.progress import NoProgress
from tests.checks.views import record as record_of
from tests.datasets.eyecandies_trees import write_category as write_candy
from tests.datasets.folder_trees import write_category as write_part
from tests.datasets.real3d_trees import write_category

SIZE = 128
NAME = "biscuit"


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    root = tmp_path_factory.mktemp("clean")
    generate(root, categories=[NAME], size=SIZE, train=8, validation=1, test_good=2, test_per_defect=1, jobs=1)
    return root


@pytest.fixture
def parts(clean, tmp_path):
    """A copy of the clean set that a test may damage."""
    root = tmp_path / "parts"
    shutil.copytree(clean, root)
    return root / NAME


def report_of(category: Path, **options):
    return check_data(Synthetic(category.parent), [category.name], jobs=1, **options)


def findings(category: Path):
    (row,) = report_of(category).categories
    return [(finding.severity, finding.check, finding.samples) for finding in row.findings]


def each(category: Path, pattern: str, change, *, kind="image"):
    for path in sorted(category.glob(pattern)):
        if kind == "image":
            Image.fromarray(change(np.array(Image.open(path)))).save(path)
        else:
            tifffile.imwrite(path, change(tifffile.imread(path)).astype(np.float32), photometric="rgb")


def test_a_clean_set_gives_nothing(clean):
    report = report_of(clean / NAME)
    assert report.usable
    assert [row.findings for row in report.categories] == [[]]
    (row,) = report.categories
    counts = {(group.split, group.defect): (group.samples, len(group.facts)) for group in row.groups}
    assert counts[("train", "good")] == (8, 8)
    assert counts[("validation", "good")] == (1, 1)
    assert counts[("test", "hole")] == (1, 1)
    assert (row.samples, row.read) == (15, 15)
    assert row.modalities == ("rgb", "xyz")
    group = row.groups[0]
    assert group.sizes == {f"{SIZE} x {SIZE}": 8}
    assert 0 <= group.values[0] < group.values[1] <= 255
    assert 0.5 < group.valid_share[0] <= group.valid_share[1] <= 1
    assert 0.6 < group.z[0] < group.z[1] < 0.7


def test_the_report_does_not_depend_on_the_number_of_threads(clean):
    alone = report_of(clean / NAME).document()
    assert check_data(Synthetic(clean), [NAME], jobs=3).document() == alone


def test_millimetres_for_metres(parts):
    each(parts, "*/*/xyz/*.tiff", lambda xyz: xyz * 1000, kind="cloud")
    assert ("error", "units", ()) in findings(parts)
    assert not report_of(parts).usable


def test_metres_for_millimetres(parts):
    each(parts, "*/*/xyz/*.tiff", lambda xyz: xyz / 1000, kind="cloud")
    assert ("error", "units", ()) in findings(parts)


def test_swapped_axes(parts):
    each(parts, "*/*/xyz/*.tiff", lambda xyz: xyz[..., [1, 0, 2]], kind="cloud")
    assert ("warning", "axes", ()) in findings(parts)
    assert report_of(parts).usable


def test_flipped_axis(parts):
    each(parts, "*/*/xyz/*.tiff", lambda xyz: xyz * [1, -1, 1], kind="cloud")
    assert ("warning", "axes", ()) in findings(parts)


def test_an_image_of_one_colour(parts):
    each(parts, "train/good/rgb/000.png", np.zeros_like)
    assert ("warning", "values", ("train/good/000",)) in findings(parts)


def test_another_part_among_the_good_ones(parts):
    each(parts, "train/good/rgb/003.png", lambda rgb: 255 - rgb)
    assert ("warning", "outliers", ("train/good/003",)) in findings(parts)


def test_a_training_sample_in_the_test_split(parts):
    for role, suffix in (("rgb", "png"), ("xyz", "tiff")):
        shutil.copy(parts / f"train/good/{role}/001.{suffix}", parts / f"test/good/{role}/000.{suffix}")
    assert findings(parts) == [("error", "duplicates", ("train/good/001", "test/good/000"))]


def test_a_training_sample_twice(parts):
    shutil.copy(parts / "train/good/rgb/001.png", parts / "train/good/rgb/005.png")
    assert findings(parts) == [("warning", "duplicates", ("train/good/001", "train/good/005"))]


def test_samples_of_another_size(parts):
    each(parts, "train/good/rgb/002.png", lambda rgb: rgb[:100])
    each(parts, "train/good/xyz/002.tiff", lambda xyz: xyz[:100], kind="cloud")
    assert ("note", "sizes", ("train/good/002",)) in findings(parts)


def test_a_good_mask_with_defect_pixels(parts):
    each(parts, "test/good/gt/001.png", lambda mask: mask + 255)
    assert findings(parts) == [("error", "files", ("test/good/001",))]


def test_a_mask_of_another_size(parts):
    each(parts, "test/hole/gt/000.png", lambda mask: mask[:50])
    (row,) = report_of(parts).categories
    (finding,) = row.findings
    assert (finding.severity, finding.check) == ("error", "files")
    assert finding.files[0].endswith("gt/000.png")


def test_empty_masks_of_defects(parts):
    each(parts, "test/*/gt/*.png", np.zeros_like)
    ((severity, check, samples),) = findings(parts)
    assert (severity, check, len(samples)) == ("warning", "masks", 4)


def test_a_mask_with_shades_of_grey(parts):
    each(parts, "test/hole/gt/000.png", lambda mask: np.pad(np.arange(40, dtype=np.uint8)[None], ((0, 127), (0, 88))))
    assert findings(parts) == [("warning", "masks", ("test/hole/000",))]


def test_missing_files_are_listed_and_the_rest_is_checked(parts):
    (parts / "train/good/xyz/004.tiff").unlink()
    (parts / "test/hole/gt/000.png").unlink()
    each(parts, "train/good/rgb/000.png", np.zeros_like)
    (row,) = report_of(parts).categories
    missing = row.findings[0]
    assert (missing.severity, missing.check) == ("error", "files")
    assert missing.files == ("train/good/xyz/004.tiff", "test/hole/gt/000.png")
    assert row.samples == 13
    assert "values" in {finding.check for finding in row.findings}


def test_no_test_split(parts):
    shutil.rmtree(parts / "test")
    ((severity, check, _),) = findings(parts)
    assert (severity, check) == ("error", "files")


def test_few_training_samples(parts):
    for path in parts.glob("train/good/*/00[2-7].*"):
        path.unlink()
    assert findings(parts) == [("warning", "counts", ())]


def garbage(path: Path) -> None:
    path.write_bytes(np.random.default_rng(0).bytes(5000))


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:1000])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def looped(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def piped(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("damage", [garbage, truncated, emptied, looped, piped])
@pytest.mark.parametrize("file", ["rgb/003.png", "xyz/003.tiff"])
def test_a_damaged_file_is_one_finding(parts, damage, file):
    damage(parts / "train" / "good" / file)
    (row,) = report_of(parts).categories
    (finding,) = row.findings
    assert (finding.severity, finding.check) == ("error", "files")
    assert file in finding.message + "".join(finding.files)
    assert finding.advice
    assert row.read >= 14


@pytest.mark.parametrize("seed", range(8))
def test_flipped_bits_anywhere_end_in_a_report(parts, seed, tmp_path):
    generator = np.random.default_rng(seed)
    for path in sorted(parts.rglob("*.*")):
        content = bytearray(path.read_bytes())
        # Headers are hit more often than their share, because they decide what is read.
        for place in (generator.integers(300), generator.integers(len(content))):
            if generator.uniform() < 0.4:
                content[place % len(content)] ^= 1 << int(generator.integers(8))
        path.write_bytes(content)
    report = report_of(parts)
    json.dumps(report.document(), allow_nan=False)
    write_montage(Synthetic(parts.parent), report, tmp_path / "m.png")
    assert not report.usable


def test_enormous_coordinates_are_a_finding(parts, tmp_path):
    def wild(xyz):
        xyz[::3, ::2] = [3e38, -3e38, 3e38]
        xyz[1::3, ::2] = [-3e38, 3e38, -3e38]
        return xyz

    each(parts, "train/good/xyz/*.tiff", wild, kind="cloud")
    report = report_of(parts)
    json.dumps(report.document(), allow_nan=False)
    write_montage(Synthetic(parts.parent), report, tmp_path / "m.png")
    assert "units" in {finding.check for finding in report.categories[0].findings}


def test_odd_names(parts, tmp_path):
    for number, name in enumerate(("with space", "line\nbreak", "naïve", "部品", "$\\alpha$")):
        for role, suffix in (("rgb", "png"), ("xyz", "tiff")):
            folder = parts / "train/good" / role
            (folder / f"{number:03}.{suffix}").rename(folder / f"{name}.{suffix}")
    truncated(parts / "train/good/xyz/部品.tiff")
    report = report_of(parts)
    assert [finding.samples for finding in report.categories[0].findings] == [("train/good/部品",)]
    write_montage(Synthetic(parts.parent), report, tmp_path / "m.png")
    print_report(report, terminal=True)


def test_everything_damaged(parts):
    for path in parts.rglob("*.png"):
        truncated(path)
    (row,) = report_of(parts).categories
    assert row.read == 0
    assert {finding.check for finding in row.findings} == {"files"}
    (finding,) = row.findings  # one trouble, told once
    assert len(finding.samples) == len(set(finding.samples)) == 15
    assert len(finding.files) >= 15
    assert "The same with 14 other samples." in finding.message


def test_two_damaged_files_are_two_findings(parts):
    for name in ("001", "002"):
        emptied(parts / f"train/good/rgb/{name}.png")
    (row,) = report_of(parts).categories
    assert [finding.samples for finding in row.findings] == [("train/good/001",), ("train/good/002",)]


def test_a_setting_that_all_parts_need_is_missed_once(tmp_path):
    write_part(tmp_path / "plate")
    (tmp_path / "plate/lsfa-part.toml").write_text("[depth]\nscale = 0.001\n")
    (row,) = check_data(Folder(tmp_path), ["plate"], jobs=1).categories
    (finding,) = [finding for finding in row.findings if finding.check == "files"]
    assert "[camera] lacks fx, fy, cx, cy" in finding.message
    assert len(finding.samples) == row.samples == 8


def test_a_category_without_a_layout_does_not_hide_the_next(parts):
    shutil.copytree(parts, parts.parent / "other")
    shutil.rmtree(parts / "test")
    first, second = check_data(Synthetic(parts.parent), [NAME, "other"], jobs=1).categories
    assert [finding.severity for finding in first.findings] == ["error"]
    assert list(second.findings) == []


def test_an_unknown_category_is_the_users_error(clean):
    with pytest.raises(UnknownNameError, match="biscut"):
        check_data(Synthetic(clean), ["biscut"])


def test_fewer_samples_are_read_and_all_are_counted(clean):
    class Counting(NoProgress):
        total = 0

        def track(self, what, total):
            self.total = total
            return super().track(what, total)

    progress = Counting()
    (row,) = report_of(clean / NAME, samples=2, progress=progress).categories
    assert row.samples == 15
    assert row.read == progress.total == 2 + 1 + 2 + 4
    assert [group.samples for group in row.groups][:2] == [8, 1]


def test_equal_files_are_found_among_those_that_are_not_read(parts):
    shutil.copy(parts / "train/good/rgb/001.png", parts / "train/good/rgb/005.png")
    (row,) = report_of(parts, samples=2).categories
    assert [finding.check for finding in row.findings] == ["duplicates"]


def test_even_choice():
    numbers = list(range(100))
    assert spread(numbers, None) == numbers
    assert spread(numbers, 200) == numbers
    assert spread(numbers, 4) == [0, 33, 66, 99]
    assert spread(numbers, 1) == [0]


def test_the_document_is_plain_json_under_stable_keys(parts):
    each(parts, "train/good/rgb/000.png", np.zeros_like)
    document = report_of(parts).document()
    assert list(document) == [
        "schema", "schema_version", "dataset", "root", "usable", "counts", "categories", "findings",
    ]  # fmt: skip
    assert (document["schema"], document["schema_version"]) == ("data_check", 1)
    assert document["counts"]["error"] == 0
    (category,) = document["categories"]
    assert list(category) == ["name", "modalities", "samples", "read", "groups", "figures"]
    assert list(category["groups"][0]) == [
        "split", "defect", "samples", "read", "sizes", "rgb_range", "valid_share", "points", "z_range_m",
    ]  # fmt: skip
    assert {"units", "axes", "alignment", "outliers"} <= set(category["figures"])
    assert list(document["findings"][0]) == [
        "severity", "check", "category", "message", "advice", "samples", "files",
    ]  # fmt: skip


def test_findings_come_with_the_worst_first(parts):
    each(parts, "train/good/rgb/000.png", np.zeros_like)
    each(parts, "train/good/rgb/002.png", lambda rgb: rgb[:100])
    severities = [severity for severity, _, _ in findings(parts)]
    assert severities[0] == "error"
    assert "warning" in severities[1:]
    assert severities == sorted(severities, key=["error", "warning", "note"].index)


@pytest.mark.parametrize(("dataset", "folder"), [(Mvtec3d, "mvtec3d"), (Eyecandies, "eyecandies")])
def test_real_sets_give_nothing(shared, dataset, folder):
    source = dataset(shared(f"data/{folder}"))
    report = check_data(source, source.categories(), samples=4, jobs=1)
    assert [row.findings for row in report.categories] == [[]]
    (row,) = report.categories
    assert row.figures["outliers"]["largest_deviation"] < 4
    assert row.figures["alignment"]["confidence"] > 0.5


def test_an_image_beside_its_scan(shared):
    class Shifted(Mvtec3d):
        def read(self, record):
            sample = super().read(record)
            return replace(sample, rgb=np.roll(sample.rgb, 6, axis=1))

    (row,) = check_data(Shifted(shared("data/mvtec3d")), ["cable_gland"], samples=2, jobs=1).categories
    assert [(finding.severity, finding.check) for finding in row.findings] == [("warning", "alignment")]
    assert "6 px to the right" in row.findings[0].message


class Clouds:
    """Unorganized clouds in memory: a bumpy ball of 3 cm."""

    name = "clouds"
    root = Path("nowhere")
    stand_in_ok = False

    def __init__(self, scale=1.0, broken=()):
        self.scale, self.broken = scale, broken

    def categories(self):
        return ["ball"]

    def modalities(self, category):
        return ("xyz",)

    def records(self, category):
        names = [f"train/good/{number}" for number in range(8)] + ["test/good/0", "test/bulge/0"]
        return [record_of(name, xyz=f"{name}.pcd") for name in names]

    def read_cloud(self, record):
        if record.name in self.broken:
            raise DataError(f"{record.files['xyz']}: damaged.", hint="Copy it again.")
        generator = np.random.default_rng(zlib.crc32(record.name.encode()))
        points = generator.normal(size=(3000, 3))
        points *= 0.015 * self.scale / np.linalg.norm(points, axis=1, keepdims=True)
        return CloudSample(record, points.astype(np.float32), (points[:, 2] > 0.014) & bool(record.label))


def test_clouds_are_checked_too():
    (row,) = check_data(Clouds(), ["ball"], jobs=1).categories
    assert row.findings == []
    assert row.groups[0].points == (3000, 3000)
    assert row.groups[0].valid_share is None
    assert row.groups[0].values is None
    assert row.groups[0].sizes == {}
    assert set(row.figures) == {"units", "masks", "outliers"}


def test_clouds_with_faults():
    (row,) = check_data(Clouds(scale=1000.0, broken=("train/good/3",)), ["ball"], jobs=1).categories
    assert [(finding.severity, finding.check) for finding in row.findings] == [("error", "files"), ("error", "units")]
    assert row.findings[0].files == ("train/good/3.pcd",)


def test_real3d_ad_in_its_layout(tmp_path):
    write_category(tmp_path / "duck")
    report = check_data(Real3dAd(tmp_path), ["duck"], jobs=1)
    (row,) = report.categories
    assert row.modalities == ("xyz",)
    assert row.read == row.samples > 0
    assert "files" not in {finding.check for finding in row.findings}


def test_parts_of_a_users_own_with_depth_images(tmp_path):
    write_part(tmp_path / "plate")
    (row,) = check_data(Folder(tmp_path), ["plate"], jobs=1).categories
    assert row.modalities == ("rgb", "xyz")
    assert row.read == row.samples == 8
    found = {(finding.severity, finding.check) for finding in row.findings}
    # These parts are made up: two dents equal two good parts, one has no mask, and three parts train.
    assert found == {("error", "duplicates"), ("warning", "counts"), ("note", "masks")}


def test_a_depth_image_in_training_and_test(tmp_path):
    write_part(tmp_path / "plate")
    shutil.copy(tmp_path / "plate/good/depth/000.png", tmp_path / "plate/test/good/depth/001.png")
    (row,) = check_data(Folder(tmp_path), ["plate"], jobs=1).categories
    assert row.findings[0].severity == "error"
    assert row.findings[0].samples == ("train/good/000", "test/good/001")
    assert "the same depth image" in row.findings[0].message


def test_a_part_of_a_users_own_whose_depth_image_is_missing(tmp_path):
    write_part(tmp_path / "plate")
    (tmp_path / "plate/good/depth/001.png").unlink()
    (row,) = check_data(Folder(tmp_path), ["plate"], jobs=1).categories
    assert (row.findings[0].check, row.findings[0].files) == ("files", ("good/depth/001.*",))
    assert row.read == row.samples == 7


def test_missing_files_of_eyecandies(tmp_path):
    write_candy(tmp_path / "Lollipop")
    count = len(Eyecandies(tmp_path).records("Lollipop"))
    path = next((tmp_path / "Lollipop/train/data").glob("*_depth.png"))
    path.unlink()
    (row,) = check_data(Eyecandies(tmp_path), ["Lollipop"], samples=1, jobs=1).categories
    assert row.findings[0].files == (f"train/data/{path.name}",)
    assert row.samples == count - 1


def test_missing_labels_of_a_cloud(tmp_path):
    write_category(tmp_path / "duck")
    labels = sorted((tmp_path / "duck/gt").iterdir())[0]
    labels.unlink()
    count = len(list((tmp_path / "duck").glob("*/*.pcd")))
    (row,) = check_data(Real3dAd(tmp_path), ["duck"], samples=1, jobs=1).categories
    assert row.findings[0].files == (f"gt/{labels.name}",)
    assert row.samples == count - 1


def test_an_image_alone(clean):
    class ImageAlone(Synthetic):
        def modalities(self, category):
            return ("rgb",)

        def read(self, record):
            return replace(super().read(record), xyz=None, valid=None)

    (row,) = check_data(ImageAlone(clean), [NAME], jobs=1).categories
    assert row.findings == []
    assert set(row.figures) == {"sizes", "masks", "outliers"}
