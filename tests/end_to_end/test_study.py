"""Studies by the command line: every one of them runs, goes on where it was, and gives equal tables for equal seeds."""

import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from lsfa_cli.artifacts.features import open_features
from lsfa_cli.artifacts.scores import Scores, open_scores
from lsfa_cli.artifacts.store import open_artifact
from lsfa_cli.errors import DataError
from lsfa_cli.stages import study
from lsfa_cli.stages.progress import Progress
from lsfa_cli.stages.studying.cells import Cell, Surroundings, _figures
from lsfa_cli.studies import studies
from tests.end_to_end.conftest import Place, runner

OWN = """
question = "Is the table right?"
baseline = "none"

[[variant]]
name = "none"
adaptor = false

[[variant]]
name = "control"
adapt = { start = "random", steps = 0 }
"""


@pytest.fixture(scope="module")
def shared_place(tmp_path_factory: pytest.TempPathFactory, parts: Path) -> Place:
    """One work folder for all studies, which have many cells in common."""
    folder = tmp_path_factory.mktemp("studies")
    (folder / "own.toml").write_text(OWN)
    (folder / "lsfa.toml").write_text("[extract]\nimage_size = 112\nxyz_grid = 28\n")
    return Place(folder, runner(folder, parts))


# Where others than fitting: of so small a part no pasted defect covers a patch once a group of kinds is left out.
LARGER = {"pasted": "cover"}


def table(place: Place, *words: str, category: str = "fitting") -> dict[str, Any]:
    """The JSON of a study of one category."""
    done = place.lsfa("study", *words, "--category", category, "--format", "json")
    content: dict[str, Any] = json.loads(done.stdout)
    return content


# Those of test_study_training.py: they train backbones, or long.
ELSEWHERE = ("peft", "finetune", "sensitivity")


@pytest.mark.parametrize("name", [name for name in studies() if name not in ELSEWHERE])
def test_every_study_runs_and_has_its_rows(shared_place: Place, name: str) -> None:
    document = table(shared_place, name, "--seeds", "1", category=LARGER.get(name, "fitting"))
    for modality in ("rgb", "xyz", "rgb+xyz"):
        for metric in ("i_auroc", "p_auroc", "aupro"):
            rows = [row for row in document["rows"] if (row["modality"], row["metric"]) == (modality, metric)]
            assert [row["variant"] for row in rows] == [variant.name for variant in studies()[name].variant]
            for row in rows:
                assert row["figure"]["low"] <= row["figure"]["value"] + 2e-3
                assert row["figure"]["high"] >= row["figure"]["value"] - 2e-3
                assert (row["difference"] is None) == (row["versus"] is None) == (row["p_value"] is None)


def test_the_baseline_is_that_of_the_report(shared_place: Place) -> None:
    shared_place.lsfa("extract", "--category", "fitting")
    for stage in ("bank", "score"):
        shared_place.lsfa(stage, "--category", "fitting", "--no-adaptor")
    report = json.loads(shared_place.lsfa("report", "--format", "json").stdout)["results"]
    expected = {
        (row["modality"], row["metric"]): row["value"]
        for row in report
        if (row["method"], row["category"]) == ("baseline", "fitting")
    }
    rows = [row for row in table(shared_place, "own.toml", "--seeds", "1")["rows"] if row["variant"] == "none"]
    assert {(row["modality"], row["metric"]): row["figure"]["value"] for row in rows} == expected


