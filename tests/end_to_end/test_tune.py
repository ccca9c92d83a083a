"""`lsfa tune` from the space of settings to the file that `lsfa run` takes, without a test sample."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lsfa_cli.artifacts.features import open_features
from lsfa_cli.artifacts.scores import open_scores
from lsfa_cli.artifacts.store import open_artifact
from lsfa_cli.configuration import load_sources, run_defaults
from lsfa_cli.datasets import open_dataset
from lsfa_cli.datasets.held_out import HeldOut, HoldOut
from lsfa_cli.preprocessing.cache import SampleCache
from lsfa_cli.samples import SampleRecord
from lsfa_cli.settings import AdaptSettings, BankSettings, ExtractSettings, ScoreSettings
from lsfa_cli.stages import tune
from lsfa_cli.stages.adapt import adapt
from lsfa_cli.stages.bank import bank
from lsfa_cli.stages.extract import extract
from lsfa_cli.stages.progress import NoProgress
from lsfa_cli.stages.score import score
from lsfa_cli.stages.studying.cells import Settings
from lsfa_cli.stages.tuning import cells as tune_cells
from lsfa_cli.stages.tuning.measure import samples_of
from lsfa_cli.stages.tuning.settings import settings_text
from lsfa_cli.studies.spaces import Space, load_space
from tests.end_to_end.conftest import Place, runner

SPACE = """
[groups]
flat = ["bump", "dent", "warp", "hole", "scratch"]
rest = ["missing_piece", "stain", "foreign_material", "print_fault", "cut_and_paste"]

[[candidate]]
name = "banks"
adapt = { objective = "none" }

[[candidate]]
name = "banks + pasted"
adapt = { objective = "pasted", pasted_steps = 20 }

