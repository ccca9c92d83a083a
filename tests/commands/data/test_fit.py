"""`lsfa data fit` on folders that are none, and what it and `lsfa data init` tell to type next."""

import shlex
from pathlib import Path

from typer.testing import CliRunner, Result

from lsfa_cli.commands import app
from tests.datasets.folder_trees import write_category


def data(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["data", *arguments], prog_name="lsfa")


def test_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    folder = tmp_path / "no such part"
    done = data("fit", str(folder))
    assert done.exit_code == 3
    assert f"{folder} does not exist" in done.stderr
    assert f"lsfa data init '{folder}'" in done.stderr
    assert "--root" not in done.stderr


def test_commands_to_type_next_can_be_typed(tmp_path: Path) -> None:
    folder = tmp_path / "Nr. 5"
    told = data("init", str(folder)).stderr
    assert shlex.split(told.strip().rpartition("lsfa ")[2]) == ["data", "fit", str(folder)]
    write_category(folder)
    done = data("fit", str(folder))
    assert done.exit_code == 0, done.stderr
    words = shlex.split(done.stderr.strip().rpartition("lsfa ")[2])
    assert words == ["data", "check", "folder", "--root", str(folder)]
