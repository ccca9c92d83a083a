"""Extract of unorganized clouds: from a made-up Real3D-AD to the features artifact."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import cKDTree

from lsfa_cli.artifacts.features import Features, open_features
from lsfa_cli.datasets.real3d_ad import Real3dAd
from lsfa_cli.errors import DataError, MissingDependencyError, UsageError
from lsfa_cli.open3d_library import import_open3d
from lsfa_cli.pointcloud import thin
from lsfa_cli.preprocessing.cache import SampleCache
from lsfa_cli.registration import RegistrationOptions, describe, register
from lsfa_cli.settings import ExtractSettings
from lsfa_cli.stages import extract_clouds as stage
from lsfa_cli.stages.costs import sizes_of
from lsfa_cli.stages.extract import extract
from lsfa_cli.stages.making import Mode
from lsfa_cli.stages.progress import NoProgress
from tests.datasets.real3d_trees import directions, write_category, write_pcd

SIZE = 48
COORDINATES = ExtractSettings(xyz_backbone="coordinates", image_size=SIZE, device="cpu")


@pytest.fixture(scope="module", autouse=True)
def open3d() -> None:
    try:
        import_open3d()
    except MissingDependencyError as error:
        pytest.skip(error.message)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("real3d")
    write_category(root / "pebble", train=2, test=1)
    return root


@pytest.fixture(scope="module")
def made(root: Path) -> Path:
    """The artifact of registered coordinates."""
    return made_from(root, root / "made")


def made_from(
    root: Path,
    work: Path,
    settings: ExtractSettings = COORDINATES,
    *,
    jobs: int = 2,
    progress: NoProgress | None = None,
) -> Path:
    out = work / "features.h5"
    extract(Real3dAd(root), "pebble", out, settings, cache=SampleCache(work / "cache"), jobs=jobs, progress=progress)
    return out


def failure(act: Callable[[], object]) -> DataError:
    with pytest.raises(DataError) as caught:
        act()
    assert caught.value.hint
    return caught.value


def settings(**changes: object) -> ExtractSettings:
    return ExtractSettings(**{**COORDINATES.model_dump(), **changes})


def test_what_the_artifact_says(made: Path) -> None:
    with open_features(made) as features:
        assert features.is_cloud
        assert (features.dataset, features.category) == ("real3d_ad", "pebble")
        assert json.loads(features.artifact.attributes["backbones"]) == {
            "xyz": {"name": "coordinates", "arguments": ""}
        }
        assert features.modalities("both") == ("xyz",)
        assert features.split("train").names == ["train/good/1_template", "train/good/2_template"]
        assert features.split("test").names == ["test/bulge/1_bulge", "test/good/1_good", "test/sink/1_sink"]
        assert features.split("test").labels.tolist() == [1, 0, 1]
        assert features.artifact.settings["cloud_spacing"] == 0.0005
        assert features.artifact.settings["register_clouds"] is True


def test_groups_are_the_registered_and_thinned_points(root: Path, made: Path) -> None:
    """Computed again, step by step; coordinates are stored as float16."""
    dataset, options = Real3dAd(root), RegistrationOptions()
    records = dataset.records("pebble")
    template = dataset.read_cloud(records[0]).points
    target = describe(thin(template, 0.0005), options)
    with open_features(made) as features:
        np.testing.assert_allclose(groups(features, "train", 0), thin(template, 0.0005) * 1000, atol=0.01)
        for index, record in enumerate(record for record in records if record.split == "test"):
            sample = dataset.read_cloud(record)
            found = register(describe(thin(sample.points, 0.0005), options), target, options)
            moved = found.apply(sample.points)
            centers = thin(moved, 0.0005)
            np.testing.assert_allclose(groups(features, "test", index), centers * 1000, atol=0.01)
            offsets = features.point_offsets()
            points = features.points(slice(int(offsets[index]), int(offsets[index + 1])))
            np.testing.assert_array_equal(points.defect, sample.defect)
            np.testing.assert_array_equal(points.group, cKDTree(centers).query(moved)[1])


def groups(features: Features, split: str, index: int) -> np.ndarray:
    return features.split(split).patches(index, "xyz").values.astype(np.float64)


def test_registered_scans_lie_on_the_template(root: Path, made: Path, tmp_path: Path) -> None:
    with open_features(made) as features:
        surface = cKDTree(groups(features, "train", 0))
        assert np.quantile(surface.query(groups(features, "test", 1))[0], 0.99) < 0.5  # mm
    raw = made_from(root, tmp_path, settings(register_clouds=False))
    with open_features(raw) as features:
        assert np.quantile(surface.query(groups(features, "test", 1))[0], 0.99) > 1.5


def test_pictures_are_of_the_raw_cloud(root: Path, made: Path) -> None:
    with open_features(made) as features:
        for index in range(3):
            picture = features.cloud_picture(index)
            assert picture.depth.shape == (SIZE, SIZE)
            np.testing.assert_array_equal(picture.depth > 0, picture.point >= 0)
            assert (picture.point >= 0).mean() > 0.2
    sample = Real3dAd(root).read_cloud(Real3dAd(root).records("pebble")[2])
    with open_features(made) as features:
        expected, shown = stage.render_cloud(sample.points, SIZE)
        np.testing.assert_array_equal(features.cloud_picture(0).depth, expected)
        np.testing.assert_array_equal(features.cloud_picture(0).point, shown)


def test_neither_threads_nor_the_cache_change_a_byte(
    root: Path, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert made_from(root, tmp_path / "one", jobs=1).read_bytes() == made.read_bytes()
    blocked = tmp_path / "two"
    blocked.mkdir()
    (blocked / "cache").write_text("a file in the place of the folder")
    progress = NoProgress()
    assert made_from(root, blocked, jobs=3, progress=progress).read_bytes() == made.read_bytes()
    assert any("not kept" in warning for warning in progress.warnings)
    shutil.copytree(made.parent / "cache", tmp_path / "three" / "cache")

    def unwanted(*_: object) -> None:
        raise AssertionError("registered although the pose is in the cache")

    monkeypatch.setattr(stage, "register", unwanted)
    assert made_from(root, tmp_path / "three").read_bytes() == made.read_bytes()


def test_a_dry_run_measures_clouds_whose_pose_is_not_known(root: Path, made: Path, tmp_path: Path) -> None:
    out, cache = tmp_path / "features.h5", SampleCache(tmp_path / "cache")
    with open_features(made) as features:
        expected = sizes_of(features)
    for _ in range(2):  # the second time one more pose is known
        outcome = extract(Real3dAd(root), "pebble", out, COORDINATES, cache=cache, mode=Mode(dry_run=True))
        assert outcome.state == "planned"
        assert not out.exists()
        assert outcome.estimate.seconds > 1
        assert outcome.estimate.sizes.samples == expected.samples
        assert outcome.estimate.sizes.patches["xyz"].dimension == expected.patches["xyz"].dimension
        assert outcome.estimate.sizes.patches["xyz"].mean == pytest.approx(expected.patches["xyz"].mean, rel=0.5)


def test_a_larger_spacing_gives_fewer_groups_and_none_all_points(root: Path, made: Path, tmp_path: Path) -> None:
    shutil.copytree(made.parent / "cache", tmp_path / "cache")
    coarse = made_from(root, tmp_path, settings(cloud_spacing=0.002))
    with open_features(made) as fine, open_features(coarse) as few:
        assert len(groups(few, "test", 0)) < len(groups(fine, "test", 0)) / 4
    every = made_from(root, tmp_path, settings(cloud_spacing=0))
    with open_features(every) as features:
        offsets = features.point_offsets()
        assert features.split("test").counts("xyz").tolist() == np.diff(offsets).tolist()
        first = features.points(slice(0, int(offsets[1])))
        np.testing.assert_array_equal(first.group, np.arange(int(offsets[1])))


def test_fpfh_has_33_values_a_group(root: Path, made: Path, tmp_path: Path) -> None:
    shutil.copytree(made.parent / "cache", tmp_path / "cache")
    out = made_from(root, tmp_path, settings(xyz_backbone="fpfh"))
    with open_features(out) as features, open_features(made) as coordinates:
        assert features.split("test").patches(0, "xyz").values.shape == (len(groups(coordinates, "test", 0)), 33)


def test_a_poor_registration_is_a_warning(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "pebble", tmp_path / "pebble")
    write_pcd(tmp_path / "pebble/test/7_good.pcd", directions(3000, 1) * 12)  # a ball
    write_pcd(tmp_path / "pebble/test/8_good.pcd", directions(3000, 1) * 12_000)  # micrometres
    progress = NoProgress()
    made_from(tmp_path, tmp_path / "work", progress=progress)
    assert len(progress.warnings) == 2
    assert progress.warnings[0].startswith("test/good/7_good: poor registration: ")
    assert progress.warnings[1].startswith("test/good/8_good: poor registration: ")


def test_backbones_and_modalities_that_do_not_work_are_refused(root: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="backbone surface does not work on unorganized") as caught:
        made_from(root, tmp_path, settings(xyz_backbone="surface"))
    assert "--xyz-backbone fpfh" in caught.value.hint
    assert "has no images" in failure(lambda: made_from(root, tmp_path, settings(modality="rgb"))).message
    assert not (tmp_path / "features.h5").exists()


@pytest.mark.parametrize(
    ("scale", "words"),
    [(0.001, "8 points are left after thinning to 0.5 mm"), (1e9, "m from its middle")],
)
def test_files_in_another_unit_are_named(root: Path, tmp_path: Path, scale: float, words: str) -> None:
    shutil.copytree(root / "pebble", tmp_path / "pebble")
    path = tmp_path / "pebble/test/1_good.pcd"
    write_pcd(path, directions(6000, 0) * 10 * scale)
    error = failure(lambda: made_from(tmp_path, tmp_path / "work"))
    assert str(path) in error.message
    assert words in error.message


def test_a_cloud_with_too_few_points_for_the_backbone_is_named(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Demanding:
        modality, dimension, minimum_points = "xyz", 3, 5000
        identity, notes = {"name": "demanding"}, ("a note",)

    monkeypatch.setattr(stage, "load_cloud_backbone", lambda *_: Demanding())
    progress = NoProgress()
    error = failure(lambda: made_from(root, tmp_path, settings(register_clouds=False), progress=progress))
    assert "1_template.pcd" in error.message
    assert "backbone demanding needs 5000" in error.message
    assert progress.warnings == ["a note"]


def test_a_file_that_changes_while_it_is_read_is_refused(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "pebble", tmp_path / "pebble")

    class Changing(Real3dAd):
        def read_cloud(self, record):  # type: ignore[no-untyped-def]
            sample = super().read_cloud(record)
            if record.name == "test/good/1_good":
                write_pcd(record.files["xyz"], sample.points[:-5] * 1000)
            return sample

    cache = SampleCache(tmp_path / "cache")
    error = failure(lambda: extract(Changing(tmp_path), "pebble", tmp_path / "f.h5", COORDINATES, cache=cache))
    assert "a file changed while it was read" in error.message
    assert "1_good.pcd" in error.message
