"""All five stages on images alone, with names that hold spaces, line breaks and other letters."""

import json
from pathlib import Path

import pytest

from lsfa_cli.artifacts import open_scores
from lsfa_cli.artifacts.features import open_features
from tests.datasets.mvtec2d_trees import write_category
from tests.end_to_end.conftest import runner

DEFECTS = ("cut", "Fädchen Ж", "two\nlines")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where all stages ran on a colour and a grey category."""
    folder = tmp_path_factory.mktemp("mvtec2d")
    write_category(folder / "data" / "woven fabric", defects=DEFECTS)
    write_category(folder / "data" / "grid", grey=True)
    lsfa = runner(folder, folder / "data")
    lsfa("run", "--data", "mvtec2d")
    return folder


@pytest.mark.parametrize("category", ["woven fabric", "grid"])
def test_artifacts_hold_images_alone(folder: Path, category: str) -> None:
    place = folder / "lsfa-work" / "mvtec2d" / category
    with open_features(place / "features.h5") as features:
        assert features.modalities("both") == ("rgb",)
    with open_scores(place / "scores.h5") as scores:
        assert set(scores.image) == set(scores.maps) == {"rgb", "rgb_bank", "rgb_pasted"}
        assert sorted(set(scores.defects)) == sorted({"good", *(DEFECTS if category != "grid" else ("cut", "thread"))})


def test_report_of_method_and_baseline(folder: Path) -> None:
    lsfa = runner(folder, folder / "data")
    rows = json.loads(lsfa("report", "--data", "mvtec2d", "--format", "json").stdout)["results"]
    assert {row["modality"] for row in rows} == {"rgb"}
    assert {row["category"] for row in rows} == {"woven fabric", "grid", "mean"}
    for method in ("baseline + pasted", "baseline"):
        chosen = [row for row in rows if (row["method"], row["metric"]) == (method, "p_auroc")]
        values = {row["category"]: row["value"] for row in chosen if not row["baseline"]}
        assert set(values) == {"woven fabric", "grid", "mean"}
        assert min(values.values()) > 0.9


def test_pictures_of_oddly_named_samples(folder: Path, tmp_path: Path) -> None:
    lsfa = runner(folder, folder / "data")
    lsfa("report", "--data", "mvtec2d", "--pictures", str(tmp_path / "pictures"))
    assert (tmp_path / "pictures" / "woven fabric" / "best.png").exists()


def test_3d_is_refused_with_the_way_out(folder: Path) -> None:
    lsfa = runner(folder, folder / "data")
    told = lsfa("extract", "--data", "mvtec2d", "--modality", "xyz", "--category", "grid", expect=3).stderr
    assert "has no 3D scans" in told
    assert "--modality rgb" in told
