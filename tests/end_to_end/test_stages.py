"""The five stages as a person runs them: each alone, again, after a change, and in the wrong order."""

import json
import re
from pathlib import Path

import pytest

from lsfa_cli.artifacts import open_scores
from lsfa_cli.artifacts.features import open_features
from lsfa_cli.artifacts.pasted import PastedFeatures, has_pasted
from lsfa_cli.artifacts.schema import SCHEMAS
from tests.end_to_end.conftest import Place, runner

ARTIFACTS = ("features", "adaptor", "bank", "scores")
STAGE = {"features": "extract", "adaptor": "adapt", "bank": "bank", "scores": "score"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, parts: Path) -> Place:
    """A folder where all five stages ran for one category. Tests leave it as they found it."""
    folder = tmp_path_factory.mktemp("finished")
    place = Place(folder, runner(folder, parts))
    for stage in STAGE.values():
        place.lsfa(stage, "--category", "fitting")
    return place


def test_scores_can_be_read_by_others(finished: Place) -> None:
    with open_scores(finished.artifact("scores")) as scores:
        count = len(scores.names)
        assert count == len(scores.labels) == len(scores.defects) == len(scores.masks)
        assert set(scores.image) == set(scores.maps) == {"rgb", "xyz", "fused"}
        for name, values in scores.image.items():
            assert values.shape == (count,)
            assert scores.maps[name].shape == scores.masks.shape
        assert set(scores.labels) == {0, 1}
        assert [defect == "good" for defect in scores.defects] == [label == 0 for label in scores.labels]


def test_report_has_every_modality_and_metric(finished: Place) -> None:
    document = json.loads(finished.lsfa("report", "--format", "json").stdout)
    rows = document["results"]
    assert {row["modality"] for row in rows} == {"rgb", "xyz", "rgb+xyz"}
    assert {row["metric"] for row in rows} == {"i_auroc", "p_auroc", "aupro"}
    assert {row["category"] for row in rows} == {"fitting", "mean"}
    assert all(0 <= row["value"] <= 1 for row in rows)


@pytest.mark.parametrize("format", ["markdown", "csv", "latex"])
def test_report_in_every_format(finished: Place, format: str) -> None:
    text = finished.lsfa("report", "--format", format).stdout
    assert "fitting" in text
    assert "LSFA" in text


def test_pictures(finished: Place, tmp_path: Path) -> None:
    finished.lsfa("report", "--pictures", str(tmp_path / "pictures"))
    made = sorted(path.name for path in (tmp_path / "pictures" / "fitting").iterdir())
    assert "best.png" in made
    assert len(made) >= 3


@pytest.mark.parametrize("name", ARTIFACTS)
def test_deleting_an_artifact_and_rerunning_its_stage_gives_the_same_bytes(finished: Place, name: str) -> None:
    path = finished.artifact(name)
    before = path.read_bytes()
    path.unlink()
    finished.lsfa(STAGE[name], "--category", "fitting")
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ARTIFACTS)
def test_a_second_run_of_a_stage_does_nothing(finished: Place, name: str) -> None:
    path = finished.artifact(name)
    before = path.stat().st_mtime_ns
    done = finished.lsfa(STAGE[name], "--category", "fitting")
    assert "up to date" in done.stderr
    assert path.stat().st_mtime_ns == before


def test_dry_run_says_what_would_be_made_and_why(finished: Place) -> None:
    before = finished.artifact("bank").stat().st_mtime_ns
    done = finished.lsfa("bank", "--category", "fitting", "--dry-run", "--coreset-ratio", "0.05")
    assert re.search(r"setting coreset_ratio changed from 0.02 to 0.05\): about \d+ s, [\d.]+ [MG]B of", done.stdout)
    assert finished.artifact("bank").stat().st_mtime_ns == before


def test_results_do_not_depend_on_the_cache_or_on_jobs(finished: Place, tmp_path: Path) -> None:
    out = tmp_path / "features.h5"
    finished.lsfa(
        "extract", "--category", "fitting", "--out", str(out), "--cache", str(tmp_path / "new"), "--jobs", "3"
    )
    assert out.read_bytes() == finished.artifact("features").read_bytes()


def test_results_do_not_depend_on_the_search(finished: Place) -> None:
    for name in ("bank", "scores"):
        before = finished.artifact(name).read_bytes()
        finished.lsfa(STAGE[name], "--category", "fitting", "--search", "faiss", "--rerun")
        assert finished.artifact(name).read_bytes() == before


def test_named_files_compose(finished: Place, tmp_path: Path) -> None:
    names = {name: tmp_path / f"{name}-elsewhere.h5" for name in ARTIFACTS}
    finished.lsfa("extract", "--category", "fitting", "--out", str(names["features"]))
    finished.lsfa("adapt", "--features", str(names["features"]), "--out", str(names["adaptor"]))
    finished.lsfa(
        "bank", "--features", str(names["features"]), "--adaptor-file", str(names["adaptor"]),
        "--out", str(names["bank"]),
    )  # fmt: skip
    finished.lsfa(
        "score", "--features", str(names["features"]), "--adaptor-file", str(names["adaptor"]),
        "--bank", str(names["bank"]), "--out", str(names["scores"]),
    )  # fmt: skip
    for name, path in names.items():
        assert path.read_bytes() == finished.artifact(name).read_bytes()
    assert "LSFA" in finished.lsfa("report", "--scores", str(names["scores"])).stdout


