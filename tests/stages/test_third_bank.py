"""Third banks, M3DM's and BTF's, through the stages, on made-up features, and what they refuse."""

from pathlib import Path

import numpy as np
import pytest

from lsfa_cli.artifacts.bank import read_bank
from lsfa_cli.artifacts.features import open_features
from lsfa_cli.artifacts.scores import open_scores
from lsfa_cli.artifacts.store import open_artifact
from lsfa_cli.concatenation import concatenate
from lsfa_cli.errors import UsageError
from lsfa_cli.fusion import ScoreStatistics, average
from lsfa_cli.maps import score_maps
from lsfa_cli.memory_bank import MemoryBank
from lsfa_cli.settings import AdaptSettings, BankSettings, ReportSettings, ScoreSettings
from lsfa_cli.stages.adapt import adapt
from lsfa_cli.stages.bank import bank
from lsfa_cli.stages.pictures import write_pictures
from lsfa_cli.stages.report import ScoresFile, report
from lsfa_cli.stages.score import score
from lsfa_cli.stages.third_bank import fitted_fusion
from tests.artifacts import rasters

UFF = AdaptSettings(method="uff", device="cpu")
BANK = BankSettings(coreset_ratio=0.3, ocsvm=True, device="cpu")


def stages(features: Path, folder: Path, settings: AdaptSettings | None = UFF, fusion: str = "ocsvm") -> Path:
    """Adapt, bank and score into a folder."""
    folder.mkdir(exist_ok=True)
    adaptor, bank_file, scores = (folder / f"{name}.h5" for name in ("adaptor", "bank", "scores"))
    if settings is not None:
        adapt(features, adaptor, settings)
    bank(features, None if settings is None else adaptor, bank_file, BANK)
    chosen = ScoreSettings(fusion=fusion, device="cpu")  # type: ignore[arg-type]  # one of the names
    score(features, None if settings is None else adaptor, bank_file, scores, chosen)
    return scores


@pytest.fixture
def features(tmp_path: Path) -> Path:
    return rasters.write_rasters(tmp_path / "features.h5")


def test_the_third_bank_holds_fused_patches_and_scores_them(features: Path, tmp_path: Path) -> None:
    path = stages(features, tmp_path / "uff")
    with (
        open_features(features) as opened,
        open_artifact(tmp_path / "uff" / "adaptor.h5", "adaptor") as adaptor,
        open_artifact(tmp_path / "uff" / "bank.h5", "bank") as made,
        open_scores(path) as scores,
    ):
        fusion = fitted_fusion(opened, adaptor, "cpu")
        train, test = opened.split("train"), opened.split("test")
        entries = np.concatenate([fusion.fuse(sample["rgb"], sample["xyz"]).values for sample in train])
        third = read_bank(made, "uff")
        np.testing.assert_array_equal(third.entries, entries[third.indices])
        memory = MemoryBank(third.entries)
        expected = [memory.score(fusion.fuse(sample["rgb"], sample["xyz"])).image_score for sample in test]
        np.testing.assert_array_equal(scores.image["uff"], expected)
        # The fused score is the weighted sum of all three, and so are the maps.
        for kind, found in (("image", scores.image), ("map", scores.maps)):
            rgb, xyz, uff, _ = made.read(f"one_class/{kind}")
            weighted = rgb * found["rgb"] + xyz * found["xyz"] + uff * found["uff"]
            np.testing.assert_allclose(found["fused"], weighted, rtol=1e-5)
        assert set(scores.normal_image) == {"rgb", "xyz", "uff", "fused"}
        assert scores.method == "M3DM"


def test_the_other_two_banks_are_those_without_an_adaptor(features: Path, tmp_path: Path) -> None:
    with (
        open_scores(stages(features, tmp_path / "uff")) as three,
        open_scores(stages(features, tmp_path / "two", None)) as two,
    ):
        for name in ("rgb", "xyz"):
            np.testing.assert_array_equal(three.image[name], two.image[name])
            np.testing.assert_array_equal(three.maps[name], two.maps[name])
        assert "uff" not in two.image
        assert (three.image["fused"] != two.image["fused"]).any()


def test_the_average_is_over_three(features: Path, tmp_path: Path) -> None:
    path = stages(features, tmp_path / "uff", fusion="average")
    with open_scores(path) as scores, open_artifact(tmp_path / "uff" / "bank.h5", "bank") as made:
        names = ("rgb", "xyz", "uff")
        statistics = {name: ScoreStatistics(*made.read(f"{name}/image_statistics")) for name in names}
        expected = average({name: scores.image[name] for name in names}, statistics)
        np.testing.assert_allclose(scores.image["fused"], expected)


