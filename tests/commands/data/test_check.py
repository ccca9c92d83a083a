import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from lsfa_cli.commands import app
from lsfa_cli.datasets.synthetic import generate


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    root = tmp_path_factory.mktemp("parts")
    for name in ("cover", "biscuit"):
        generate(root, categories=[name], size=96, train=4, validation=0, test_good=1, test_per_defect=1, jobs=1)
    return root


def check(root, *arguments, name="synthetic", **environment):
    arguments = ["data", "check", *([name] if name else []), "--root", str(root), "--jobs", "1", *arguments]
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "100", **environment}, prog_name="lsfa")


@pytest.fixture
def damaged(parts, tmp_path):
    root = tmp_path / "damaged"
    shutil.copytree(parts, root)
    (root / "cover/train/good/rgb/001.png").write_bytes(b"damaged")
    return root


def test_a_clean_set(parts):
    result = check(parts)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "18 samples in 2 categories: nothing found."
    assert result.stderr == ""


def test_an_error_gives_exit_code_3_and_the_table_all_the_same(damaged):
    result = check(damaged)
    assert result.exit_code == 3
    assert "error: cover, files:" in result.stdout
    assert "not usable as it is: 1 error." in result.stderr
    assert "Traceback" not in result.stdout + result.stderr


def test_a_warning_does_not(parts, tmp_path):
    shutil.copytree(parts, tmp_path / "parts")
    path = tmp_path / "parts/cover/train/good/rgb/001.png"
    Image.fromarray(np.zeros_like(np.array(Image.open(path)))).save(path)
    result = check(tmp_path / "parts")
    assert result.exit_code == 0
    assert "warning: cover, values: images of one colour." in result.stdout


def test_json_is_one_document_also_of_a_damaged_set(damaged):
    result = check(damaged, "--json", "--category", "cover")
    assert result.exit_code == 3
    document = json.loads(result.stdout)
    assert document["usable"] is False
    assert document["counts"]["error"] == 1
    assert [row["name"] for row in document["categories"]] == ["cover"]
    assert document["findings"][0]["check"] == "files"


def test_categories_and_samples_are_chosen(parts):
    result = check(parts, "--json", "--category", "biscuit", "--samples", "1")
    (category,) = json.loads(result.stdout)["categories"]
    assert category["name"] == "biscuit"
    assert (category["samples"], category["read"]) == (9, 6)


def test_a_montage(damaged, tmp_path):
    path = tmp_path / "m.png"
    result = check(damaged, "--montage", str(path))
    assert result.exit_code == 3
    with Image.open(path) as picture:
        assert picture.width == 1080
    assert f"data check: {path}" in result.stderr


def test_the_data_set_of_the_settings_is_the_default(parts):
    result = check(parts, "--json", name="", LSFA_DATA="synthetic")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["dataset"] == "synthetic"


@pytest.mark.parametrize(
    ("arguments", "name", "code", "text"),
    [
        ([], "sinthetic", 2, "Did you mean 'synthetic'?"),
        (["--category", "covr"], "synthetic", 2, "Did you mean 'cover'?"),
        (["--samples", "0"], "synthetic", 2, "--samples"),
    ],
)
def test_wrong_names_and_numbers(parts, arguments, name, code, text):
    result = check(parts, *arguments, name=name)
    assert result.exit_code == code
    assert text in result.stderr


def test_no_such_folder_and_no_category(tmp_path):
    assert check(tmp_path / "absent").exit_code == 3
    result = check(tmp_path)
    assert result.exit_code == 3
    assert "has no category" in result.stderr


def test_a_reader_that_goes_is_no_failure_of_ours(parts):
    command = [sys.executable, "-m", "lsfa_cli", "data", "check", "synthetic", "--root", str(parts), "--jobs", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 141