def test_stale_artifacts_are_refused_with_the_command_that_mends_them(finished: Place) -> None:
    folder = finished.folder / "lsfa-work"
    saved = {name: finished.artifact(name).read_bytes() for name in ARTIFACTS}
    try:
        finished.lsfa("adapt", "--category", "fitting", "--seed", "5")
        done = finished.lsfa("score", "--category", "fitting", expect=5)
        assert "Run: lsfa bank --category fitting --data synthetic" in done.stderr
        finished.lsfa("extract", "--category", "fitting", "--projection", "paper", "--xyz-grid", "28")
        done = finished.lsfa("bank", "--category", "fitting", expect=5)
        assert "Run: lsfa adapt --category fitting --data synthetic" in done.stderr
        done = finished.lsfa("report", expect=5)
        assert "Run: lsfa score --category fitting --data synthetic" in done.stderr
        assert done.stderr.count(str(Path("fitting", "scores.h5"))) == 1  # the file is named once
        state = json.loads(finished.lsfa("inspect", str(finished.artifact("adaptor")), "--json").stdout)
        assert state["stale"] is True
    finally:
        for name, content in saved.items():
            finished.artifact(name).write_bytes(content)
    assert folder.is_dir()


def test_inspect(finished: Place) -> None:
    for name in ARTIFACTS:
        text = finished.lsfa("inspect", str(finished.artifact(name)), "--verify").stdout
        assert text.startswith(f"{name} version {SCHEMAS[name].version}")
        assert "verified: the content has this hash" in text
        document = json.loads(finished.lsfa("inspect", str(finished.artifact(name)), "--json").stdout)
        assert document["schema"] == name
        assert document["stale"] is False


@pytest.mark.parametrize("modality", ["rgb", "xyz"])
def test_one_modality_alone(place: Place, modality: str) -> None:
    for stage in STAGE.values():
        place.lsfa(stage, "--category", "fitting", "--modality", modality)
    with open_scores(place.artifact("scores")) as scores:
        assert set(scores.image) == {modality}
    done = place.lsfa("report", "--format", "json", "--pictures", str(place.folder / "pictures"))
    rows = json.loads(done.stdout)["results"]
    assert {(row["modality"], row["metric"]) for row in rows} == {
        (modality, metric) for metric in ("i_auroc", "p_auroc", "aupro")
    }
    made = {path.name for path in (place.folder / "pictures" / "fitting").iterdir()}
    assert {"best.png", "worst.png", "training.png"} <= made
    done = place.lsfa("bank", "--category", "fitting", "--modality", "both")
    assert "up to date" not in done.stderr
    other = "xyz" if modality == "rgb" else "rgb"
    done = place.lsfa("bank", "--category", "fitting", "--modality", other, expect=4)
    assert f"lsfa extract --modality {other}" in done.stderr


def test_baseline_control_and_fusions(place: Place) -> None:
    place.lsfa("extract", "--category", "fitting")
    done = place.lsfa("bank", "--category", "fitting", "--ocsvm", "--rgb-foreground")
    assert "PatchCore baseline" in done.stderr
    scores = {}
    for fusion in ("average", "average_raw", "ocsvm"):
        place.lsfa("score", "--category", "fitting", "--fusion", fusion)
        with open_scores(place.artifact("scores")) as opened:
            assert opened.method == "baseline"
            scores[fusion] = opened.image["fused"].tolist()
    assert len({tuple(values) for values in scores.values()}) == 3
    place.lsfa("adapt", "--category", "fitting", "--variant", "control", "--start", "random", "--steps", "0")
    place.lsfa("bank", "--category", "fitting", "--variant", "control")
    done = place.lsfa("score", "--category", "fitting", "--variant", "control", "--fusion", "ocsvm", expect=4)
    assert "lsfa bank --ocsvm" in done.stderr
    place.lsfa("score", "--category", "fitting", "--variant", "control")
    for format in ("markdown", "csv", "json", "latex"):
        text = place.lsfa("report", "--format", format).stdout
        assert "control: adaptors as they started" in text
        assert "baseline: PatchCore" in text


def test_run_makes_everything_once_and_then_nothing(place: Place) -> None:
    plan = place.lsfa("run", "--dry-run").stdout
    assert plan.count("would make") == 12  # for each of two categories: extract, adapt, bank, score; bank, score
    assert len(re.findall(r": about \d+(\.\d)? (s|min|h), [\d.]+ [MG]B of memory$", plan, re.MULTILINE)) == 12
    assert not (place.folder / "lsfa-work").exists()
    first = place.lsfa("run")
    files = {path: path.stat().st_mtime_ns for path in (place.folder / "lsfa-work").rglob("*")}
    second = place.lsfa("run")
    assert second.stdout == first.stdout
    assert second.stderr.count("up to date") == 12
    assert {path: path.stat().st_mtime_ns for path in (place.folder / "lsfa-work").rglob("*")} == files
    third = place.lsfa("run", "--fusion", "average_raw")
    assert third.stderr.count("up to date") == 8


def test_run_trains_adaptors_where_that_is_asked_for(place: Place) -> None:
    place.lsfa("run", "--category", "fitting", "--objective", "lsfa", "--no-baseline")
    with open_features(place.artifact("features")) as features:
        assert not has_pasted(features, "train")
    with open_scores(place.artifact("scores")) as scores:
        assert scores.method == "LSFA"
        assert set(scores.image) == {"rgb", "xyz", "fused"}


def test_the_file_comes_before_the_defaults_of_run(place: Place) -> None:
    (place.folder / "lsfa.toml").write_text("[extract]\npasted = 1\n", encoding="utf-8")
    place.lsfa("run", "--category", "fitting", "--no-baseline")
    with open_features(place.artifact("features")) as features:
        assert len(PastedFeatures(features, "train")) == len(features.split("train"))
    with open_scores(place.artifact("scores")) as scores:
        assert scores.method == "baseline + pasted"
