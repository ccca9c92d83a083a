"""A small synthetic data set, and `lsfa` as a person runs it."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from lsfa_cli.commands import app
from lsfa_cli.datasets.synthetic import generate

Result = Any  # what Typer's test runner gives: exit_code, stdout, stderr
Lsfa = Callable[..., Result]

# Small enough that a stage takes about a second.
QUICK = {
    "LSFA_ADAPT_STEPS": "4",
    "LSFA_ADAPT_LOCAL_BANK_SIZE": "2000",
    "LSFA_ADAPT_PATCHES_PER_SAMPLE": "64",
    "LSFA_ADAPT_GUARD_INTERVAL": "2",
    "LSFA_ADAPT_CFM_EPOCHS": "1",
    "LSFA_ADAPT_PASTED_STEPS": "20",
    "LSFA_EXTRACT_PASTED_AT_LEAST": "0",
    "LSFA_BANK_CORESET_RATIO": "0.02",
}


@pytest.fixture(scope="session")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two small categories in the layout of MVTec 3D-AD."""
    root = tmp_path_factory.mktemp("parts")
    generate(
        root, categories=["fitting", "cover"], size=128, train=4, validation=2, test_good=2, test_per_defect=1, jobs=1
    )
    return root


@dataclass(frozen=True)
class Place:
    """A folder to work in, and how to run `lsfa` there."""

    folder: Path
    lsfa: Lsfa

    def artifact(self, name: str, category: str = "fitting", variant: str = "") -> Path:
        """The path of an artifact."""
        return self.folder / "lsfa-work" / "synthetic" / category / variant / f"{name}.h5"


@pytest.fixture
def place(tmp_path: Path, parts: Path) -> Place:
    """An empty folder and a quick configuration by environment."""
    return Place(tmp_path, runner(tmp_path, parts))


def runner(folder: Path, parts: Path) -> Lsfa:
    """Runs `lsfa` in `folder`, in this process, so that heavy packages are imported once."""
    environment: dict[str, str | None] = {name: None for name in os.environ if name.startswith("LSFA_")}
    environment |= QUICK | {
        "LSFA_DATA": "synthetic",
        "LSFA_DATA_ROOT": str(parts),
        "LSFA_CACHE": str(folder / "cache"),
        "COLUMNS": "80",
    }

    def run(*arguments: str, expect: int = 0, **more: str) -> Result:
        before = Path.cwd()
        os.chdir(folder)
        try:
            result = CliRunner().invoke(app, arguments, env=environment | more, prog_name="lsfa")
        finally:
            os.chdir(before)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        told = f"lsfa {' '.join(arguments)}: {result.exit_code}\n{result.stdout}\n{result.stderr}"
        assert result.exit_code == expect, told
        return result

    return run