[[candidate]]
name = "pasted, blur 2"
adapt = { objective = "pasted", pasted_steps = 20 }
bank = { blur_sigma = 2.0 }
score = { sources = "pasted" }
"""
WORDS = ("--space", "space.toml", "--category", "fitting", "--pasted", "4")


def working(folder: Path, parts: Path) -> Place:
    """A folder with the space and quick settings."""
    folder.mkdir(exist_ok=True)
    (folder / "space.toml").write_text(SPACE)
    return Place(folder, runner(folder, parts))


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory, parts: Path) -> Place:
    """A folder where a category was tuned. Tests leave it as they found it."""
    place = working(tmp_path_factory.mktemp("tuned") / "work", parts)
    place.lsfa("tune", *WORDS, "--format", "json", "--table", "table.json", "--out", "tuned.toml")
    return place


def table(place: Place, name: str = "table.json") -> dict[str, Any]:
    """A table that was written."""
    content: dict[str, Any] = json.loads((place.folder / name).read_text())
    return content


def files(place: Place, pattern: str) -> list[Path]:
    """The files of the tuning."""
    return sorted(place.folder.glob(f"lsfa-work/synthetic/fitting/tune/*/{pattern}"))


def test_the_table_has_every_candidate(tuned: Place) -> None:
    document = table(tuned)
    assert (document["schema"], document["first"]) == ("tuning", "banks")
    weighed = {f"{row['candidate']}, weighed" for row in document["weights"] if row["chosen"]}
    assert {row["candidate"] for row in document["rows"]} == {"banks", "banks + pasted", "pasted, blur 2"} | weighed
    figures = [row["figure"]["value"] for row in document["rows"]]
    assert figures == sorted(figures, reverse=True)
    assert [row["rank"] for row in document["rows"]] == list(range(1, len(figures) + 1))
    for row in document["rows"]:
        assert set(row["groups"]) == {"flat", "rest"}
        for metric in ("i_auroc", "aupro"):
            own = [found[metric] for found in row["groups"].values()]
            assert row["metrics"][metric]["value"] == pytest.approx(np.mean(own))
        both = [row["metrics"][metric]["value"] for metric in ("i_auroc", "aupro")]
        assert row["figure"]["value"] == pytest.approx(np.mean(both))
        assert (row["difference"] is None) == (row["candidate"] == "banks")
    assert "3 normal ones" in document["notes"]["samples"]  # 2 of them were validation samples
    assert "33% of the training samples" in document["notes"]["held out"]


def test_features_have_no_test_sample(tuned: Place) -> None:
    for path in files(tuned, "features-*/features.h5"):
        with open_features(path) as features:
            assert not features.has("test")
            assert len(features.split("train")) == 3
            assert len(features.split("validation")) == 3
            assert not any("test" in name for name in features.artifact.paths())


def test_test_samples_change_nothing(tuned: Place, tmp_path: Path, parts: Path) -> None:
    root = tmp_path / "parts"
    shutil.copytree(parts, root)
    shutil.rmtree(root / "fitting" / "test")
    other = working(tmp_path / "work", root)
    other.lsfa("tune", *WORDS, "--format", "json", "--table", "table.json", "--out", "tuned.toml")
    for name in ("table.json", "tuned.toml"):
        assert (other.folder / name).read_bytes() == (tuned.folder / name).read_bytes()
    for pattern in ("features-*/features.h5", "*/judged.h5", "*/figures.h5"):
        pairs = list(zip(files(other, pattern), files(tuned, pattern), strict=True))
        assert pairs
        for one, expected in pairs:
            assert one.name == expected.name
            assert one.read_bytes() == expected.read_bytes()


def test_a_second_call_makes_nothing(tuned: Place) -> None:
    before = {path: path.stat().st_mtime_ns for path in files(tuned, "*/*.h5")}
    again = tuned.lsfa("tune", *WORDS, "--budget", "0", "--format", "json")
    assert "0 cells measured, 3 were there, 0 left out" in again.stderr
    assert json.loads(again.stdout) == table(tuned)
    assert {path: path.stat().st_mtime_ns for path in files(tuned, "*/*.h5")} == before


def test_a_run_that_is_stopped_goes_on(
    tuned: Place, tmp_path: Path, parts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = working(tmp_path / "work", parts)
    calls: list[Path] = []
    judge = tune_cells.judge_discriminators

    def interrupted(features: Path, adaptor: Path, out: Path, *rest: Any, **more: Any) -> None:
        calls.append(out)
        if len(calls) == 2:
            raise KeyboardInterrupt
        judge(features, adaptor, out, *rest, **more)

    monkeypatch.setattr(tune_cells, "judge_discriminators", interrupted)
    place.lsfa("tune", *WORDS, expect=130)
    made = {path: path.stat().st_mtime_ns for path in files(place, "*/judged.h5")}
    assert len(made) == 2  # the banks and one group of the discriminators
    assert not list(place.folder.rglob("*.tmp"))
    some = place.lsfa("tune", *WORDS, "--budget", "0", "--format", "json")
    assert {row["candidate"] for row in json.loads(some.stdout)["rows"]} <= {"banks", "banks, weighed"}
    assert json.loads(some.stdout)["notes"]["not measured yet"] == "banks + pasted, pasted, blur 2"
    whole = place.lsfa("tune", *WORDS, "--format", "json")
    assert json.loads(whole.stdout) == table(tuned)
    assert all(path.stat().st_mtime_ns == time for path, time in made.items())
    assert len(calls) == 3


def test_without_a_budget_there_is_nothing_to_rank(place: Place) -> None:
    (place.folder / "space.toml").write_text(SPACE)
    refused = place.lsfa("tune", *WORDS, "--budget", "0", expect=1)
    assert "nothing to rank" in refused.stderr
    assert "--budget 30" in refused.stderr
    assert not list(place.folder.rglob("*.h5"))


def test_run_takes_the_chosen_settings(tuned: Place) -> None:
    document, file = table(tuned), tuned.folder / "tuned.toml"
    assert file.read_text() == document["settings"]
    name = document["chosen"].removesuffix(", weighed")
    candidate = next(one for one in load_space(tuned.folder / "space.toml").candidate if one.name == name)
    sources = load_sources({}, config=file, environment={})
    adapt_settings = sources.stage("adapt", AdaptSettings)
    assert adapt_settings.objective == candidate.adapt["objective"]
    assert sources.stage("extract", ExtractSettings).pasted == (4 if adapt_settings.trains_discriminators else 0)
    assert sources.stage("bank", BankSettings).coreset_ratio == 0.02
    score_settings = sources.stage("score", ScoreSettings)
    chosen = {row["what"]: row["chosen"] for row in document["weights"] if row["candidate"] == name}
    if name == document["chosen"]:
        chosen = {"image scores": "", "maps": ""}
    assert (score_settings.image_weights, score_settings.map_weights) == (chosen["image scores"], chosen["maps"])
    assert score_settings.sources == candidate.score.get("sources", "all")
    planned = tuned.lsfa("run", "--config", "tuned.toml", "--category", "fitting", "--dry-run")
    assert "would make" in planned.stdout


@pytest.mark.parametrize("objective", ["none", "lsfa", "pasted", "lsfa+pasted"])
def test_what_run_has_as_its_own_default_is_told(tmp_path: Path, objective: str) -> None:
    weights = tmp_path / "some.safetensors"
    settings = Settings(
        ExtractSettings(pasted=4, rgb_weights=weights),
        AdaptSettings.model_validate({"objective": objective, "seed": 7, "pasted_steps": 600}),
        BankSettings(seed=7),
        ScoreSettings(seed=7, image_weights="rgb_bank=1,xyz_bank=0.5"),
    )
    (tmp_path / "tuned.toml").write_text(
        settings_text(settings, dataset="data", categories=["part"], told=run_defaults())
    )
    sources = load_sources({}, config=tmp_path / "tuned.toml", environment={})
    learns = "pasted" in objective
    for stage, expected in {
        "extract": settings.extract.model_copy(update={"pasted": 4 * learns}),
        "adapt": settings.adapt,
        "bank": settings.bank,
        "score": settings.score,
    }.items():
        assert sources.stage(stage, type(expected), run_defaults()) == expected


def test_a_file_of_somebody_else_is_not_overwritten(tuned: Place) -> None:
    (tuned.folder / "lsfa.toml.mine").write_text("[adapt]\nsteps = 4\n")
    refused = tuned.lsfa("tune", *WORDS, "--out", "lsfa.toml.mine", expect=2)
    assert "lsfa tune did not write it" in refused.stderr
    assert (tuned.folder / "lsfa.toml.mine").read_text() == "[adapt]\nsteps = 4\n"
    tuned.lsfa("tune", *WORDS, "--out", "tuned.toml")


@pytest.mark.parametrize(
    ("text", "told", "code"),
    [
        ("[[candidate]]\nname = 'one'\nadapt = { stepps = 3 }\n", "adapt has no setting 'stepps'", 3),
        ("[[candidate]]\nname = 'one'\nextract = { pasted = 3 }\n", "extract pasted is the same for all", 3),
        ("[[candidate]]\nname = 'one'\n[[candidate]]\nname = 'one'\n", "two candidates have the same name", 3),
        ("[[variant]]\nname = 'one'\n", "variant: Extra inputs are not permitted", 3),
        ("[groups]\nodd = ['bumps']\n[[candidate]]\nname = 'one'\n", "Did you mean 'bump'?", 2),
        ("[[candidate]]\nname = 'one'\nadapt = { method = 'cfm' }\n", "not --method cfm", 2),
        ("[[candidate]]\nname = 'one'\nscore = { sources = 'pasted' }\n", "needs discriminators", 2),
        ("[[candidate]]\nname = 'one'\nadapt = { steps = -1 }\n", "steps = -1", 3),
    ],
)
def test_a_wrong_space_is_refused(place: Place, text: str, told: str, code: int) -> None:
    (place.folder / "wrong.toml").write_text(text)
    result = place.lsfa("tune", "--space", "wrong.toml", "--category", "fitting", expect=code)
    assert told in result.stderr


def test_dry_run_makes_nothing_and_says_what_it_takes(place: Place) -> None:
    (place.folder / "space.toml").write_text(SPACE)
    told = place.lsfa("tune", *WORDS, "--folds", "2", "--dry-run")
    assert "tune: 6 cells (3 candidates, 2 folds, fitting)" in told.stderr
    assert told.stdout.startswith("tune: would measure 6 cells: about ")
    assert not list(place.folder.rglob("*.h5"))
    assert "[[candidate]]" in place.lsfa("tune", "--show-space").stdout
    assert "--pasted 0 asks for none" in place.lsfa("tune", "-c", "fitting", "--pasted", "0", expect=2).stderr
    assert "too few to hold out" in place.lsfa("tune", *WORDS, "--folds", "9", expect=3).stderr


def test_without_validation_samples_some_must_be_held_out(tmp_path: Path, parts: Path) -> None:
    shutil.copytree(parts, tmp_path / "parts")
    shutil.rmtree(tmp_path / "parts" / "fitting" / "validation")
    place = working(tmp_path / "work", tmp_path / "parts")
    refused = place.lsfa("tune", *WORDS, "--held-out", "0", expect=3)
    assert "no validation samples" in refused.stderr
    (place.folder / "space.toml").write_text(SPACE.partition('[[candidate]]\nname = "banks + pasted"')[0])
    done = place.lsfa("tune", *WORDS, "--held-out", "0.5", "--format", "json")
    assert "fold 1: 2 normal ones" in json.loads(done.stdout)["notes"]["samples"]


def test_clouds_are_refused(place: Place, tmp_path: Path) -> None:
    (tmp_path / "clouds").mkdir()
    told = place.lsfa("tune", "--data", "real3d_ad", "--root", str(tmp_path / "clouds"), "-c", "airplane", expect=3)
    assert "without pixels to paste defects into" in told.stderr


class AlsoTested(HeldOut):
    """The same, with the validation samples also as test samples."""

    def records(self, category: str) -> list[SampleRecord]:
        found = super().records(category)
        copies = [replace(one, name=f"test/{one.name}", split="test") for one in found if one.split == "validation"]
        return [*found, *copies]


def cells_of(around: tune_cells.Around, space: Space, base: Settings) -> list[tune_cells.Cell]:
    """The cells of all candidates on the category fitting, made."""
    planned = tune.plan(around, space, ["fitting"], base, seed=5)
    tune.run_plan(planned, tune.Budget(None), NoProgress())
    return list(planned.cells)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, parts: Path) -> tuple[tune_cells.Around, Settings]:
    """What cells are made with, in a folder of their own."""
    folder = tmp_path_factory.mktemp("made")
    dataset = tune.raster_dataset(open_dataset("synthetic", parts, test=False))
    groups = {"flat": ("bump", "dent", "warp", "hole", "scratch")}
    around = tune_cells.Around(dataset, folder, SampleCache(folder / "cache"), HoldOut(0.33, 1, 5), groups)
    base = Settings(
        ExtractSettings(pasted=4),
        AdaptSettings(steps=2, local_bank_size=2000, patches_per_sample=64, pasted_steps=20),
        BankSettings(coreset_ratio=0.02),
        ScoreSettings(),
    )
    return around, base


@pytest.mark.parametrize(
    "changes",
    [
        {"adapt": {"objective": "lsfa+pasted"}, "bank": {"blur_sigma": 2.0}},
        {"adapt": {"objective": "none"}, "score": {"fusion": "average_raw"}},
        {"adapt": {"objective": "lsfa"}, "bank": {"ocsvm": True}, "score": {"fusion": "ocsvm"}},
        {
            "adapt": {"objective": "pasted"},
            "bank": {"rgb_foreground": True},
            "score": {"image_weights": "rgb_bank=1,xyz_pasted=0.5", "map_weights": "xyz_bank=1,rgb_pasted=3"},
        },
        {"adapt": {"objective": "pasted"}, "score": {"sources": "pasted"}},
    ],
)
def test_cells_say_what_score_says(
    made: tuple[tune_cells.Around, Settings], tmp_path: Path, changes: dict[str, dict[str, Any]]
) -> None:
    around, base = made
    space = Space.model_validate({"groups": around.groups, "candidate": [{"name": "one", **changes}]})
    one = cells_of(around, space, base)[0]
    with open_features(one.features) as features:
        samples = samples_of(features, around.groups)
        image, maps = one.measuring.group(samples, "flat", features.image_size)
    count = int((samples.labels == 0).sum())
    # The same by the stages, on the same samples as test samples.
    names = {name: tmp_path / f"{name}.h5" for name in ("features", "adaptor", "bank", "scores")}
    tested = AlsoTested(around.dataset, around.hold_out)
    settings = one.settings
    assert settings.adapt is not None
    extract(tested, "fitting", names["features"], settings.extract, cache=around.cache)
    trained = settings.adapt.model_copy(update={"leave_out": ",".join(around.groups["flat"])})
    adapt(names["features"], names["adaptor"], trained)
    bank(names["features"], names["adaptor"], names["bank"], settings.bank)
    score(names["features"], names["adaptor"], names["bank"], names["scores"], settings.score)
    with open_scores(names["scores"]) as scores:
        assert scores.names == [f"test/{name}" for name in samples.names[:count]]
        name = "fused" if "fused" in scores.image else "fused_pasted"
        np.testing.assert_allclose(image[:count], scores.image[name], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(maps[:count], scores.maps[name], rtol=1e-4, atol=1e-5)
    with open_artifact(one.figures, "figures") as figures:
        assert figures.text("names") == list(samples.names)