def test_a_study_goes_on_where_it_was(shared_place: Place) -> None:
    of_others = set(shared_place.folder.glob("lsfa-work/synthetic/cover/study/*/figures.h5"))
    first = shared_place.lsfa("study", "own.toml", "--seeds", "2", "--category", "cover")
    again = shared_place.lsfa("study", "own.toml", "--seeds", "2", "--category", "cover")
    assert "0 cells measured, 4 were there" in again.stderr
    assert again.stdout == first.stdout
    figures = sorted({*shared_place.folder.glob("lsfa-work/synthetic/cover/study/*/figures.h5")} - of_others)
    with open_artifact(figures[0], "figures") as artifact:
        assert artifact.read("labels").sum() > 0
    assert not list(figures[0].parent.glob("scores.h5"))
    figures[0].unlink()
    assert "1 cells measured" in shared_place.lsfa("study", "own.toml", "--seeds", "2", "-c", "cover").stderr
    kept = shared_place.lsfa("study", "own.toml", "--seeds", "2", "--category", "cover", "--keep", "--rerun")
    assert "4 cells measured, 0 were there" in kept.stderr
    assert kept.stdout == first.stdout
    assert len(list(shared_place.folder.glob("lsfa-work/synthetic/cover/study/*/scores.h5"))) == 4


PASTED = """
question = "Does it depend on the defects that are drawn?"
baseline = "none"

[[variant]]
name = "none"
adaptor = false
extract = { pasted = 2 }

[[variant]]
name = "pasted"
extract = { pasted = 2 }
adapt = { objective = "pasted", pasted_steps = 0 }
score = { sources = "pasted" }
"""


def test_each_seed_has_pasted_defects_of_its_own_which_do_not_stay(place: Place) -> None:
    (place.folder / "pasted.toml").write_text(PASTED)
    words = ("study", "pasted.toml", "--category", "cover", "--seeds", "2")
    first = place.lsfa(*words)
    study_folder = place.folder / "lsfa-work/synthetic/cover/study"
    assert not list(study_folder.glob("features-*"))
    assert len(list(study_folder.glob("*/figures.h5"))) == 4
    again = place.lsfa(*words)
    assert "0 cells measured, 4 were there" in again.stderr
    assert again.stdout == first.stdout
    kept = place.lsfa(*words, "--keep", "--rerun")
    assert kept.stdout == first.stdout
    seeds, defects = [], []
    for path in study_folder.glob("features-*/features.h5"):
        with open_artifact(path, "features") as artifact:
            seeds.append(artifact.settings["seed"])
            defects.append(artifact.read("pasted/train/masks").sum())
    assert sorted(seeds) == [0, 1]
    assert defects[0] != defects[1]


def test_equal_seeds_give_equal_tables_and_pictures(shared_place: Place, tmp_path: Path, parts: Path) -> None:
    other = Place(tmp_path, runner(tmp_path, parts))
    for name in ("own.toml", "lsfa.toml"):
        (tmp_path / name).write_bytes((shared_place.folder / name).read_bytes())
    words = ("study", "own.toml", "--seeds", "2", "--category", "fitting", "--plot", "differences.png")
    assert shared_place.lsfa(*words).stdout == other.lsfa(*words).stdout
    pictures = [place.folder / "differences.png" for place in (shared_place, other)]
    assert pictures[0].read_bytes() == pictures[1].read_bytes()


def test_categories_are_paired(shared_place: Place) -> None:
    done = shared_place.lsfa("study", "own.toml", "--seeds", "2", "--format", "json")
    document = json.loads(done.stdout)
    assert document["notes"]["categories"] == "cover, fitting"
    assert document["notes"]["test samples"] == ("cover 6 (2 good, 4 defective); fitting 6 (2 good, 4 defective)")
    assert document["notes"]["settings"] == (
        "extract xyz_grid 28; extract image_size 112; adapt patches_per_sample 64; adapt local_bank_size 2000; "
        "adapt guard_interval 2; adapt cfm_epochs 1; adapt pasted_steps 20; bank coreset_ratio 0.02"
    )
    assert {row["pairs"] for row in document["rows"] if row["difference"]} == {4}


