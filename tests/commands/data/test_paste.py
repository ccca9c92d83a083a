import os
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from lsfa_cli.commands import app
from lsfa_cli.commands.data.paste import FINDING
from lsfa_cli.datasets.synthetic import generate
from lsfa_cli.pasting import KINDS
from tests.datasets import folder_trees, mvtec2d_trees, real3d_trees
from tests.datasets.trees import write_png


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    root = tmp_path_factory.mktemp("parts")
    generate(root, categories=["cover"], size=96, train=3, validation=0, test_good=1, test_per_defect=1, jobs=1)
    return root


def paste(root, *arguments, folder, data="synthetic"):
    before = Path.cwd()
    os.chdir(folder)
    try:
        return CliRunner().invoke(
            app, ["data", "paste", *arguments, "--data", data, "--root", str(root)], prog_name="lsfa"
        )
    finally:
        os.chdir(before)


def test_a_row_for_every_kind(parts, tmp_path):
    result = paste(parts, folder=tmp_path)
    assert result.exit_code == 0, result.stderr
    assert result.stdout == "cover-pasted.png\n"
    for kind in KINDS:
        assert result.stderr.count(f"train/good/000#{kind}-0: ") == 1
    with Image.open(tmp_path / "cover-pasted.png") as picture:
        assert picture.width == 1080
        assert picture.height > 1000


def test_kinds_and_samples_of_ones_choice(parts, tmp_path):
    result = paste(parts, "-k", "dent", "-k", "stain", "-n", "2", "--out", "deep/a.png", folder=tmp_path)
    assert result.stdout == "deep/a.png\n"
    names = [line.split(":")[0] for line in result.stderr.splitlines()]
    assert names == [f"train/good/{stem}#{kind}-0" for kind in ("dent", "stain") for stem in ("000", "002")]
    assert "points moved up to" in result.stderr


def test_equal_seeds_give_equal_pictures(parts, tmp_path):
    for name, seed in (("a.png", "1"), ("b.png", "1"), ("c.png", "2")):
        assert paste(parts, "-k", "bump", "--seed", seed, "--out", name, folder=tmp_path).exit_code == 0
    first, again, other = ((tmp_path / name).read_bytes() for name in ("a.png", "b.png", "c.png"))
    assert first == again
    assert first != other


def test_an_unknown_kind(parts, tmp_path):
    result = paste(parts, "-k", "bumb", folder=tmp_path)
    assert result.exit_code == 2
    assert "Did you mean 'bump'?" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_category(parts, tmp_path):
    result = paste(parts, "-c", "cove", folder=tmp_path)
    assert result.exit_code == 2
    assert "Did you mean 'cover'?" in result.stderr


def test_unorganized_clouds(tmp_path):
    real3d_trees.write_category(tmp_path / "clouds" / "pebble")
    result = paste(tmp_path / "clouds", folder=tmp_path, data="real3d_ad")
    assert result.exit_code == 3
    assert "unorganized clouds" in result.stderr


def test_images_alone(tmp_path):
    mvtec2d_trees.write_category(tmp_path / "images" / "cloth")
    result = paste(tmp_path / "images", "-k", "stain", folder=tmp_path, data="mvtec2d")
    assert result.exit_code == 0, result.stderr
    assert "points moved" not in result.stderr


def test_scans_alone_have_no_stains(tmp_path):
    part = tmp_path / "parts" / "block"
    for number in range(2):
        write_png(part / "good" / "depth" / f"{number}.png", folder_trees.depth(number))
    (part / "lsfa-part.toml").write_text(folder_trees.CAMERA)
    result = paste(part.parent, "-k", "stain", folder=tmp_path, data="folder")
    assert result.exit_code == 3, result.stderr
    assert "stain shows in images alone" in result.stderr
    assert "Kinds for it: bump, dent" in result.stderr
    # The block's points are farther apart than those that the defaults are for.
    result = paste(part.parent, "--no-keep-largest-cluster", folder=tmp_path, data="folder")
    assert result.exit_code == 0, result.stderr
    assert "#stain" not in result.stderr
    assert "#dent-0" in result.stderr


def test_the_flags_are_settings_that_find_the_part():
    assert "plane_removal_distance" in FINDING
    assert "image_size" not in FINDING
    assert not {"seed", "cloud_spacing", "pad_multiple"} & set(FINDING)
