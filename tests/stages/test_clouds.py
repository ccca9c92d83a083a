"""Unorganized clouds through adapt, bank, score, report and pictures, from made-up features."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import average_precision_score, roc_auc_score

from lsfa_cli.artifacts.description import describe
from lsfa_cli.artifacts.features import open_features
from lsfa_cli.artifacts.scores import open_scores
from lsfa_cli.artifacts.store import open_artifact
from lsfa_cli.errors import ArtifactError, DataError
from lsfa_cli.settings import AdaptSettings, BankSettings, ReportSettings, ScoreSettings
from lsfa_cli.stages.adapt import adapt
from lsfa_cli.stages.bank import bank
from lsfa_cli.stages.pictures import write_pictures, write_sheet
from lsfa_cli.stages.progress import NoProgress
from lsfa_cli.stages.report import ScoresFile, report
from lsfa_cli.stages.score import score
from lsfa_cli.stages.shown import Shown
from lsfa_cli.standardisation import Standardisation
from tests.artifacts import clouds

ADAPT = AdaptSettings(steps=3, local_bank_size=90, guard_interval=1, device="cpu")
BANK = BankSettings(coreset="all", device="cpu")
SCORE = ScoreSettings(device="cpu")


@dataclass(frozen=True)
class Made:
    """A folder with all artifacts of the baseline, or of the method."""

    folder: Path

    def __getattr__(self, name: str) -> Path:
        return self.folder / f"{name}.h5"


def make(folder: Path, train: list[clouds.Cloud], test: list[clouds.Cloud], *, adapted: bool = False) -> Made:
    made = Made(folder)
    clouds.write_clouds(made.features, train, test)
    if adapted:
        adapt(made.features, made.adaptor, ADAPT)
    adaptor = made.adaptor if adapted else None
    bank(made.features, adaptor, made.bank, BANK)
    score(made.features, adaptor, made.bank, made.scores, SCORE)
    return made


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp("baseline"), clouds.train_clouds(), clouds.scored_clouds())


@pytest.fixture(scope="module")
def method(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp("method"), clouds.train_clouds(), clouds.scored_clouds(), adapted=True)


def distances(one: clouds.Cloud, entries: np.ndarray, scale: Standardisation) -> np.ndarray:
    """The plain twin: distance of every group to its nearest entry."""
    values = scale.apply(one.values.astype(np.float16)).astype(np.float64)
    return np.sqrt(((values[:, None] - entries[None].astype(np.float64)) ** 2).sum(axis=2)).min(axis=1)


def test_scores_are_those_of_the_nearest_group(baseline: Made) -> None:
    with open_artifact(baseline.bank, "bank") as opened:
        entries, scale = opened.read("xyz/entries"), Standardisation(*opened.read("xyz/standardisation"))
    assert len(entries) == sum(len(one.values) for one in clouds.train_clouds())
    with open_scores(baseline.scores) as scores:
        assert scores.is_cloud
        assert list(scores.image) == ["xyz"]
        assert list(scores.maps) == []
        every = []
        for index, one in enumerate(clouds.scored_clouds()):
            expected = distances(one, entries, scale)
            assert scores.image["xyz"][index] == pytest.approx(expected.max(), rel=1e-6)
            np.testing.assert_allclose(scores.point_scores(index), expected[one.group], rtol=1e-6)
            np.testing.assert_array_equal(scores.point_defects(index), one.defect)
            every.append(scores.point_scores(index))
        np.testing.assert_array_equal(scores.all_point_scores(), np.concatenate(every))
        np.testing.assert_array_equal(
            scores.all_point_defects(), np.concatenate([one.defect for one in clouds.scored_clouds()])
        )
        for outside in (-1, len(every)):
            with pytest.raises(IndexError):
                scores.point_scores(outside)


def test_calibration_leaves_a_clouds_own_groups_out(baseline: Made) -> None:
    train = clouds.train_clouds()
    with open_artifact(baseline.bank, "bank") as opened:
        scale = Standardisation(*opened.read("xyz/standardisation"))
        normal, statistics = opened.read("normal/image/xyz"), opened.read("xyz/map_statistics")
    stored = [scale.apply(one.values.astype(np.float16)) for one in train]
    groups = [
        distances(one, np.concatenate([values for other, values in enumerate(stored) if other != index]), scale)
        for index, one in enumerate(train)
    ]
    np.testing.assert_allclose(normal, [values.max() for values in groups], rtol=1e-6)
    together = np.concatenate(groups)
    np.testing.assert_allclose(statistics, [together.mean(), together.std()], rtol=1e-6)


def test_training_on_groups_alone_is_ifc(method: Made) -> None:
    with open_artifact(method.adaptor, "adaptor") as opened:
        assert opened.attributes["stopped"] == "finished"
        assert json.loads(opened.attributes["notes"])[0] == "one modality (xyz): no CLC, training on IFC only"
        assert {"L_LC_xyz", "L_GC_xyz"} <= set(opened.names("curves"))
        assert "L_LA" not in opened.names("curves")
    with open_scores(method.scores) as scores:
        assert scores.method == "LSFA"
        assert scores.image["xyz"][scores.labels == 1].min() > scores.image["xyz"][scores.labels == 0].max()


def test_all_stages_give_the_same_bytes_again(method: Made, tmp_path: Path) -> None:
    again = make(tmp_path, clouds.train_clouds(), clouds.scored_clouds(), adapted=True)
    for name in ("features", "adaptor", "bank", "scores"):
        assert getattr(again, name).read_bytes() == getattr(method, name).read_bytes()


def test_figures_are_those_of_objects_and_of_all_points(baseline: Made) -> None:
    found = report([ScoresFile(baseline.scores, baseline.features)], ReportSettings())
    assert found.failures == []
    values = {row.metric: row.value for row in found.results}
    with open_scores(baseline.scores) as scores:
        points, bad = scores.all_point_scores(), scores.all_point_defects()
        objects, labels = scores.image["xyz"], scores.labels
    assert values == pytest.approx(
        {
            "o_auroc": roc_auc_score(labels, objects),
            "o_aupr": average_precision_score(labels, objects),
            "p_auroc": roc_auc_score(bad, points),
            "p_aupr": average_precision_score(bad, points),
        }
    )
    assert values["o_auroc"] == 1
    assert {(row.dataset, row.category, row.modality) for row in found.results} == {("real3d_ad", "duck", "xyz")}


def test_reports_of_clouds_stand_beside_published_figures(baseline: Made) -> None:
    found = report([ScoresFile(baseline.scores)], ReportSettings())
    assert not any(name.startswith("AUPRO") for name in found.notes)
    rows = [row for row in json.loads(found.text("json", compare_published=True))["results"] if row["published"]]
    assert {row["metric"] for row in rows} == {"o_auroc", "o_aupr", "p_auroc", "p_aupr"}
    assert {row["category"] for row in rows} == {"duck", "mean"}
    ours = {row["source"] for row in rows}
    assert ours == {"Real3D-AD README (4 prototypes)", "Real3D-AD README (other methods)"}
    text = found.text("markdown", compare_published=True)
    for title in ("O-AUROC", "O-AUPR", "P-AUROC", "P-AUPR"):
        assert f"real3d_ad: {title}" in text
    assert "BTF_FPFH" in text
    for format in ("csv", "latex"):
        assert "duck" in found.text(format, compare_published=True)


def test_figures_that_do_not_exist_are_told(tmp_path: Path) -> None:
    test = clouds.scored_clouds(good=2, bad=0)
    made = make(tmp_path, clouds.train_clouds(), test)
    found = report([ScoresFile(made.scores)], ReportSettings())
    assert [row.value for row in found.results] == [None] * 4
    assert {row.note for row in found.results} == {
        "object AUROC does not exist: there is no defective sample among 2",
        "object AUPR does not exist: there is no defective sample among 2",
        f"AUROC and AUPR do not exist: there is no defect point among {sum(len(one.group) for one in test)}",
    }


def read(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def test_pictures_paint_the_points_that_are_seen(baseline: Made, tmp_path: Path) -> None:
    file = ScoresFile(baseline.scores, baseline.features)
    made = write_pictures([file], tmp_path)
    assert {"best.png", "worst.png"} <= {path.name for path in made}
    again = write_pictures([file], tmp_path / "again")
    assert [path.read_bytes() for path in made] == [path.read_bytes() for path in again]
    write_sheet([file], tmp_path / "sheet.png", per_category=2)
    for path in (*made, tmp_path / "sheet.png"):
        assert read(path).shape[1] == 1080


def test_pictures_tell_a_defect_on_the_other_side_from_none(tmp_path: Path) -> None:
    bad, hidden, good = clouds.cloud("test", 0, "bulge"), clouds.cloud("test", 1, "bulge"), clouds.cloud("test", 2)
    # All points but the last one are seen, and only that one is on the defect.
    points = clouds.picture(10_000)[1].max() + 2
    group = (np.arange(points) % clouds.GROUPS // 2).astype(np.int32)
    group[-1] = len(hidden.values) - 1
    hidden = replace(hidden, group=group, defect=group == group[-1])
    made = make(tmp_path, clouds.train_clouds(), [bad, hidden, good])
    with open_scores(made.scores) as scores, open_features(made.features) as features:
        shown = Shown(scores, features)
        depth, point = clouds.picture(len(bad.group))
        seen = point >= 0
        np.testing.assert_array_equal(shown.maps["xyz"][0][seen], scores.point_scores(0)[point[seen]])
        assert not shown.maps["xyz"][0][~seen].any()
        np.testing.assert_array_equal(shown.mask(0)[seen], bad.defect[point[seen]])
        np.testing.assert_array_equal(shown.pictures(0)[1], depth)
        assert shown.pictures(0)[0] is None
        assert [shown.mask(index).any() for index in range(3)] == [True, False, False]
        assert [shown.without_mask(index) for index in (1, 2)] == ["not seen from here", "no defect"]
        low, high = shown.limits("xyz")
        assert 0 < low < high


def test_clouds_without_any_point_in_sight_have_a_picture(tmp_path: Path) -> None:
    made = make(tmp_path, clouds.train_clouds(), clouds.scored_clouds())
    with h5py.File(made.features, "r+") as file:
        file["test/pictures/point"][...] = -1
        file["test/pictures/depth"][...] = 0
    assert write_pictures([ScoresFile(made.scores, made.features)], tmp_path / "pictures")


def test_settings_of_images_change_nothing(baseline: Made, tmp_path: Path) -> None:
    warned = []

    class Listening:
        def track(self, what: str, total: int):
            return NoProgress().track(what, total)

        def say(self, text: str) -> None: ...

        def warn(self, text: str) -> None:
            warned.append(text)

    settings = BANK.model_copy(update={"rgb_foreground": True, "blur_sigma": 9.0, "ocsvm": True})
    bank(baseline.features, None, tmp_path / "bank.h5", settings, progress=Listening())
    assert warned == [
        "no image patches: rgb_foreground changes nothing",
        "one modality alone: no one-class SVM, its own score is the result",
    ]
    fused = SCORE.model_copy(update={"fusion": "ocsvm"})
    score(baseline.features, None, tmp_path / "bank.h5", tmp_path / "scores.h5", fused)
    with open_scores(tmp_path / "scores.h5") as scores, open_scores(baseline.scores) as expected:
        np.testing.assert_array_equal(scores.all_point_scores(), expected.all_point_scores())
        np.testing.assert_array_equal(scores.image["xyz"], expected.image["xyz"])


@pytest.mark.parametrize("coreset", ["greedy", "random"])
def test_a_coreset_over_groups(baseline: Made, tmp_path: Path, coreset: str) -> None:
    settings = BANK.model_copy(update={"coreset": coreset, "coreset_ratio": 0.5})
    bank(baseline.features, None, tmp_path / "bank.h5", settings)
    total = sum(len(one.values) for one in clouds.train_clouds())
    with open_artifact(tmp_path / "bank.h5", "bank") as opened:
        entries, indices = opened.read("xyz/entries"), opened.read("xyz/indices")
        scale = Standardisation(*opened.read("xyz/standardisation"))
    assert len(set(indices.tolist())) == len(indices) == total // 2
    stored = np.concatenate([scale.apply(one.values.astype(np.float16)) for one in clouds.train_clouds()])
    np.testing.assert_array_equal(entries, stored[indices])


def test_one_training_cloud_cannot_calibrate(tmp_path: Path) -> None:
    clouds.write_clouds(tmp_path / "features.h5", clouds.train_clouds(1), clouds.scored_clouds())
    with pytest.raises(DataError, match="no entry of the memory bank is left"):
        bank(tmp_path / "features.h5", None, tmp_path / "bank.h5", BANK)


def test_images_of_clouds_are_refused(tmp_path: Path, baseline: Made) -> None:
    with pytest.raises(ArtifactError, match="has no rgb features"):
        bank(baseline.features, None, tmp_path / "bank.h5", BANK.model_copy(update={"modality": "rgb"}))


def test_damaged_points_are_told(tmp_path: Path) -> None:
    made = make(tmp_path, clouds.train_clouds(), clouds.scored_clouds())
    with h5py.File(made.features, "r+") as file:
        file["test/points/group"][3] = 1000
    with pytest.raises(ArtifactError, match="belongs to none of its 40 groups"):
        score(made.features, None, made.bank, tmp_path / "other.h5", SCORE)
    assert not (tmp_path / "other.h5").exists()
    with h5py.File(made.features, "r+") as file:
        file["test/pictures/point"][0, 5, 5] = 10_000
    with pytest.raises(ArtifactError, match="shows points that it does not have"):
        write_pictures([ScoresFile(made.scores, made.features)], tmp_path / "pictures")
    with h5py.File(made.scores, "r+") as file:
        file["points/offsets"][-1] -= 1
    with open_scores(made.scores) as scores, pytest.raises(ArtifactError, match="does not fit the points"):
        scores.point_scores(0)


def test_inspect_names_what_clouds_have(baseline: Made) -> None:
    features, scores = describe(baseline.features)["data_sets"], describe(baseline.scores, verify=True)
    points = sum(len(one.group) for one in clouds.scored_clouds())
    assert features["test/points/group"]["shape"] == [points]
    assert features["test/pictures/point"]["type"] == "int32"
    assert scores["verified"] is True
    assert scores["data_sets"]["points/xyz"]["shape"] == [points]
    for row in (*features.values(), *scores["data_sets"].values()):
        assert row["meaning"]