def test_few_samples_make_smaller_banks(place: Place) -> None:
    place.lsfa("extract", "--category", "fitting")
    sizes = []
    for words in (["--train-samples", "2"], [], ["--train-samples", "99"]):
        place.lsfa("bank", "--category", "fitting", "--no-adaptor", "--coreset", "all", *words)
        with open_artifact(place.artifact("bank", variant="baseline"), "bank") as artifact:
            sizes.append(len(artifact.read("rgb/entries")))
    assert sizes[0] == sizes[1] / 2
    assert sizes[1] == sizes[2]


def test_list_dry_run_and_errors(shared_place: Place) -> None:
    listed = shared_place.lsfa("study", "--list").stdout
    assert all(f"{name}\n    {study.question}" in listed for name, study in studies().items())
    planned = shared_place.lsfa("study", "choices", "--dry-run", "--seeds", "3")
    assert "84 cells (14 variants, 2 categories, 3 seeds)" in planned.stderr
    assert re.fullmatch(
        r"choices: would measure \d+ cells: about \d+ (s|min), [\d.]+ [MG]B of memory\n", planned.stdout
    )
    assert "Did you mean 'components'" in shared_place.lsfa("study", "component", expect=2).stderr
    assert "which study?" in shared_place.lsfa("study", expect=2).stderr
    assert "unknown format" in shared_place.lsfa("study", "own.toml", "--format", "html", expect=2).stderr


def test_a_cell_that_fails_does_not_stop_the_others(shared_place: Place) -> None:
    broken = OWN + '\n[[variant]]\nname = "broken"\nextract = { xyz_backbone = "surfaces" }\n'
    (shared_place.folder / "broken.toml").write_text(broken)
    done = shared_place.lsfa("study", "broken.toml", "--seeds", "1", "--category", "fitting", expect=1)
    assert "unknown backbone 'surfaces'" in done.stderr
    assert "| control" in done.stdout
    assert "| broken" not in done.stdout


