import dataclasses
import os
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from lsfa_cli.commands import app
from lsfa_cli.commands.data.options import PREPROCESSING
from lsfa_cli.datasets.synthetic import generate
from lsfa_cli.preprocessing import PreprocessOptions
from lsfa_cli.settings import ExtractSettings


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    root = tmp_path_factory.mktemp("parts")
    generate(root, categories=["cover"], size=96, train=2, validation=0, test_good=1, test_per_defect=1, jobs=1)
    return root


def show(root, *arguments, folder):
    before = Path.cwd()
    os.chdir(folder)
    try:
        arguments = ["data", "show", *arguments, "--data", "synthetic", "--root", str(root)]
        return CliRunner().invoke(app, arguments, prog_name="lsfa")
    finally:
        os.chdir(before)


def test_the_picture_is_where_it_says(parts, tmp_path):
    result = show(parts, "test/rib/000", folder=tmp_path)
    assert result.exit_code == 0, result.stderr
    assert result.stdout == "cover-test-rib-000.png\n"
    assert "as it is: points: " in result.stderr
    with Image.open(tmp_path / "cover-test-rib-000.png") as picture:
        assert picture.width == 1080


def test_a_name_of_ones_own(parts, tmp_path):
    result = show(parts, "test/rib/000", "--out", "deep/a.png", "-q", folder=tmp_path)
    assert result.stdout == "deep/a.png\n"
    assert result.stderr == ""
    assert (tmp_path / "deep" / "a.png").is_file()


def test_preprocessed_with_a_setting(parts, tmp_path):
    arguments = ["test/rib/000", "--preprocessed", "--image-size", "64", "--no-remove-plane"]
    result = show(parts, *arguments, folder=tmp_path)
    assert result.stdout == "cover-test-rib-000-preprocessed.png\n"
    assert "preprocessed: size: 64 x 64 pixels" in result.stderr


def test_wrong_sample(parts, tmp_path):
    result = show(parts, "test/rib/00", folder=tmp_path)
    assert result.exit_code == 2
    assert "Did you mean 'test/rib/000'?" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_wrong_setting(parts, tmp_path):
    result = show(parts, "test/rib/000", "--image-size", "1", folder=tmp_path)
    assert result.exit_code == 2


def test_the_flags_are_all_settings_of_preprocessing():
    """But for the finer image, which only backbones see."""
    needed = {field.name for field in dataclasses.fields(PreprocessOptions)} - {"rgb_fine"}
    assert needed <= set(PREPROCESSING)
    assert set(PREPROCESSING) <= set(ExtractSettings.model_fields)
    assert len(set(PREPROCESSING)) == len(PREPROCESSING)
