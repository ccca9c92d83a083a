"""Features and scores as version 0.1.0 wrote them (schema version 1) are still read; newer ones are refused."""

from pathlib import Path

import numpy as np
import pytest

from lsfa_cli.artifacts.description import describe
from lsfa_cli.artifacts.features import open_features
from lsfa_cli.artifacts.schema import SCHEMAS
from lsfa_cli.artifacts.scores import open_scores
from lsfa_cli.artifacts.store import open_artifact, verify
from lsfa_cli.errors import ArtifactError
from lsfa_cli.settings import AdaptSettings, BankSettings, ReportSettings, ScoreSettings
from lsfa_cli.stages.adapt import adapt
from lsfa_cli.stages.bank import bank
from lsfa_cli.stages.pictures import write_pictures
from lsfa_cli.stages.report import ScoresFile, report
from lsfa_cli.stages.score import score
from tests.artifacts import clouds, rasters

# Every data set that schema version 1 had in these two artifacts.
FEATURES_1 = {
    *(f"{split}/{name}" for split in ("train", "validation", "test") for name in ("names", "labels", "defects", "rgb")),
    *(f"{split}/xyz/{name}" for split in ("train", "validation", "test") for name in ("values", "offsets", "valid")),
    *("test/masks", "test/pictures/rgb", "test/pictures/depth"),
}
SCORES_1 = {
    *("names", "labels", "defects", "masks", "normal/names"),
    *(f"{kind}/{name}" for kind in ("image", "maps", "normal/image") for name in ("rgb", "xyz", "fused")),
}
# What schema version 1 of the adaptor recorded as its settings.
ADAPTOR_SETTINGS_1 = {
    *("adaptor", "start", "losses", "clc_weight", "update", "contrast", "temperature", "patches_per_sample"),
    *("prototypes", "distance", "exclude_same_sample", "local_bank_size", "global_bank_size", "head_dimension"),
    *("steps", "train_samples", "batch_size", "largest_sample", "learning_rate", "gradient_clip", "guard_interval"),
    *("guard_rank_ratio", "modality", "device", "seed", "stage_version"),
}


def stages(features: Path, folder: Path) -> Path:
    """Adapt, bank and score into a folder."""
    adapt(features, folder / "adaptor.h5", AdaptSettings(steps=2, device="cpu", patches_per_sample=16))
    bank(features, folder / "adaptor.h5", folder / "bank.h5", BankSettings(coreset="all", device="cpu"))
    settings = ScoreSettings(device="cpu")
    score(features, folder / "adaptor.h5", folder / "bank.h5", folder / "scores.h5", settings)
    return folder / "scores.h5"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = rasters.write_rasters(tmp_path / "features.h5", settings=rasters.SETTINGS_OF_VERSION_1)
    return rasters.as_version(path, 1)


def test_old_features_are_read_scored_and_reported(old: Path, tmp_path: Path) -> None:
    with open_artifact(old, "features") as artifact:
        assert artifact.attributes["schema_version"] == 1
        assert set(artifact.paths()) == FEATURES_1
    assert verify(old)
    with open_features(old) as features:
        assert not features.is_cloud
        assert features.masked.all()
        assert features.image_size == rasters.SIZE
        assert features.modalities("both") == ("rgb", "xyz")
    scores = stages(old, tmp_path)
    found = report([ScoresFile(scores, old)], ReportSettings())
    assert found.failures == []
    assert {row.metric for row in found.results} == {"i_auroc", "p_auroc", "aupro"}
    assert all(row.value > 0.9 and not row.note for row in found.results)
    assert write_pictures([ScoresFile(scores, old, tmp_path / "adaptor.h5")], tmp_path / "pictures")


def test_old_and_new_features_give_the_same_scores(old: Path, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    new = stages(rasters.write_rasters(tmp_path / "new" / "features.h5"), tmp_path / "new")
    with open_scores(stages(old, tmp_path)) as first, open_scores(new) as second:
        for name, values in first.image.items():
            np.testing.assert_array_equal(values, second.image[name])
            np.testing.assert_array_equal(first.maps[name], second.maps[name])


def test_old_scores_are_reported(old: Path, tmp_path: Path) -> None:
    path = stages(old, tmp_path)
    expected = report([ScoresFile(path, old)], ReportSettings()).results
    rasters.as_version(path, 1)
    with open_artifact(path, "scores") as artifact:
        assert set(artifact.paths()) == SCORES_1
    with open_scores(path) as scores:
        assert not scores.is_cloud
        assert scores.masked.all()
    found = report([ScoresFile(path, old)], ReportSettings())
    assert found.failures == []
    assert found.results == expected
    assert write_pictures([ScoresFile(path, old)], tmp_path / "pictures")


def test_inspect_tells_the_version_of_the_file(old: Path) -> None:
    assert describe(old, verify=True)["schema_version"] == 1
    assert describe(old, verify=True)["verified"] is True


def test_old_features_give_scores_beside_those_of_clouds(old: Path, tmp_path: Path) -> None:
    (tmp_path / "clouds").mkdir()
    newer = clouds.write_clouds(tmp_path / "clouds" / "features.h5", clouds.train_clouds(), clouds.scored_clouds())
    files = [ScoresFile(stages(old, tmp_path), old), ScoresFile(stages(newer, tmp_path / "clouds"), newer)]
    found = report(files, ReportSettings())
    assert found.failures == []
    assert {(row.dataset, row.metric) for row in found.results} == {
        *(("folder", metric) for metric in ("i_auroc", "p_auroc", "aupro")),
        *(("real3d_ad", metric) for metric in ("o_auroc", "o_aupr", "p_auroc", "p_aupr")),
    }
    assert "AUPRO limits" in found.notes
    for format in ("markdown", "csv", "json", "latex"):
        text = found.text(format, compare_published=True)
        assert "lid" in text
        assert "duck" in text


@pytest.mark.parametrize("name", ["features", "scores", "adaptor", "bank"])
def test_newer_ones_are_refused(old: Path, tmp_path: Path, name: str) -> None:
    stages(old, tmp_path)
    path = tmp_path / f"{name}.h5"
    rasters.as_version(path, SCHEMAS[name].version + 1)
    told = f"has {name} version 3; this lsfa reads up to 2"
    with pytest.raises(ArtifactError, match=told) as refused, open_artifact(path, name):
        pass
    assert "Update lsfa" in str(refused.value.hint)


def test_old_adaptors_and_banks_are_up_to_date_and_scored(old: Path, tmp_path: Path) -> None:
    with open_scores(stages(old, tmp_path)) as scores:
        expected = scores.image["fused"]
    adaptor, bank_file = tmp_path / "adaptor.h5", tmp_path / "bank.h5"
    settings = AdaptSettings(steps=2, device="cpu", patches_per_sample=16)
    with open_artifact(rasters.as_version(adaptor, 1), "adaptor") as artifact:
        assert set(artifact.settings) == ADAPTOR_SETTINGS_1
    assert adapt(old, adaptor, settings).state == "up to date"
    bank(old, adaptor, bank_file, BankSettings(coreset="all", device="cpu"))
    rasters.as_version(bank_file, 1)
    assert bank(old, adaptor, bank_file, BankSettings(coreset="all", device="cpu")).state == "up to date"
    score(old, adaptor, bank_file, tmp_path / "scores.h5", ScoreSettings(device="cpu"))
    with open_scores(tmp_path / "scores.h5") as scores:
        np.testing.assert_array_equal(scores.image["fused"], expected)
        assert scores.method == "LSFA"
