"""Studies that train through the backbones, by the command line: rows, what stays on the disk, resuming, refusals."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lsfa_cli.artifacts.store import open_artifact
from lsfa_cli.stages.finetune import finetune_backbones
from lsfa_cli.stages.making import Outcome
from lsfa_cli.stages.score import score
from lsfa_cli.stages.studying import cells as study_cells
from lsfa_cli.studies import studies
from tests.datasets.real3d_trees import write_category
from tests.end_to_end.conftest import Place, runner
from tests.finetuning_parts import weights_of

SETTINGS = """
[extract]
image_size = 64
xyz_grid = 16
rgb_backbone = "timm:test_vit"
rgb_weights = "test_vit.safetensors"

[finetune]
steps = 2
head_dimension = 16
patches_per_sample = 16

[adapt]
head_dimension = 16
"""
OWN = """
question = "Does training the last block help?"
baseline = "none"

[[variant]]
name = "none"
adaptor = false

[[variant]]
name = "last block"
adaptor = false
finetune = { how = "last_1" }

[[variant]]
name = "last block, whole bank"
adaptor = false
finetune = { how = "last_1" }
bank = { coreset = "all" }
"""
FITTING = ("--category", "fitting")


def furnish(folder: Path, weights: Path, parts: Path) -> Place:
    """A folder with a small network's weights, settings that are quick with it, and a study."""
    shutil.copy(weights, folder)
    (folder / "lsfa.toml").write_text(SETTINGS)
    (folder / "own.toml").write_text(OWN)
    return Place(folder, runner(folder, parts))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return weights_of(tmp_path_factory.mktemp("weights"), "test_vit")


@pytest.fixture(scope="module")
def shared_place(tmp_path_factory: pytest.TempPathFactory, weights: Path, parts: Path) -> Place:
    """One work folder for all studies, which have some cells in common."""
    return furnish(tmp_path_factory.mktemp("studies"), weights, parts)


@pytest.fixture
def own_place(tmp_path: Path, weights: Path, parts: Path) -> Place:
    return furnish(tmp_path, weights, parts)


def plain(text: str) -> str:
    return " ".join(text.split())


def cells(place: Place) -> list[str]:
    """The folders of a study's cells and of what they share, by the start of their names."""
    return sorted(path.name.partition("-")[0] for path in place.artifact("study").with_suffix("").iterdir())


def figures(document: dict[str, Any], modality: str) -> dict[str, dict[str, float]]:
    """metric -> variant -> value."""
    found: dict[str, dict[str, float]] = {}
    for row in document["rows"]:
        if row["modality"] == modality:
            found.setdefault(row["metric"], {})[row["variant"]] = row["figure"]["value"]
    return found


@pytest.mark.parametrize("name", ["peft", "finetune"])
def test_the_study_runs_and_has_its_rows(shared_place: Place, name: str) -> None:
    if name == "peft":
        pytest.importorskip("peft")
    done = shared_place.lsfa("study", name, *FITTING, "--seeds", "1", "--format", "json")
    document = json.loads(done.stdout)
    names = [variant.name for variant in studies()[name].variant]
    trained = [variant.name for variant in studies()[name].variant if variant.finetune is not None]
    for modality in ("rgb", "xyz", "rgb+xyz"):
        for values in figures(document, modality).values():
            assert list(values) == names
    # Only the images' network can be trained; with the scan's features as they were, so are its scores.
    for values in figures(document, "xyz").values():
        assert {values[variant] for variant in trained} == {values["none"]}
    assert any(values[variant] != values["none"] for values in figures(document, "rgb").values() for variant in trained)
    assert document["notes"]["backbones"] == (
        "where they are trained, rgb timm:test_vit was trained, xyz surface has no weights to train and stayed"
    )
    assert document["notes"]["features"] == "rgb timm:test_vit; xyz surface"
    assert "finetune steps 2" in document["notes"]["settings"]
    assert "xyz: surface has no weights to train; its features stay as they are" in plain(done.stderr)
    assert not {"finetuned", "features", "adaptor"} & set(cells(shared_place))