def test_scores_are_reported_and_drawn(features: Path, tmp_path: Path) -> None:
    path = stages(features, tmp_path / "uff")
    found = report([ScoresFile(path, features)], ReportSettings())
    assert found.failures == []
    assert {row.method for row in found.results} == {"M3DM"}
    assert {row.modality for row in found.results} == {"rgb", "xyz", "rgb+xyz"}
    assert all(row.value is not None and row.value > 0.9 for row in found.results)
    pictures = write_pictures([ScoresFile(path, features, tmp_path / "uff" / "adaptor.h5")], tmp_path / "pictures")
    assert "training.png" in {picture.name for picture in pictures}
    with open_scores(stages(features, tmp_path / "start", UFF.untrained())) as scores:
        assert scores.method == "M3DM control"


def test_equal_seeds_give_equal_files(features: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        stages(features, tmp_path / name)
    for name in ("adaptor", "bank", "scores"):
        assert (tmp_path / "one" / f"{name}.h5").read_bytes() == (tmp_path / "two" / f"{name}.h5").read_bytes()
    adaptor = tmp_path / "one" / "adaptor.h5"
    assert adapt(features, adaptor, UFF.model_copy(update={"cfm_epochs": 7, "steps": 7})).state == "up to date"
    assert adapt(features, adaptor, UFF.model_copy(update={"uff_epochs": 1})).state == "made"


def test_btf_scores_by_one_bank_of_both_features(features: Path, tmp_path: Path) -> None:
    path = stages(features, tmp_path / "btf", AdaptSettings(method="btf", device="cpu"), fusion="average")
    with (
        open_features(features) as opened,
        open_artifact(tmp_path / "btf" / "bank.h5", "bank") as made,
        open_scores(path) as scores,
        open_scores(stages(features, tmp_path / "two", None)) as two,
    ):
        train, test = opened.split("train"), opened.split("test")
        entries = np.concatenate([concatenate(sample["rgb"], sample["xyz"]).values for sample in train])
        third = read_bank(made, "btf")
        assert len(entries) == len(train) * rasters.LAYOUTS["xyz"].grid ** 2  # all positions, with a point or not
        np.testing.assert_array_equal(third.entries, entries[third.indices])
        memory = MemoryBank(third.entries)
        found = [memory.score(concatenate(sample["rgb"], sample["xyz"])) for sample in test]
        np.testing.assert_array_equal(scores.image["fused"], [one.image_score for one in found])
        maps = score_maps(np.stack([one.patch_scores for one in found]), size=rasters.SIZE)
        np.testing.assert_array_equal(scores.maps["fused"], maps)
        for name in ("rgb", "xyz"):
            np.testing.assert_array_equal(scores.image[name], two.image[name])
        np.testing.assert_array_equal(scores.normal_image["fused"], made.read("normal/image/btf"))
        assert scores.method == "BTF"
    found_report = report([ScoresFile(path, features, tmp_path / "btf" / "adaptor.h5")], ReportSettings())
    assert found_report.failures == []
    assert "BTF: a bank of both features side by side" in str(found_report.notes["methods"])
    assert write_pictures([ScoresFile(path, features, tmp_path / "btf" / "adaptor.h5")], tmp_path / "pictures")


def test_without_validation_samples_are_scored_without_their_own_patches(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(rasters, "SPLITS", {name: rasters.SPLITS[name] for name in ("train", "test")})
    features = rasters.write_rasters(tmp_path / "features.h5")
    with open_scores(stages(features, tmp_path / "uff")) as scores:
        assert (scores.normal_image["uff"] > 0).all()


def test_one_modality_is_refused_with_the_reason(features: Path, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    scan = rasters.write_rasters(tmp_path / "one" / "features.h5", modalities=["xyz"])
    with pytest.raises(UsageError, match=r"M3DM fuses the features of both modalities, and .* has xyz features alone"):
        adapt(scan, tmp_path / "a.h5", UFF)
    with pytest.raises(UsageError, match="BTF puts the features of both modalities side by side, and"):
        adapt(scan, tmp_path / "a.h5", AdaptSettings(method="btf", device="cpu"))
    stages(features, tmp_path / "uff")
    adaptor, bank_file = tmp_path / "uff" / "adaptor.h5", tmp_path / "uff" / "bank.h5"
    with pytest.raises(UsageError, match="--modality rgb leaves one"):
        bank(features, adaptor, bank_file, BankSettings(modality="rgb", device="cpu"))
    with pytest.raises(UsageError, match="--modality rgb leaves one"):
        score(features, adaptor, bank_file, tmp_path / "s.h5", ScoreSettings(modality="rgb", device="cpu"))
