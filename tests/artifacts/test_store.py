"""Artifacts: whole or not at all, the same bytes twice, and refused when they are not what they should be."""

import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from lsfa_cli.artifacts.schema import SCHEMAS
from lsfa_cli.artifacts.store import ArtifactWriter, content_hash, create, open_artifact, verify
from lsfa_cli.errors import ArtifactError, ResourceError

SETTINGS = {"steps": 3, "name": "später"}
INPUTS = {"features": "a" * 64}


def fill(writer: ArtifactWriter, value: float = 0.5) -> None:
    writer.attribute("category", "cookie")
    writer.attribute("stopped", "finished")
    writer.attribute("notes", "[]")
    writer.write("rgb/standardisation", (0.0, 1.0))
    writer.write("rgb/parameters/layer.weight", np.full((3, 4), value))
    writer.write("curves/loss", np.arange(5.0))


def make(path: Path, value: float = 0.5) -> Path:
    with create(path, "adaptor", settings=SETTINGS, inputs=INPUTS) as writer:
        fill(writer, value)
    return path


def test_what_was_written_is_read(tmp_path: Path) -> None:
    with open_artifact(make(tmp_path / "adaptor.h5"), "adaptor") as artifact:
        assert artifact.settings == SETTINGS
        assert artifact.inputs == INPUTS
        assert artifact.attributes["stopped"] == "finished"
        np.testing.assert_array_equal(artifact.read("curves/loss"), np.arange(5.0))
        assert artifact.dataset("rgb/parameters/layer.weight").dtype == np.float32
        assert artifact.names("rgb/parameters") == ["layer.weight"]


def test_equal_content_gives_equal_bytes(tmp_path: Path) -> None:
    first = make(tmp_path / "one.h5")
    time.sleep(1.1)  # times in a file count seconds
    second = make(tmp_path / "other" / "two.h5")
    assert first.read_bytes() == second.read_bytes()
    assert make(tmp_path / "three.h5", 0.25).read_bytes() != first.read_bytes()


def test_hash_sees_every_part(tmp_path: Path) -> None:
    path = make(tmp_path / "adaptor.h5")
    with h5py.File(path, "r+") as file:
        original = content_hash(file)
        assert original == file.attrs["content_hash"]
        file["curves/loss"][2] = 7.0
        assert content_hash(file) != original
        file["curves/loss"][2] = 2.0
        assert content_hash(file) == original
        file.attrs["stopped"] = "collapse"
        assert content_hash(file) != original


def test_verify_finds_a_changed_value(tmp_path: Path) -> None:
    path = make(tmp_path / "adaptor.h5")
    assert verify(path)
    with h5py.File(path, "r+") as file:
        file["curves/loss"][0] = -1.0
    assert not verify(path)


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = make(tmp_path / "adaptor.h5")
    before = path.read_bytes()

    def interrupted() -> None:
        with create(path, "adaptor", settings={}, inputs={}) as writer:
            fill(writer)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["adaptor.h5"]


def test_an_incomplete_artifact_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "bank.h5"
    with pytest.raises(ArtifactError, match="lacks the data set"), create(path, "bank", settings={}, inputs={}):
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("delay", [0.0, 0.05, 0.2])
def test_a_killed_writer_leaves_the_old_artifact(tmp_path: Path, delay: float) -> None:
    path = make(tmp_path / "adaptor.h5")
    before = path.read_bytes()
    code = f"""
        import numpy as np, sys, time
        from pathlib import Path
        from lsfa_cli.artifacts.store import create
        with create(Path({str(path)!r}), "adaptor", settings={{}}, inputs={{}}) as writer:
            print("writing", flush=True)
            for number in range(10_000):
                writer.write(f"rgb/parameters/p{{number}}", np.zeros((100, 100)))
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"writing\n"
    signal.sigtimedwait([], delay)
    process.kill()
    process.wait()
    process.stdout.close()
    assert path.read_bytes() == before
    with open_artifact(path, "adaptor"):
        pass


def test_missing_file_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="lsfa bank"), open_artifact(tmp_path / "bank.h5", "bank"):
        pass


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_truncated_file_is_refused(tmp_path: Path, share: float) -> None:
    path = make(tmp_path / "adaptor.h5")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(ArtifactError, match=r"adaptor\.h5 cannot be read"), open_artifact(path, "adaptor"):
        pass


def test_other_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "adaptor.h5"
    path.write_text("not an artifact")
    with pytest.raises(ArtifactError, match="cannot be read"), open_artifact(path, "adaptor"):
        pass
    with h5py.File(path, "w") as file:
        file["data"] = 1
    with pytest.raises(ArtifactError, match="lacks the attribute"), open_artifact(path, "adaptor"):
        pass


def test_other_schema_is_refused(tmp_path: Path) -> None:
    path = make(tmp_path / "adaptor.h5")
    with pytest.raises(ArtifactError, match="holds adaptor, but bank was expected"), open_artifact(path, "bank"):
        pass


def test_newer_version_is_refused(tmp_path: Path) -> None:
    path = make(tmp_path / "adaptor.h5")
    with h5py.File(path, "r+") as file:
        file.attrs["schema_version"] = SCHEMAS["adaptor"].version + 1
    with pytest.raises(ArtifactError, match="Update lsfa"), open_artifact(path, "adaptor"):
        pass


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("rgb/standardisation", np.zeros((2, 2)), "has shape"),
        ("rgb/standardisation", np.zeros(2, dtype=np.float32), "is float32, expected float64"),
        ("rgb/surprise", np.zeros(2), "does not know"),
    ],
)
def test_wrong_data_sets_are_refused(tmp_path: Path, name: str, values: np.ndarray, message: str) -> None:
    path = make(tmp_path / "adaptor.h5")
    with h5py.File(path, "r+") as file:
        if name in file:
            del file[name]
        file[name] = values
    with pytest.raises(ArtifactError, match=message), open_artifact(path, "adaptor"):
        pass


def test_unwritable_place_is_a_resource_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match="cannot write"):
        make(tmp_path / "file" / "adaptor.h5")


def test_unknown_names_are_programming_errors(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="no data set 'rgb/surprise'"),
        create(tmp_path / "a.h5", "adaptor", settings={}, inputs={}) as writer,
    ):
        writer.write("rgb/surprise", [1.0])
    with (
        pytest.raises(ValueError, match="no attribute 'colour'"),
        create(tmp_path / "a.h5", "adaptor", settings={}, inputs={}) as writer,
    ):
        writer.attribute("colour", "red")
