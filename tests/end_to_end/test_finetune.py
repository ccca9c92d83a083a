"""Training through a backbone by the command line: the file it makes, features from it, and what is refused."""

import json
import shutil
from pathlib import Path

import pytest

from lsfa_cli.artifacts.finetuned import finetuned_modalities, read_changes
from lsfa_cli.artifacts.store import open_artifact, verify
from tests.datasets.real3d_trees import write_category
from tests.end_to_end.conftest import Place
from tests.finetuning_parts import weights_of

SETTINGS = """
[extract]
image_size = 64
xyz_grid = 16
rgb_backbone = "timm:test_vit"
rgb_weights = "test_vit.safetensors"

[finetune]
how = "last_1"
steps = 3
head_dimension = 16
patches_per_sample = 16
"""
FITTING = ("--category", "fitting")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return weights_of(tmp_path_factory.mktemp("weights"), "test_vit")


@pytest.fixture
def small(place: Place, weights: Path) -> Place:
    """A folder with a small network's weights and settings that are quick with it."""
    shutil.copy(weights, place.folder)
    (place.folder / "lsfa.toml").write_text(SETTINGS)
    return place


def plain(text: str) -> str:
    return " ".join(text.split())


def test_from_samples_to_the_report(small: Place) -> None:
    made = small.lsfa("finetune", *FITTING, "-v")
    assert "last_1 of timm:test_vit, finished" in plain(made.stderr)
    assert "surface has no weights to train; its features stay as they are" in plain(made.stderr)
    assert "lsfa extract --category fitting --finetuned" in plain(made.stderr)
    assert "up to date" in small.lsfa("finetune", *FITTING).stderr
    file = small.artifact("finetuned")
    assert verify(file)
    with open_artifact(file, "finetuned") as artifact:
        assert finetuned_modalities(artifact) == ("rgb",)
        assert all(name.startswith("blocks.5.") for name in read_changes(artifact, "rgb", "weights"))
        assert "L_CLC" in artifact.names("curves")
    small.lsfa("extract", *FITTING)
    with open_artifact(small.artifact("features"), "features") as artifact:
        before = artifact.read("test/rgb")
    outdated = small.lsfa("extract", *FITTING, "--finetuned", str(file), "-v")
    assert "input finetuned changed from nothing" in plain(outdated.stderr)
    assert "up to date" in small.lsfa("extract", *FITTING, "--finetuned", str(file)).stderr
    with open_artifact(small.artifact("features"), "features") as artifact:
        assert (artifact.read("test/rgb") != before).any()
    for stage in ("bank", "score"):
        small.lsfa(stage, *FITTING, "--no-adaptor")
    document = json.loads(small.lsfa("report", "--format", "json").stdout)
    assert {row["method"] for row in document["results"]} == {"finetuned"}
    assert "rgb timm:test_vit, finetuned (last_1)" in document["notes"]["features"]
    assert "a backbone that was trained" in document["notes"]["methods"]
    inspected = json.loads(small.lsfa("inspect", str(small.artifact("features")), "--json").stdout)
    assert inspected["inputs"]["finetuned"]["state"].startswith("unchanged")


def test_the_file_repeats_and_follows_its_settings(small: Place) -> None:
    small.lsfa("finetune", *FITTING)
    first = small.artifact("finetuned").read_bytes()
    small.lsfa("finetune", *FITTING, "--rerun")
    assert small.artifact("finetuned").read_bytes() == first
    assert "setting how changed" in plain(small.lsfa("finetune", *FITTING, "--how", "all", "--dry-run").stdout)
    assert "setting extract changed" in plain(small.lsfa("finetune", *FITTING, "--xyz-grid", "8", "--dry-run").stdout)
    few = small.lsfa("finetune", *FITTING, "--train-samples", "2", "--out", "few.h5")
    assert "last_1" in few.stderr
    assert (small.folder / "few.h5").read_bytes() != first


def test_training_that_was_stopped_is_remarked_in_the_report(small: Place) -> None:
    words = ("--how", "all", "--learning-rate", "0.05", "--steps", "6", "--guard-interval", "1")
    assert "training stopped: collapse" in plain(small.lsfa("finetune", *FITTING, *words).stderr)
    small.lsfa("extract", *FITTING, "--finetuned", str(small.artifact("finetuned")))
    for stage in ("bank", "score"):
        small.lsfa(stage, *FITTING, "--no-adaptor")
    document = json.loads(small.lsfa("report", "--format", "json").stdout)
    assert "fitting, finetuned: training through the backbone stopped: collapse" in document["notes"]["remark 1"]


def test_weights_for_something_else_are_refused(small: Place) -> None:
    small.lsfa("finetune", *FITTING)
    file = str(small.artifact("finetuned"))
    other = small.lsfa("extract", "--category", "cover", "--finetuned", file, expect=4)
    assert "was trained on synthetic fitting, not on synthetic cover" in plain(other.stderr)
    plural = small.lsfa("extract", "--finetuned", file, expect=2)
    assert "--finetuned names one file" in plain(plural.stderr)
    depth = ("--rgb-backbone", "timm:test_vit?mean=0.1")
    stale = small.lsfa("extract", *FITTING, "--finetuned", file, *depth, expect=5)
    assert "was trained from another rgb backbone: arguments" in plain(stale.stderr)
    texture = ("--rgb-backbone", "texture")
    (small.folder / "lsfa.toml").write_text(SETTINGS.replace('rgb_weights = "test_vit.safetensors"', ""))
    assert "arguments" in small.lsfa("extract", *FITTING, "--finetuned", file, *texture, expect=5).stderr
    missing = small.lsfa("extract", *FITTING, "--finetuned", "nothing.h5", *texture, expect=4)
    assert "no finetuned artifact at nothing.h5" in plain(missing.stderr)
    # Without the images there is nothing in the file that could be used, and nothing that could be wrong.
    small.lsfa("extract", *FITTING, "--finetuned", file, "--modality", "xyz")


def test_nothing_to_train_is_a_usage_error(place: Place) -> None:
    refused = place.lsfa("finetune", *FITTING, expect=2)
    assert "nothing to train: texture and surface have no weights" in plain(refused.stderr)
    assert not place.artifact("finetuned").exists()
    assert "unknown loss" in place.lsfa("finetune", *FITTING, "--losses", "L_XX", expect=2).stderr


def test_a_backbone_for_two_sizes_of_image_is_not_trained(place: Place) -> None:
    refused = place.lsfa("finetune", *FITTING, expect=2, LSFA_EXTRACT_RGB_FINE="2")
    assert "rgb_fine = 2: a backbone for two sizes of image is not trained" in plain(refused.stderr)


def test_unorganized_clouds_are_refused(place: Place, tmp_path: Path) -> None:
    write_category(tmp_path / "clouds" / "duck", train=1, test=1, kinds=("good",))
    words = ("--data", "real3d_ad", "--root", str(tmp_path / "clouds"))
    for command in (("finetune",), ("extract", "--category", "duck", "--finetuned", "x.h5")):
        refused = place.lsfa(*command, *words, expect=2)
        assert "real3d_ad has unorganized clouds" in plain(refused.stderr)
