"""Unorganized clouds in the layout of Real3D-AD, by the command line, from the files to report and pictures."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lsfa_cli.artifacts import open_scores
from lsfa_cli.artifacts.features import open_features
from tests.datasets.real3d_trees import write_category
from tests.end_to_end.conftest import Lsfa, runner

ARTIFACTS = {"features": "extract", "adaptor": "adapt", "bank": "bank", "scores": "score"}
CLOUDS = {
    "LSFA_DATA": "real3d_ad",
    "LSFA_EXTRACT_XYZ_BACKBONE": "coordinates",
    "LSFA_EXTRACT_CLOUD_SPACING": "0.0008",
    "LSFA_BANK_CORESET": "all",
}


def at(folder: Path) -> Lsfa:
    """Runs `lsfa` there, on clouds."""
    run = runner(folder, folder / "data")
    return lambda *arguments, **more: run(*arguments, **(CLOUDS | more))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where all five stages ran on one category, for the method and the baseline."""
    folder = tmp_path_factory.mktemp("clouds")
    write_category(folder / "data" / "duck", train=2, test=2, kinds=("good", "bulge"))
    at(folder)("run")
    return folder


def artifact(folder: Path, name: str) -> Path:
    return folder / "lsfa-work" / "real3d_ad" / "duck" / f"{name}.h5"


def test_artifacts_hold_groups_and_points(folder: Path) -> None:
    with open_features(artifact(folder, "features")) as features, open_scores(artifact(folder, "scores")) as scores:
        assert features.is_cloud
        assert scores.is_cloud
        assert len(scores.names) == 4
        assert len(scores.all_point_scores()) == len(scores.all_point_defects()) == features.point_offsets()[-1]
        for index, label in enumerate(scores.labels):
            points = scores.point_scores(index)
            assert points.max() <= scores.image["xyz"][index]
            # Every point has the score of its group, so there are no more scores than groups.
            assert len(np.unique(points)) <= features.split("test").counts("xyz")[index]
            assert scores.point_defects(index).any() == bool(label)


def test_bulges_are_found(folder: Path) -> None:
    rows = json.loads(at(folder)("report", "--format", "json").stdout)["results"]
    values = {
        (row["method"], row["metric"]): row["value"]
        for row in rows
        if row["category"] == "duck" and not row["baseline"]
    }
    with open_scores(artifact(folder, "scores")) as scores:
        chance = scores.all_point_defects().mean()
    for method in ("LSFA", "baseline"):
        assert values[method, "o_auroc"] == values[method, "o_aupr"] == 1
        assert values[method, "p_auroc"] > 0.7
        assert values[method, "p_aupr"] > 4 * chance
    assert {metric for _, metric in values} == {"o_auroc", "o_aupr", "p_auroc", "p_aupr"}


@pytest.mark.parametrize("format", ["markdown", "csv", "json", "latex"])
def test_report_beside_published_figures(folder: Path, format: str) -> None:
    text = at(folder)("report", "--format", format, "--compare-published").stdout
    for word in ("duck", "LSFA", "baseline", "Real3D-AD README"):
        assert word in text
    assert "AUPRO" not in text


def test_pictures_show_the_clouds(folder: Path, tmp_path: Path) -> None:
    at(folder)("report", "--pictures", str(tmp_path))
    made = {path.name: path for path in (tmp_path / "duck").iterdir()}
    assert {"best.png", "worst.png", "training.png"} <= set(made)
    pixels = np.asarray(Image.open(made["best.png"]).convert("RGB")).astype(int)
    outlined = np.abs(pixels - [0, 230, 255]).max(axis=2) < 60
    assert outlined.sum() > 100


def test_a_second_run_does_nothing_and_a_deleted_artifact_comes_back_the_same(folder: Path) -> None:
    before = {name: artifact(folder, name).read_bytes() for name in ARTIFACTS}
    done = at(folder)("run")
    assert done.stderr.count("up to date") == 6
    for name, stage in ARTIFACTS.items():
        artifact(folder, name).unlink()
        at(folder)(stage, "--category", "duck")
        assert artifact(folder, name).read_bytes() == before[name]


def test_inspect(folder: Path) -> None:
    text = at(folder)("inspect", str(artifact(folder, "features")), "--verify").stdout
    assert "test/points/group" in text
    assert "verified: the content has this hash" in text
    assert "points/xyz" in at(folder)("inspect", str(artifact(folder, "scores"))).stdout


def test_images_of_clouds_are_refused(folder: Path) -> None:
    told = at(folder)("bank", "--category", "duck", "--modality", "rgb", expect=4).stderr
    assert "has no rgb features" in told


def test_missing_features_are_told(tmp_path: Path) -> None:
    write_category(tmp_path / "data" / "duck", train=2, test=1, kinds=("good",))
    assert "lsfa extract" in at(tmp_path)("adapt", "--category", "duck", expect=4).stderr


def test_defects_are_not_pasted_into_clouds(folder: Path) -> None:
    refused = at(folder)("extract", "--pasted", "2", expect=3)
    assert "unorganized clouds, without pixels to paste defects into" in " ".join(refused.stderr.split())
    refused = at(folder)("adapt", "--objective", "pasted", expect=4)
    assert "unorganized clouds, and --objective pasted needs samples with pasted defects" in " ".join(
        refused.stderr.split()
    )
    assert "Leave --objective out" in refused.stderr


def test_a_study_of_pasted_defects_says_that_clouds_have_none(folder: Path) -> None:
    told = " ".join(at(folder)("study", "pasted", "--seeds", "1", expect=3).stderr.split())
    assert "unorganized clouds, without pixels to paste defects into" in told
    assert "training through the backbone" not in told
