"""Samples that lack something: test samples whose defects nobody marked, and image or scan alone."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lsfa_cli.artifacts.features import open_features
from lsfa_cli.artifacts.scores import open_scores
from lsfa_cli.metrics import aupro, image_auroc, pixel_auroc
from lsfa_cli.samples import Modality
from lsfa_cli.settings import BankSettings, ReportSettings, ScoreSettings
from lsfa_cli.stages.bank import bank
from lsfa_cli.stages.pictures import write_pictures, write_sheet
from lsfa_cli.stages.report import ScoresFile, report
from lsfa_cli.stages.score import score
from lsfa_cli.stages.shown import Shown
from tests.artifacts import rasters


def scored(features: Path) -> ScoresFile:
    folder = features.parent
    bank(features, None, folder / "bank.h5", BankSettings(coreset="all", blur_sigma=1.0, device="cpu"))
    score(features, None, folder / "bank.h5", folder / "scores.h5", ScoreSettings(device="cpu"))
    return ScoresFile(folder / "scores.h5", features)


@pytest.mark.parametrize("unmarked", [(3,), (2, 4)])
def test_pixel_figures_leave_unmarked_samples_out(tmp_path: Path, unmarked: tuple[int, ...]) -> None:
    file = scored(rasters.write_rasters(tmp_path / "features.h5", unmarked=unmarked))
    with open_scores(file.scores) as scores:
        np.testing.assert_array_equal(np.flatnonzero(~scores.masked), unmarked)
        kept = np.setdiff1d(np.arange(len(scores.names)), unmarked)
        maps, masks = scores.maps["fused"][kept], scores.masks[kept]
        everything = image_auroc(scores.image["fused"], scores.labels)
        with_unmarked = pixel_auroc(scores.maps["fused"], scores.masks)
    results = {row.metric: row for row in report([file], ReportSettings()).results if row.modality == "rgb+xyz"}
    assert results["i_auroc"].value == everything
    assert results["i_auroc"].note == ""
    assert results["p_auroc"].value == pixel_auroc(maps, masks) != with_unmarked
    assert results["aupro"].value == aupro(maps, masks)
    note = {1: "without 1 sample that has no mask", 2: "without 2 samples that have no mask"}[len(unmarked)]
    assert results["p_auroc"].note == results["aupro"].note == note


@pytest.mark.parametrize("format", ["markdown", "latex", "csv", "json"])
def test_the_reports_footnote_says_so(tmp_path: Path, format: str) -> None:
    file = scored(rasters.write_rasters(tmp_path / "features.h5", unmarked=[3]))
    assert "without 1 sample that has no mask" in report([file], ReportSettings()).text(format)


def test_without_any_mask_there_are_no_pixel_figures(tmp_path: Path) -> None:
    file = scored(rasters.write_rasters(tmp_path / "features.h5", unmarked=range(5)))
    found = report([file], ReportSettings())
    assert found.failures == []
    for row in found.results:
        assert (row.value is None) == (row.metric != "i_auroc")
        assert row.note == "" or "does not exist" in row.note
    assert "I-AUROC" in found.text("markdown")
    assert write_pictures([file], tmp_path / "pictures")


def test_pictures_tell_unmarked_from_sound(tmp_path: Path) -> None:
    file = scored(rasters.write_rasters(tmp_path / "features.h5", unmarked=[3]))
    assert file.features is not None
    with open_scores(file.scores) as scores, open_features(file.features) as features:
        shown = Shown(scores, features)
        assert [shown.without_mask(index) for index in (0, 3)] == ["no defect", "not marked"]
        assert not shown.mask(3).any()


@pytest.mark.parametrize("modality", ["rgb", "xyz"])
def test_image_or_scan_alone_is_reported_and_pictured(tmp_path: Path, modality: Modality) -> None:
    file = scored(rasters.write_rasters(tmp_path / "features.h5", modalities=[modality]))
    found = report([file], ReportSettings())
    assert found.failures == []
    assert {row.modality for row in found.results} == {modality}
    assert all(row.value is not None and row.value > 0.8 for row in found.results)
    made = write_pictures([file], tmp_path / "pictures")
    assert {"best.png", "worst.png"} <= {path.name for path in made}
    write_sheet([file], tmp_path / "sheet.png", per_category=2)
    for path in (*made, tmp_path / "sheet.png"):
        assert np.asarray(Image.open(path)).shape[1] == 1080