def test_the_paper_has_a_figure_for_each_modality_of_table_8(shared_place: Place) -> None:
    pytest.importorskip("peft")
    document = json.loads(shared_place.lsfa("study", "peft", *FITTING, "--seeds", "1", "--format", "json").stdout)
    paper = {
        (row["variant"], row["modality"]): row["published"] for row in document["rows"] if row["metric"] == "i_auroc"
    }
    assert [paper["AdaLoRA", modality] for modality in ("rgb", "xyz", "rgb+xyz")] == [0.8572, 0.9111, 0.9398]
    assert paper["none", "rgb+xyz"] is paper["encoder_1", "rgb+xyz"] is None


def test_a_killed_study_goes_on_where_it_was(
    own_place: Place, tmp_path: Path, weights: Path, parts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("study", "own.toml", *FITTING, "--seeds", "2")
    scored, trained = [], []

    def dies(*arguments: Any, **more: Any) -> Outcome:
        scored.append(arguments)
        if len(scored) == 3:
            raise KeyboardInterrupt
        return score(*arguments, **more)

    def counts(*arguments: Any, **more: Any) -> Outcome:
        trained.append(finetune_backbones(*arguments, **more))
        return trained[-1]

    monkeypatch.setattr(study_cells, "score", dies)
    monkeypatch.setattr(study_cells, "finetune_backbones", counts)
    own_place.lsfa(*words, expect=130)
    assert cells(own_place).count("finetuned") == cells(own_place).count("features") == 1
    resumed = own_place.lsfa(*words)
    assert "4 cells measured, 2 were there" in resumed.stderr
    # Two cells of each seed train alike: one finds what the other made, and the one that died what it had made itself.
    assert [outcome.state for outcome in trained] == ["made", "up to date", "up to date", "made", "up to date"]
    again = own_place.lsfa(*words)
    assert "0 cells measured, 6 were there" in again.stderr
    (tmp_path / "other").mkdir()
    other = furnish(tmp_path / "other", weights, parts)
    assert other.lsfa(*words).stdout == again.stdout == resumed.stdout


def test_what_training_made_stays_where_it_is_to_be_kept(own_place: Place) -> None:
    words = ("study", "own.toml", *FITTING, "--seeds", "1")
    kept = own_place.lsfa(*words, "--keep")
    assert cells(own_place).count("finetuned") == cells(own_place).count("features") == 1
    assert own_place.lsfa(*words, "--rerun").stdout == kept.stdout
    assert not {"finetuned", "features"} & set(cells(own_place))


def test_curves_are_those_of_the_backbones(own_place: Place) -> None:
    own_place.lsfa("study", "own.toml", *FITTING, "--seeds", "1", "--curves", "curves.png")
    assert (own_place.folder / "curves.png").stat().st_size > 10_000
    files = own_place.artifact("study").with_suffix("").glob("*/figures.h5")
    names = []
    for file in files:
        with open_artifact(file, "figures") as artifact:
            names.append(artifact.names("curves"))
    assert sorted(len(found) > 0 for found in names) == [False, True, True]


def change_a_sample(place: Place) -> None:
    """Another image of another part."""
    images = sorted((place.folder / "parts/fitting/train/good/rgb").iterdir())
    images[0].write_bytes(images[1].read_bytes())


def change_the_weights(place: Place) -> None:
    """Weights of another seed."""
    import torch
    from safetensors.torch import load_file, save_file

    path = place.folder / "test_vit.safetensors"
    values = load_file(path)
    generator = torch.Generator().manual_seed(1)
    name = "blocks.0.mlp.fc1.weight"
    save_file(values | {name: values[name] + torch.randn(values[name].shape, generator=generator)}, path)


@pytest.mark.parametrize("change", [change_a_sample, change_the_weights])
def test_figures_follow_the_samples_and_the_weights(
    own_place: Place, parts: Path, change: Callable[[Place], None]
) -> None:
    shutil.copytree(parts, own_place.folder / "parts")
    words = ("study", "own.toml", *FITTING, "--seeds", "1", "--root", "parts")
    first = own_place.lsfa(*words)
    assert "0 cells measured" in own_place.lsfa(*words).stderr
    change(own_place)
    again = own_place.lsfa(*words)
    assert "3 cells measured, 0 were there" in again.stderr
    assert again.stdout != first.stdout


def test_a_training_that_stopped_is_told_at_the_foot(own_place: Place) -> None:
    collapsing = "finetune = { how = 'all', learning_rate = 0.05, steps = 6, guard_interval = 1 }"
    text = OWN[: OWN.rindex("[[variant]]")].replace('finetune = { how = "last_1" }', collapsing)
    (own_place.folder / "own.toml").write_text(text)
    done = own_place.lsfa("study", "own.toml", *FITTING, "--seeds", "1", "--format", "json")
    remark = json.loads(done.stdout)["notes"]["remark on last block"]
    assert remark.startswith("1 of 1 cell; the first: training through the backbone stopped: collapse at step")


def test_a_dry_run_tells_what_training_takes(own_place: Place) -> None:
    words = ("study", "own.toml", *FITTING, "--seeds", "2")
    planned = own_place.lsfa(*words, "--dry-run").stdout
    assert re.fullmatch(r"own.toml: would measure 6 cells: about \d+ (s|min), [\d.]+ [MG]B of memory\n", planned)
    assert not own_place.artifact("study").with_suffix("").exists()
    own_place.lsfa(*words)
    assert "would measure 0 cells" in own_place.lsfa(*words, "--dry-run").stdout
    alone = own_place.lsfa("finetune", *FITTING, "--dry-run").stdout
    assert re.search(r"about \d+ (s|min), [\d.]+ [MG]B of memory", plain(alone))


def test_without_a_backbone_that_can_be_trained_the_other_rows_are_there(own_place: Place) -> None:
    (own_place.folder / "lsfa.toml").write_text("[extract]\nimage_size = 64\nxyz_grid = 16\n")
    words = ("study", "own.toml", *FITTING, "--seeds", "1")
    refused = own_place.lsfa(*words, expect=1)
    assert "nothing to train: texture and surface have no weights" in plain(refused.stderr)
    assert "| none" in refused.stdout
    assert "| last block" not in refused.stdout
    dry = own_place.lsfa(*words, "--dry-run")
    assert "nothing to train" in plain(dry.stderr)
    assert "would measure 0 cells" in dry.stdout


def test_unorganized_clouds_are_refused_cell_by_cell(own_place: Place, tmp_path: Path) -> None:
    write_category(tmp_path / "clouds" / "duck", train=2, test=2)
    (own_place.folder / "lsfa.toml").write_text("[extract]\nxyz_backbone = 'coordinates'\n")
    words = ("--data", "real3d_ad", "--root", str(tmp_path / "clouds"), "--seeds", "1")
    refused = own_place.lsfa("study", "own.toml", *words, expect=1)
    assert "real3d_ad has unorganized clouds" in plain(refused.stderr)
    assert "| none" in refused.stdout


def test_sensitivity_runs_and_draws_its_plot(own_place: Place) -> None:
    words = ("--batch-size", "1", "--guard-interval", "100", "--adaptor", "linear", "--plot", "sensitivity.png")
    done = own_place.lsfa("study", "sensitivity", *FITTING, "--seeds", "1", "--format", "json", *words)
    values = figures(json.loads(done.stdout), "rgb+xyz")
    for metric in ("i_auroc", "p_auroc", "aupro"):
        assert list(values[metric]) == [variant.name for variant in studies()["sensitivity"].variant]
    assert (own_place.folder / "sensitivity.png").stat().st_size > 10_000