def test_a_variant_that_fails_with_one_seed_has_no_row(shared_place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    real = study.run_cell

    def run_cell(around: Surroundings, one: Cell, progress: Progress, *, rerun: bool = False) -> bool:
        if (one.variant, one.seed) == ("control", 1):
            raise DataError("the disk is full")
        return real(around, one, progress, rerun=rerun)

    monkeypatch.setattr(study, "run_cell", run_cell)
    done = shared_place.lsfa("study", "own.toml", "--seeds", "2", "--category", "fitting", expect=1)
    assert "1 cells failed: fitting, control, seed 1" in " ".join(done.stderr.split())
    assert "| none" in done.stdout
    assert "| control" not in done.stdout


def test_figures_of_earlier_data_do_not_stand_for_a_cell_that_fails(
    shared_place: Place, tmp_path: Path, parts: Path
) -> None:
    shutil.copytree(parts, tmp_path / "parts")
    words = ("study", "own.toml", "--seeds", "1", "--category", "fitting", "--root", str(tmp_path / "parts"))
    assert "| control" in shared_place.lsfa(*words).stdout
    image = next((tmp_path / "parts/fitting/test/good/rgb").iterdir())
    image.write_bytes(image.read_bytes()[:-100])
    done = shared_place.lsfa(*words, expect=3)
    assert "| control" not in done.stdout
    assert "no cell of the study was measured" in done.stderr


def test_separation_is_that_of_the_scores(shared_place: Place) -> None:
    words = ("own.toml", "--seeds", "1", "--keep", "--rerun")
    plain, wide = table(shared_place, *words), table(shared_place, *words, "--separation")
    assert [row for row in wide["rows"] if row["metric"] in {"i_auroc", "p_auroc", "aupro"}] == plain["rows"]
    kept = shared_place.folder / "lsfa-work/synthetic/fitting/study"
    with (
        open_scores(next(path for path in kept.glob("*/scores.h5") if is_baseline(path))) as scores,
        open_features(kept.parent / "features.h5") as features,
    ):
        distances, masks = scores.distances("xyz"), scores.masks
        valid = np.stack([features.split("test").patches(index, "xyz").valid for index in range(len(masks))])
    assert distances is not None
    np.testing.assert_array_equal(np.isnan(distances), ~valid)
    shares = masks.reshape(len(masks), 28, 4, 28, 4).mean(axis=(2, 4)).reshape(len(masks), -1)
    defective, normal = distances[valid & (shares > 0.3)], distances[valid & (shares == 0)]
    wins = (defective[:, None] > normal) + 0.5 * (defective[:, None] == normal)
    expected = {
        "patch_auroc": wins.mean(),
        "distance_ratio": defective.mean() / normal.mean(),
        "normal_distance": normal.mean(),
    }
    for metric, value in expected.items():
        rows = [row for row in wide["rows"] if (row["variant"], row["modality"]) == ("none", "xyz")]
        assert next(row for row in rows if row["metric"] == metric)["figure"]["value"] == pytest.approx(value)


def test_choosing_is_told_at_the_foot(shared_place: Place) -> None:
    notes = table(shared_place, "own.toml", "--seeds", "2", "--choose", "i_auroc")["notes"]
    assert notes["choosing by I-AUROC"].count("most often") == 3
    assert "I-AUROC minus that of none on the other half" in notes["choosing by I-AUROC"]


def test_curves_are_drawn_of_what_was_trained(shared_place: Place) -> None:
    (shared_place.folder / "trained.toml").write_text(OWN.replace("steps = 0", "steps = 1"))
    words = ("study", "--seeds", "2", "--category", "fitting", "--curves", "curves.png")
    shared_place.lsfa(*words, "trained.toml")
    with Image.open(shared_place.folder / "curves.png") as picture:
        assert picture.format == "PNG"
    none = OWN.replace('[[variant]]\nname = "control"\nadapt = { start = "random", steps = 0 }', SECOND)
    (shared_place.folder / "untrained.toml").write_text(none)
    refused = shared_place.lsfa(*words, "untrained.toml", expect=3)
    assert "no curves to draw" in refused.stderr


SECOND = """[[variant]]
name = "random"
adaptor = false
bank = { coreset = "random" }"""


def is_baseline(scores: Path) -> bool:
    """Whether no adaptor made them."""
    with open_artifact(scores, "scores") as artifact:
        return "adaptor" not in artifact.inputs


ALIKE = (
    OWN.replace("steps = 0", "steps = 1")
    + """
[[variant]]
name = "other bank"
adapt = { start = "random", steps = 1 }
bank = { coreset = "random" }
"""
)


def test_variants_that_train_alike_train_once(shared_place: Place) -> None:
    (shared_place.folder / "alike.toml").write_text(ALIKE)
    words = ("study", "alike.toml", "--seeds", "2", "--category", "fitting")
    done = shared_place.lsfa(*words, "--keep", "--rerun")
    study = shared_place.folder / "lsfa-work/synthetic/fitting/study"
    trained = [path for path in study.glob("adaptor-*/adaptor.h5") if steps_of(path) == 1]
    assert len(trained) == 2
    assert shared_place.lsfa(*words, "--rerun").stdout == done.stdout
    assert not any(path.parent.exists() for path in trained)


def steps_of(adaptor: Path) -> int:
    """How long it was trained."""
    with open_artifact(adaptor, "adaptor") as artifact:
        return int(artifact.settings["steps"])


def test_pixel_figures_exist_without_good_test_samples() -> None:
    masks = np.zeros((2, 8, 8), dtype=bool)
    masks[:, 2:4, 2:4] = True
    scores = SimpleNamespace(
        image={"rgb": np.array([1.0, 2.0])},
        labels=np.ones(2, dtype=np.uint8),
        maps={"rgb": masks.astype(np.float32)},
        masks=masks,
        masked=np.ones(2, dtype=bool),
        distances=lambda name: None,
    )
    found = [(metric, value) for metric, value, _ in _figures(cast(Scores, scores), "rgb")]
    assert found == [("p_auroc", 1.0), ("aupro", 1.0)]
