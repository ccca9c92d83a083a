"""Up to date, stale, and the record of a run."""

import json
import shlex
from pathlib import Path

import pytest

from lsfa_cli.artifacts.description import describe
from lsfa_cli.artifacts.lineage import RunRecord, command_for, require_made_from, why_outdated, write_run_record
from lsfa_cli.artifacts.store import create, open_artifact
from lsfa_cli.errors import StaleArtifactError
from tests.artifacts.test_store import INPUTS, SETTINGS, fill, make


def test_same_settings_and_inputs_are_up_to_date(tmp_path: Path) -> None:
    path = make(tmp_path / "adaptor.h5")
    assert why_outdated(path, "adaptor", settings=SETTINGS, inputs=INPUTS) is None


@pytest.mark.parametrize(
    ("settings", "inputs", "reason"),
    [
        ({**SETTINGS, "steps": 4}, INPUTS, "setting steps changed from 3 to 4"),
        ({**SETTINGS, "new": 1}, INPUTS, "setting new changed from nothing to 1"),
        (SETTINGS, {"features": "b" * 64}, "input features changed from aaaaaaaaaaaa to bbbbbbbbbbbb"),
        (SETTINGS, {}, "input features changed from aaaaaaaaaaaa to nothing"),
    ],
)
def test_a_difference_is_named(tmp_path: Path, settings: dict, inputs: dict, reason: str) -> None:
    path = make(tmp_path / "adaptor.h5")
    assert why_outdated(path, "adaptor", settings=settings, inputs=inputs) == reason


def test_missing_and_damaged_are_outdated(tmp_path: Path) -> None:
    path = tmp_path / "adaptor.h5"
    assert why_outdated(path, "adaptor", settings={}, inputs={}) == "it does not exist yet"
    path.write_text("damaged")
    reason = why_outdated(path, "adaptor", settings={}, inputs={})
    assert reason is not None
    assert "cannot be read" in reason


def test_require_made_from(tmp_path: Path) -> None:
    source = make(tmp_path / "adaptor.h5")
    with open_artifact(source) as made:
        inputs = {"adaptor": made.content_hash}
    for name, recorded in (("same", inputs), ("other", {"adaptor": "c" * 64}), ("none", {})):
        with create(tmp_path / f"{name}.h5", "adaptor", settings={}, inputs=recorded) as writer:
            fill(writer)
    with open_artifact(source) as made:
        with open_artifact(tmp_path / "same.h5") as same:
            require_made_from(same, "adaptor", made, "lsfa bank")
            with pytest.raises(StaleArtifactError, match="made from the input 'adaptor', which is not here"):
                require_made_from(same, "adaptor", None, "lsfa bank")
        with (
            open_artifact(tmp_path / "other.h5") as other,
            pytest.raises(StaleArtifactError, match="Run: lsfa bank --category x"),
        ):
            require_made_from(other, "adaptor", made, "lsfa bank --category x")
        with (
            open_artifact(tmp_path / "none.h5") as none,
            pytest.raises(StaleArtifactError, match="was made without"),
        ):
            require_made_from(none, "adaptor", made, "lsfa bank")


def test_the_command_that_mends_can_be_typed() -> None:
    assert command_for("bank", "folder", "cover") == "lsfa bank --category cover --data folder"
    words = shlex.split(command_for("bank", "folder", "Träger Nr. 5"))
    assert words == ["lsfa", "bank", "--category", "Träger Nr. 5", "--data", "folder"]


def test_run_record_stands_beside_the_artifact(tmp_path: Path) -> None:
    path = make(tmp_path / "adaptor.h5")
    before = path.read_bytes()
    write_run_record(path, RunRecord("2026-01-01T00:00:00+00:00", 1.5, ["lsfa", "adapt"], ["careful"]))
    record = json.loads((tmp_path / "adaptor.run.json").read_text())
    assert record["artifact"] == "adaptor.h5"
    assert record["seconds"] == 1.5
    assert record["warnings"] == ["careful"]
    assert "torch" in record["versions"]
    assert path.read_bytes() == before


def test_description_tells_what_changed(tmp_path: Path) -> None:
    source = make(tmp_path / "adaptor.h5")
    with open_artifact(source) as made:
        inputs = {"adaptor": made.content_hash, "dataset": "d" * 64}
    derived = tmp_path / "derived.h5"
    with create(derived, "adaptor", settings=SETTINGS, inputs=inputs) as writer:
        fill(writer)
    document = describe(derived, verify=True)
    assert document["verified"] is True
    assert document["stale"] is False
    assert document["inputs"]["adaptor"]["state"].startswith("unchanged")
    assert document["inputs"]["dataset"]["state"].startswith("not compared")
    assert document["data_sets"]["rgb/parameters/layer.weight"]["shape"] == [3, 4]
    make(source, 0.75)
    changed = describe(derived)
    assert changed["stale"] is True
    assert "verified" not in changed
