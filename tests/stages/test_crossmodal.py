"""CFM through the stages, on made-up features, and what it refuses."""

from pathlib import Path

import numpy as np
import pytest

from lsfa_cli.artifacts.features import open_features
from lsfa_cli.artifacts.scores import Scores, open_scores
from lsfa_cli.artifacts.store import open_artifact
from lsfa_cli.crossmodal import load_mapping, mapped_image_scores
from lsfa_cli.errors import UsageError
from lsfa_cli.fusion import score_statistics
from lsfa_cli.maps import score_maps
from lsfa_cli.samples import MODALITIES
from lsfa_cli.settings import AdaptSettings, BankSettings, ReportSettings, ScoreSettings
from lsfa_cli.stages.adapt import adapt
from lsfa_cli.stages.bank import bank
from lsfa_cli.stages.pictures import write_pictures
from lsfa_cli.stages.progress import NoProgress
from lsfa_cli.stages.report import ScoresFile, report
from lsfa_cli.stages.score import score
from lsfa_cli.standardisation import Standardisation
from tests.artifacts import clouds, rasters

CFM = AdaptSettings(method="cfm", cfm_epochs=3, device="cpu")
CPU = {"device": "cpu"}


class Listener(NoProgress):
    """Keeps the warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)


def stages(features: Path, folder: Path, settings: AdaptSettings = CFM, listener: Listener | None = None) -> Path:
    """Adapt, bank and score into a folder."""
    adaptor, bank_file, scores = (folder / f"{name}.h5" for name in ("adaptor", "bank", "scores"))
    adapt(features, adaptor, settings, progress=listener)
    bank(features, adaptor, bank_file, BankSettings(**CPU), progress=listener)
    score(features, adaptor, bank_file, scores, ScoreSettings(**CPU), progress=listener)
    return scores


@pytest.fixture
def features(tmp_path: Path) -> Path:
    return rasters.write_rasters(tmp_path / "features.h5")


def expected_maps(features: Path, adaptor: Path) -> dict[str, np.ndarray]:
    """The maps of the test samples, step by step."""
    with open_features(features) as opened, open_artifact(adaptor, "adaptor") as made:
        test = opened.split("test")
        mapping = load_mapping(
            "small",
            {m: {n: made.read(f"{m}/parameters/{n}") for n in made.names(f"{m}/parameters")} for m in MODALITIES},
            {m: Standardisation(*made.read(f"{m}/standardisation")) for m in MODALITIES},
            {m: test.patches(0, m).dimension for m in MODALITIES},
        )
        found = [mapping.distances(test.patches(i, "rgb"), test.patches(i, "xyz")) for i in range(len(test))]
    rasters_of = {m: np.stack([one[m] for one in found]) for m in MODALITIES}
    rasters_of["fused"] = rasters_of["rgb"] * rasters_of["xyz"]
    return {name: score_maps(values, size=rasters.SIZE, sigma=4.0) for name, values in rasters_of.items()}


def test_scores_are_the_distances_and_their_product(features: Path, tmp_path: Path) -> None:
    path = stages(features, tmp_path)
    expected = expected_maps(features, tmp_path / "adaptor.h5")
    with open_scores(path) as scores:
        assert scores.method == "CFM"
        assert set(scores.image) == set(scores.maps) == set(scores.normal_image) == {"rgb", "xyz", "fused"}
        for name, maps in expected.items():
            np.testing.assert_array_equal(scores.maps[name], maps)
            np.testing.assert_array_equal(scores.image[name], mapped_image_scores(maps))
        assert len(scores.normal_image["fused"]) == len(rasters.SPLITS["validation"])


def test_the_bank_holds_the_calibration_alone(features: Path, tmp_path: Path) -> None:
    stages(features, tmp_path)
    with open_artifact(tmp_path / "bank.h5", "bank") as made, open_artifact(tmp_path / "adaptor.h5") as adaptor:
        assert not [path for path in made.paths() if path.endswith(("entries", "indices"))]
        assert made.attributes["calibration"] == "validation"
        for name in ("rgb", "xyz", "fused"):
            statistics = score_statistics(made.read(f"normal/image/{name}"))
            np.testing.assert_allclose(made.read(f"{name}/image_statistics"), statistics)
        for modality in MODALITIES:
            path = f"{modality}/standardisation"
            np.testing.assert_array_equal(made.read(path), adaptor.read(path))


def test_scores_are_reported_and_drawn(features: Path, tmp_path: Path) -> None:
    path = stages(features, tmp_path)
    found = report([ScoresFile(path, features)], ReportSettings())
    assert found.failures == []
    assert {row.method for row in found.results} == {"CFM"}
    shown = {(row.modality, row.metric) for row in found.results if row.value is not None}
    assert shown == {(m, k) for m in ("rgb", "xyz", "rgb+xyz") for k in ("i_auroc", "p_auroc", "aupro")}
    assert "CFM: crossmodal feature mapping" in str(found.notes["methods"])
    pictures = write_pictures([ScoresFile(path, features, tmp_path / "adaptor.h5")], tmp_path / "pictures")
    assert "training.png" in {picture.name for picture in pictures}


def test_equal_seeds_give_equal_files_and_a_second_run_makes_nothing(features: Path, tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    stages(features, tmp_path)
    stages(features, tmp_path / "again")
    for name in ("adaptor", "bank", "scores"):
        assert (tmp_path / f"{name}.h5").read_bytes() == (tmp_path / "again" / f"{name}.h5").read_bytes()
    assert adapt(features, tmp_path / "adaptor.h5", CFM).state == "up to date"
    # What belongs to the other method changes nothing; what belongs to this one does.
    assert adapt(features, tmp_path / "adaptor.h5", CFM.model_copy(update={"steps": 7})).state == "up to date"
    assert adapt(features, tmp_path / "adaptor.h5", CFM.model_copy(update={"cfm_network": "big"})).state == "made"


def test_the_untrained_networks_are_a_control(features: Path, tmp_path: Path) -> None:
    path = stages(features, tmp_path, CFM.untrained())
    with open_scores(path) as scores:
        assert scores.method == "CFM control"
    pictures = write_pictures([ScoresFile(path, features, tmp_path / "adaptor.h5")], tmp_path / "pictures")
    assert "training.png" not in {picture.name for picture in pictures}


def test_without_validation_training_samples_calibrate_with_a_warning(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(rasters, "SPLITS", {name: rasters.SPLITS[name] for name in ("train", "test")})
    features = rasters.write_rasters(tmp_path / "features.h5")
    listener = Listener()
    with open_scores(stages(features, tmp_path, listener=listener)) as scores:
        assert len(scores.normal_image["fused"]) == len(rasters.SPLITS["train"])
    assert [text for text in listener.warnings if "biased low" in text]


def test_settings_without_effect_are_told(features: Path, tmp_path: Path) -> None:
    listener = Listener()
    adaptor, bank_file = tmp_path / "adaptor.h5", tmp_path / "bank.h5"
    adapt(features, adaptor, CFM)
    bank(features, adaptor, bank_file, BankSettings(ocsvm=True, **CPU), progress=listener)
    score(features, adaptor, bank_file, tmp_path / "s.h5", ScoreSettings(fusion="ocsvm", **CPU), progress=listener)
    assert len(listener.warnings) == 2
    assert all("change" in text and "nothing" in text for text in listener.warnings)


def test_one_modality_is_refused_with_the_reason(features: Path, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    image = rasters.write_rasters(tmp_path / "one" / "features.h5", modalities=["rgb"])
    with pytest.raises(UsageError, match="has rgb features alone"):
        adapt(image, tmp_path / "a.h5", CFM)
    cloud = clouds.write_clouds(tmp_path / "clouds.h5", clouds.train_clouds(), clouds.scored_clouds())
    with pytest.raises(UsageError, match="has xyz features alone"):
        adapt(cloud, tmp_path / "a.h5", CFM)
    with pytest.raises(UsageError, match="--modality xyz leaves one"):
        adapt(features, tmp_path / "a.h5", CFM.model_copy(update={"modality": "xyz"}))
    stages(features, tmp_path)
    adaptor, bank_file = tmp_path / "adaptor.h5", tmp_path / "bank.h5"
    with pytest.raises(UsageError, match="--modality rgb leaves one"):
        bank(features, adaptor, bank_file, BankSettings(modality="rgb", **CPU))
    with pytest.raises(UsageError, match="--modality rgb leaves one"):
        score(features, adaptor, bank_file, tmp_path / "s.h5", ScoreSettings(modality="rgb", **CPU))


def test_a_sample_without_a_scan_scores_nothing(features: Path, tmp_path: Path, monkeypatch) -> None:
    whole = rasters._patches

    def patches(layout, modality, mask, generator):  # type: ignore[no-untyped-def]  # stands in for the maker's own
        found = whole(layout, modality, mask, generator)
        if modality == "xyz" and mask[0, 8]:  # the first hole
            return type(found)(found.values[:0], np.zeros_like(found.valid), found.grid)
        return found

    monkeypatch.setattr(rasters, "_patches", patches)
    monkeypatch.setitem(rasters.SPLITS, "test", ("good", "hole"))
    scores_of: Scores
    with open_scores(stages(rasters.write_rasters(tmp_path / "features.h5"), tmp_path)) as scores_of:
        assert scores_of.image["fused"][1] == 0.0
        assert scores_of.image["fused"][0] > 0.0
        assert not scores_of.maps["fused"][1].any()
