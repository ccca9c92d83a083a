"""A user's own parts from the camera's files to the report, by the command line."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from lsfa_cli.artifacts import open_scores
from lsfa_cli.datasets import open_dataset
from lsfa_cli.datasets.folder import Folder
from lsfa_cli.datasets.mvtec3d import Synthetic
from lsfa_cli.datasets.synthetic.camera import Camera
from tests.datasets.test_folder import write_ply
from tests.end_to_end.conftest import Lsfa, runner

STAGES = ("extract", "adapt", "bank", "score")
SCALE = 2e-5  # metres a stored unit: 0.65 m are then half of what 16 bits hold
PLACES = {"train/good": "good", "validation/good": "validation"}


def copy(parts: Path, part: Path, kinds: Sequence[str]) -> None:
    """Generated samples as a depth camera writes them: images, depth, clouds in millimetres, masks."""
    source = parts / part.name
    for folder in sorted(source.glob("*/*/rgb")):
        place = folder.parent.relative_to(source).as_posix()
        target = part / PLACES.get(place, place)
        for kind in kinds:
            (target / kind).mkdir(parents=True, exist_ok=True)
        for image in sorted(folder.iterdir()):
            xyz = tifffile.imread(folder.parent / "xyz" / f"{image.stem}.tiff")
            if "rgb" in kinds:
                shutil.copy(image, target / "rgb" / image.name)
            if "depth" in kinds:
                depth = np.rint(xyz[..., 2] / SCALE).astype(np.uint16)
                Image.fromarray(depth).save(target / "depth" / f"{image.stem}.png")
            if "xyz" in kinds:
                write_ply(target / "xyz" / f"{image.stem}.ply", xyz * np.float32(1000), width=xyz.shape[1])
        if place.startswith("test/") and place != "test/good":
            shutil.copytree(folder.parent / "gt", part / "masks" / place.removeprefix("test/"))


def camera_text(size: int = 128) -> str:
    camera = Camera(size)
    return (
        f"[camera]\nfx = {camera.focal_pixels}\nfy = {camera.focal_pixels}\n"
        f"cx = {camera.centre}\ncy = {camera.centre}\n[depth]\nscale = {SCALE}\n"
    )


@pytest.fixture
def lsfa(tmp_path: Path) -> Lsfa:
    run = runner(tmp_path, tmp_path / "own")

    def own(*arguments: str, expect: int = 0, **more: str):  # type: ignore[no-untyped-def]  # as the runner's
        return run(*arguments, expect=expect, LSFA_DATA="folder", **more)

    return own


def modalities(scores: Path) -> set[str]:
    with open_scores(scores) as opened:
        return {name.partition("_")[0] for name in opened.image}


def test_colour_and_depth(tmp_path: Path, parts: Path, lsfa: Lsfa) -> None:
    part = tmp_path / "own/fitting"
    told = lsfa("data", "init", str(part)).stderr
    assert f"made {part / 'lsfa-part.toml'}" in told
    copy(parts, part, ("rgb", "depth"))
    removed = sorted((part / "masks").rglob("*.png"))[0]
    removed.unlink()
    error = lsfa("extract", expect=3).stderr
    assert "[camera] lacks fx, fy, cx, cy" in error
    assert str(part / "lsfa-part.toml") in error

    template = (part / "lsfa-part.toml").read_text()
    (part.parent / "lsfa-part.toml").write_text(camera_text())
    shown = lsfa("data", "fit", str(part.parent), "--dry-run").stdout
    assert "plane_inlier_distance = " in shown
    assert "0.004, the default" in shown
    assert (part / "lsfa-part.toml").read_text() == template
    assert "written to" in lsfa("data", "fit", str(part.parent)).stderr
    assert "already says so" in lsfa("data", "fit", str(part.parent)).stderr

    for stage in STAGES:
        lsfa(stage)
    scores = tmp_path / "lsfa-work/folder/fitting/scores.h5"
    assert modalities(scores) == {"rgb", "xyz", "fused"}
    rows = json.loads(lsfa("report", "--format", "json").stdout)["results"]
    assert {row["modality"] for row in rows} == {"rgb", "xyz", "rgb+xyz"}
    assert {row["metric"] for row in rows} == {"i_auroc", "p_auroc", "aupro"}
    assert "up to date" in lsfa("extract").stderr
    text = (part.parent / "lsfa-part.toml").read_text()
    (part.parent / "lsfa-part.toml").write_text(text.replace(f"scale = {SCALE}", f"scale = {2 * SCALE}"))
    assert "up to date" not in lsfa("extract", "--dry-run").stderr


def test_depth_gives_the_cloud_that_the_generator_wrote(tmp_path: Path, parts: Path) -> None:
    copy(parts, tmp_path / "own/fitting", ("rgb", "depth"))
    (tmp_path / "own/lsfa-part.toml").write_text(camera_text())
    published, own = Synthetic(parts), Folder(tmp_path / "own")
    assert [record.name for record in own.records("fitting")] == [
        record.name for record in published.records("fitting")
    ]
    for expected, found in zip(published.records("fitting"), own.records("fitting"), strict=True):
        one, other = published.read(expected), own.read(found)
        np.testing.assert_array_equal(one.rgb, other.rgb)
        np.testing.assert_array_equal(one.valid, other.valid)
        np.testing.assert_array_equal(one.mask, other.mask)
        np.testing.assert_allclose(one.xyz, other.xyz, atol=SCALE)


def test_images_alone(tmp_path: Path, parts: Path, lsfa: Lsfa) -> None:
    source, part = parts / "cover", tmp_path / "own/cover"
    for folder in sorted(source.glob("*/*/rgb")):
        place = folder.parent.relative_to(source).as_posix()
        target = part / PLACES.get(place, place)
        target.mkdir(parents=True)
        for image in sorted(folder.iterdir()):
            with Image.open(image) as opened:
                opened.save(target / f"{image.stem} ü.jpg", quality=95)
    assert "images alone" in lsfa("data", "fit", str(part), expect=3).stderr
    lsfa("run", "--no-baseline", "--root", str(part))
    assert modalities(tmp_path / "lsfa-work/folder/cover/scores.h5") == {"rgb"}
    rows = json.loads(lsfa("report", "--format", "json").stdout)["results"]
    assert {row["modality"] for row in rows} == {"rgb"}
    assert {row["metric"] for row in rows if row["value"] is not None} == {"i_auroc"}  # nobody has drawn masks
    error = lsfa("extract", "--root", str(part), "--modality", "xyz", expect=3).stderr
    assert "has no 3D scans" in error


def test_clouds_alone(tmp_path: Path, parts: Path, lsfa: Lsfa) -> None:
    part = tmp_path / "own/fitting"
    copy(parts, part, ("xyz",))
    (part / "lsfa-part.toml").write_text('# millimetres\n[cloud]\nunit = "mm"\n')
    lsfa("data", "fit", str(part))
    text = (part / "lsfa-part.toml").read_text()
    assert text.startswith("# millimetres\n[cloud]\nunit = ")
    assert "[preprocessing]" in text
    lsfa("run", "--no-baseline")
    assert modalities(tmp_path / "lsfa-work/folder/fitting/scores.h5") == {"xyz"}
    rows = json.loads(lsfa("report", "--format", "json").stdout)["results"]
    assert {row["modality"] for row in rows} == {"xyz"}
    assert {row["metric"] for row in rows} == {"i_auroc", "p_auroc", "aupro"}


def test_good_parts_alone_reach_the_bank(tmp_path: Path, parts: Path, lsfa: Lsfa) -> None:
    part = tmp_path / "own/fitting"
    copy(parts, part, ("xyz",))
    shutil.rmtree(part / "test")
    (part / "lsfa-part.toml").write_text('[cloud]\nunit = "mm"\n')
    for stage in ("extract", "adapt", "bank"):
        lsfa(stage)
    assert (tmp_path / "lsfa-work/folder/fitting/bank.h5").is_file()
    error = lsfa("score", expect=3).stderr
    assert "has no test samples to score" in error
    assert "Add test samples" in error


def test_data_list_tells_of_own_parts(lsfa: Lsfa) -> None:
    assert "folder\n    Your own parts" in lsfa("data", "list").stdout


def test_the_table_opens_a_folder_of_parts(tmp_path: Path, parts: Path) -> None:
    copy(parts, tmp_path / "own/fitting", ("xyz",))
    assert isinstance(open_dataset("folder", tmp_path / "own"), Folder)
