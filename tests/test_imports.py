"""Every module imports alone, and no command's help loads a heavy package."""

import json
import pkgutil
import subprocess
import sys
from typing import Any

import pytest

import lsfa_cli
from lsfa_cli.commands import COMMANDS, every_command
from lsfa_cli.commands.data import TABLE as DATA

HEAVY = ["torch", "timm", "open3d", "faiss", "sklearn", "pandas"]

# Each module is the first of ours to be imported: those before it are forgotten. The others' packages stay loaded,
# or PyTorch alone would take a minute here.
IMPORT_EACH_ALONE = """
failed = {}
for name in given:
    for loaded in [module for module in sys.modules if module.split(".")[0] == "lsfa_cli"]:
        del sys.modules[loaded]
    try:
        importlib.import_module(name)
    except Exception as error:
        failed[name] = repr(error)
answer = failed
"""

LIST_TABLES = """
from lsfa_cli.backbones import BACKBONES
from lsfa_cli.datasets import DATASETS
answer = sorted({name.split(".")[0] for name in sys.modules})
"""

RUN_AND_LIST_MODULES = """
from lsfa_cli.__main__ import main
sys.argv = ["lsfa", *given]
try:
    main()
    code = 0
except SystemExit as leaving:
    code = leaving.code or 0
answer = [code, sorted({name.split(".")[0] for name in sys.modules})]
"""


def _in_fresh_python(script: str, given: list[str]) -> tuple[Any, str]:
    """Run a script in another interpreter; what it leaves as `answer`, and what it printed before."""
    whole = (
        f"import importlib, json, sys\ngiven = json.loads(sys.argv[1])\n{script}\nprint('\\n' + json.dumps(answer))\n"
    )
    done = subprocess.run([sys.executable, "-c", whole, json.dumps(given)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    printed, answer = done.stdout.rstrip("\n").rsplit("\n", 1)
    return json.loads(answer), printed


def _modules() -> list[str]:
    return ["lsfa_cli", *(module.name for module in pkgutil.walk_packages(lsfa_cli.__path__, "lsfa_cli."))]


def test_every_module_imports_alone() -> None:
    modules = _modules()
    assert {"lsfa_cli.__main__", "lsfa_cli.metrics", "lsfa_cli.backbones.point_mae"} <= set(modules)
    failed, _ = _in_fresh_python(IMPORT_EACH_ALONE, modules)
    assert failed == {}


def test_a_module_that_does_not_import_is_reported() -> None:
    failed, _ = _in_fresh_python(IMPORT_EACH_ALONE, ["lsfa_cli.errors", "lsfa_cli.no_such_module"])
    assert list(failed) == ["lsfa_cli.no_such_module"]


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], *([*words, "--help"] for words in every_command())], ids=" ".join
)
def test_help_loads_no_heavy_package(arguments: list[str]) -> None:
    (code, loaded), printed = _in_fresh_python(RUN_AND_LIST_MODULES, arguments)
    assert code == 0
    assert "lsfa" in printed
    assert "typer" in loaded
    assert [name for name in HEAVY if name in loaded] == []


def test_the_list_of_commands_is_the_help() -> None:
    _, printed = _in_fresh_python(RUN_AND_LIST_MODULES, ["--help"])
    assert [name for name in COMMANDS if name not in printed.split()] == []


def test_the_list_of_a_group_is_its_help_and_imports_none_of_its_commands() -> None:
    script = RUN_AND_LIST_MODULES.replace('{name.split(".")[0] for name in sys.modules}', "sys.modules")
    (_, loaded), printed = _in_fresh_python(script, ["data", "--help"])
    assert [name for name in DATA.commands if name not in printed.split()] == []
    assert [name for name in loaded if name.startswith("lsfa_cli.commands.data.")] == []


def test_tables_are_listed_without_heavy_packages() -> None:
    loaded, _ = _in_fresh_python(LIST_TABLES, [])
    assert [name for name in HEAVY if name in loaded] == []
