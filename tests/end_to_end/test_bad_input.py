"""What a person gets for wrong input: a message that names the thing, and the exit code of its kind."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.end_to_end.conftest import QUICK, Place, runner

TRAIN = Path("fitting/train/good")


@pytest.fixture
def broken(tmp_path: Path, parts: Path) -> Place:
    """A copy of the parts that a test may damage: `broken.folder / "data"`."""
    shutil.copytree(parts, tmp_path / "data")
    return Place(tmp_path, runner(tmp_path, tmp_path / "data"))


def first(place: Place, kind: str) -> Path:
    return sorted((place.folder / "data" / TRAIN / kind).iterdir())[0]


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def change_cloud(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        tifffile.imwrite(path, change(tifffile.imread(path)), photometric="rgb")

    return write


def keep_few(cloud: np.ndarray) -> np.ndarray:
    """Only one small square of points is left."""
    kept = np.zeros_like(cloud)
    kept[60:68, 60:68] = (0.01, 0.01, 0.5)
    kept[60:68, 60:68] += np.random.default_rng(0).uniform(0, 1e-3, (8, 8, 3)).astype(cloud.dtype)
    return kept


DAMAGES = {
    "truncated png": ("rgb", truncate),
    "truncated tiff": ("xyz", truncate),
    "other size": ("rgb", lambda path: Image.new("RGB", (100, 80)).save(path)),
    "no point": ("xyz", change_cloud(np.zeros_like)),
    "text": ("xyz", lambda path: path.write_text("no picture")),
    "empty": ("rgb", lambda path: path.write_bytes(b"")),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_sample_is_named(broken: Place, damage: str) -> None:
    kind, change = DAMAGES[damage]
    path = first(broken, kind)
    change(path)
    done = broken.lsfa("extract", "--category", "fitting", expect=3)
    assert path.stem in done.stderr
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.strip().splitlines()) <= 3
    assert "Traceback" not in done.stderr
    assert not list(broken.folder.glob("lsfa-work/**/*.h5"))
    assert not list(broken.folder.glob("lsfa-work/**/.*"))


def test_points_that_are_not_finite_are_missing_points(broken: Place) -> None:
    path = first(broken, "xyz")
    cloud = tifffile.imread(path)
    for value, name in ((0.0, "zeros"), (np.nan, "nan"), (np.inf, "infinite")):
        changed = cloud.copy()
        changed[50:60, 50:60] = value
        tifffile.imwrite(path, changed, photometric="rgb")
        broken.lsfa("extract", "--category", "fitting", "--modality", "xyz", "--out", f"{name}.h5")
    import h5py

    with (
        h5py.File(broken.folder / "zeros.h5") as zeros,
        h5py.File(broken.folder / "nan.h5") as nan,
        h5py.File(broken.folder / "infinite.h5") as infinite,
    ):
        expected = zeros["train/xyz/values"][()]
        np.testing.assert_array_equal(nan["train/xyz/values"][()], expected)
        np.testing.assert_array_equal(infinite["train/xyz/values"][()], expected)


def test_fewer_points_than_groups_names_both_numbers(broken: Place, tmp_path: Path) -> None:
    import torch

    from lsfa_cli.backbones.point_mae import Encoder

    weights = tmp_path / "pretrain.pth"
    state = {f"module.MAE_encoder.{name}": value for name, value in Encoder().state_dict().items()}
    torch.save({"base_model": state}, weights)
    change_cloud(keep_few)(first(broken, "xyz"))
    done = broken.lsfa(
        "extract", "--category", "fitting", "--modality", "xyz", "--xyz-backbone", "point_mae",
        "--xyz-weights", str(weights), expect=3,
    )  # fmt: skip
    assert first(broken, "xyz").stem in done.stderr
    assert "1024" in done.stderr


def test_one_bad_category_does_not_stop_the_others(broken: Place) -> None:
    truncate(first(broken, "xyz"))
    done = broken.lsfa("extract", expect=3)
    assert "1 of 2 categories failed: fitting" in done.stderr
    assert broken.artifact("features", "cover").is_file()
    assert not broken.artifact("features", "fitting").exists()


USAGE = [
    (["extract", "--category", "fittng"], 2, "Did you mean 'fitting'?"),
    (["extract", "--data", "mvtec"], 2, "Did you mean 'mvtec3d'?"),
    (["extract", "--rgb-backbone", "textur"], 2, "Did you mean 'texture'?"),
    (["extract", "--xyz-backbone", "fpfh?orientt=false"], 2, "Did you mean 'orient'?"),
    (["extract", "--xyz-backbone", "texture"], 3, "cannot be the xyz backbone"),
    (["extract", "--rgb-weights", "absent.pth"], 3, "no weights file at absent.pth"),
    (["extract", "--xyz-backbone", "point_mae"], 3, "--xyz-weights"),
    (["extract", "--root", "absent"], 3, "absent does not exist"),
    (["extract", "--config", "absent.toml"], 3, "no configuration file"),
    (["adapt"], 4, "lsfa extract"),
    (["score", "--features", "absent.h5"], 4, "no features artifact at absent.h5"),
    (["report"], 4, "lsfa score"),
    (["report", "--format", "markdwn"], 2, "Did you mean 'markdown'?"),
    (["report", "--scores", "absent.h5"], 4, "no scores artifact"),
    (["list", "backbone"], 2, "Did you mean 'backbones'?"),
    (["settings", "bnak"], 2, "Did you mean 'bank'?"),
    (["inspect", "absent.h5"], 4, "no artifact at absent.h5"),
    (["extrct"], 2, "Did you mean 'extract'?"),
    (["bank", "--coreset-ratio", "2"], 2, "coreset_ratio = 2.0 (--coreset-ratio)"),
    (["bank", "--no-adaptor", "--adaptor-file", "a.h5"], 2, "contradict"),
    (["synthesize", "made", "--category", "bolt"], 2, "Known: biscuit"),
]


@pytest.mark.parametrize(
    ("arguments", "code", "message"), USAGE, ids=lambda value: " ".join(value) if isinstance(value, list) else None
)
def test_wrong_usage(place: Place, arguments: list[str], code: int, message: str) -> None:
    done = place.lsfa(*arguments, expect=code)
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_settings_of_training_are_checked(place: Place) -> None:
    place.lsfa("extract", "--category", "fitting")
    assert "Did you mean 'encoder_1'" in place.lsfa("adapt", "--adaptor", "encoder1", expect=2).stderr
    assert "unknown loss 'L_XY'" in place.lsfa("adapt", "--losses", "L_LA,L_XY", expect=2).stderr


def test_wrong_layout_says_what_was_expected(tmp_path: Path) -> None:
    (tmp_path / "data" / "something").mkdir(parents=True)
    place = Place(tmp_path, runner(tmp_path, tmp_path / "data"))
    assert "train/good" in place.lsfa("extract", expect=3).stderr


def test_pickled_weights_that_run_code_are_refused(place: Place) -> None:
    import pickle

    class Harm:
        def __reduce__(self) -> tuple:
            return (os.mkdir, (str(place.folder / "harm"),))

    path = place.folder / "weights.pth"
    path.write_bytes(pickle.dumps({"state_dict": Harm()}, protocol=2))
    done = place.lsfa(
        "extract", "--category", "fitting", "--rgb-backbone", "timm:resnet18", "--rgb-weights", str(path), expect=3
    )
    assert "weights.pth" in done.stderr
    assert not (place.folder / "harm").exists()


def test_truncated_and_foreign_artifacts(place: Place) -> None:
    place.lsfa("extract", "--category", "fitting")
    features = place.artifact("features")
    whole = features.read_bytes()
    features.write_bytes(whole[: len(whole) // 3])
    done = place.lsfa("adapt", "--category", "fitting", expect=4)
    assert "features.h5 cannot be read" in done.stderr
    features.write_bytes(whole)
    done = place.lsfa("bank", "--category", "fitting", "--adaptor-file", str(features), expect=4)
    assert "holds features, but adaptor was expected" in done.stderr


def test_unwritable_output(place: Place) -> None:
    (place.folder / "file").write_text("in the way")
    done = place.lsfa("extract", "--category", "fitting", "--out", "file/features.h5", expect=6)
    assert "cannot write" in done.stderr


@pytest.fixture
def small_disk(tmp_path: Path) -> Path:
    """A folder on a disk of a few hundred kB, which only root can make."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("a small tmpfs can be mounted by root only")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_full_disk_leaves_nothing_half_written(place: Place, small_disk: Path) -> None:
    target = small_disk / "features.h5"
    done = place.lsfa("extract", "--category", "fitting", "--out", str(target), expect=6)
    assert "disk full" in done.stderr
    assert not list(small_disk.iterdir())


