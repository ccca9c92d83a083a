"""Eyecandies through the stages of the baseline: the published layout, another light, M3DM's conversion."""

import json
from pathlib import Path

import pytest

from lsfa_cli.artifacts import open_scores
from tests.datasets import eyecandies_trees
from tests.end_to_end.conftest import Lsfa, runner

DATA = ("--data", "eyecandies")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("eyecandies")


@pytest.fixture(scope="module")
def lsfa(folder: Path) -> Lsfa:
    """Runs `lsfa` where Dome is published, and Converted is what M3DM's script makes of it; both are scored."""
    root = folder / "data"
    eyecandies_trees.write_category(root / "Dome")
    eyecandies_trees.convert(root / "Dome", root / "Converted")
    lsfa = runner(folder, root)
    lsfa("extract", *DATA)
    lsfa("bank", *DATA, "--no-adaptor")
    lsfa("score", *DATA, "--no-adaptor")
    return lsfa


def test_both_layouts_are_scored(lsfa: Lsfa, folder: Path) -> None:
    rows = json.loads(lsfa("report", *DATA, "--format", "json").stdout)["results"]
    for category, defects in (("Dome", ["bumps", "combined"]), ("Converted", ["bad", "bad"])):
        assert {row["modality"] for row in rows if row["category"] == category} == {"rgb", "xyz", "rgb+xyz"}
        with open_scores(folder / "lsfa-work/eyecandies" / category / "baseline/scores.h5") as scores:
            assert list(scores.defects) == [*defects, "good", "good"]


def test_an_absent_light_is_told_with_those_that_are_there(lsfa: Lsfa) -> None:
    told = lsfa("extract", *DATA, "--category", "Dome", "--light", "5", expect=3).stderr
    assert "00_image_5.png" in told
    assert "there is light 4" in told


def test_the_same_light_again_does_nothing(lsfa: Lsfa) -> None:
    assert "up to date" in lsfa("extract", *DATA, "--category", "Dome", "--light", "4").stderr