@pytest.mark.parametrize("stage", ["extract", "adapt", "bank", "score"])
def test_interrupt_leaves_nothing_half_written(place: Place, stage: str) -> None:
    """Ctrl-C while the artifact is being written: exit 130, the old artifact or none, no temporary file."""
    for earlier in ("extract", "adapt", "bank", "score"):
        if earlier == stage:
            break
        place.lsfa(earlier, "--category", "fitting")
    before = sorted(path.name for path in (place.folder / "lsfa-work").rglob("*"))
    code = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs behind a shell's & ignores it
from lsfa_cli.artifacts import store
inner = store.ArtifactWriter.attribute
def attribute(self, name, value):
    inner(self, name, value)
    signal.raise_signal(signal.SIGINT)  # as if the user pressed Ctrl-C now
store.ArtifactWriter.attribute = attribute
from lsfa_cli.__main__ import main
sys.argv = ["lsfa", *sys.argv[1:]]
main()
"""
    data = place.lsfa("settings", "--json").stdout
    assert '"synthetic"' in data
    done = subprocess.run(
        [sys.executable, "-c", code, stage, "--category", "fitting"],
        cwd=place.folder,
        env={**os.environ, **environment(place)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 130, done.stderr
    assert "interrupted" in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in (place.folder / "lsfa-work").rglob("*") if path.suffix != "") == [
        name for name in before if Path(name).suffix
    ]


def environment(place: Place) -> dict[str, str]:
    """What the runner sets, for a process of its own."""
    import json

    run = json.loads(place.lsfa("settings", "--json").stdout)["run"]
    return {
        **QUICK,
        "LSFA_DATA": run["data"]["value"],
        "LSFA_DATA_ROOT": run["root"]["value"],
        "LSFA_CACHE": run["cache"]["value"],
        "OMP_NUM_THREADS": "1",
    }
