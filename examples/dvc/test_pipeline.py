"""The pipeline as a user runs it, by the real `dvc`, on small generated parts: `nox -s dvc`."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lsfa_cli.datasets.synthetic import CATEGORIES, generate

EXAMPLE = Path(__file__).parent
FILES = ("dvc.yaml", "lsfa.toml", "categories.yaml", ".dvcignore", ".gitignore")
CHOSEN = list(CATEGORIES)[:2]
STAGES = ("extract", "adapt", "bank", "score", "report")

# DVC writes its configuration and locks into the user's folders, and asks the network for news, unless told.
QUIET = {"DVC_NO_ANALYTICS": "1", "ITERATIVE_DO_NOT_TRACK": "1", "OMP_NUM_THREADS": "1"}

pytestmark = pytest.mark.skipif(shutil.which("dvc") is None, reason="dvc is not installed: nox -s dvc installs it")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the example with small data and a short training, run once."""
    folder = tmp_path_factory.mktemp("project")
    for name in FILES:
        shutil.copy(EXAMPLE / name, folder)
    generate(
        folder / "data/synthetic", categories=CHOSEN, size=128, train=5, validation=2, test_good=3, test_per_defect=1
    )
    (folder / "categories.yaml").write_text("categories:\n" + "".join(f"  - {name}\n" for name in CHOSEN))
    _set(folder, "steps = 100", "steps = 3\nbatch_size = 2")
    _set(folder, "[extract]", "[extract]\nimage_size = 112\nxyz_grid = 28")
    _dvc(folder, "init", "--no-scm", "--quiet")
    for option in ("core.analytics", "core.check_update"):
        _dvc(folder, "config", option, "false")
    assert _stages_run(folder) == {f"{stage}@{name}" for stage in STAGES for name in CHOSEN} | {"report_all"}
    return folder


def _dvc(folder: Path, *arguments: str) -> str:
    home = folder.parent / "home"
    environment = {**os.environ, **QUIET, "HOME": str(home), "XDG_CACHE_HOME": str(home), "XDG_CONFIG_HOME": str(home)}
    done = subprocess.run(["dvc", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"dvc {' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def _stages_run(folder: Path) -> set[str]:
    return set(re.findall(r"Running stage '([^']+)'", _dvc(folder, "repro")))


def _stale(folder: Path) -> set[str]:
    """The stages whose own settings or inputs changed; what follows from them is not among these."""
    return set(json.loads(_dvc(folder, "status", "--json")))


def _set(folder: Path, old: str, new: str) -> None:
    path = folder / "lsfa.toml"
    text = path.read_text()
    assert text.count(old) == 1, f"{old!r} is not in lsfa.toml exactly once"
    path.write_text(text.replace(old, new))


@contextmanager
def _changed(folder: Path, old: str, new: str) -> Iterator[None]:
    _set(folder, old, new)
    try:
        yield
    finally:
        _set(folder, new, old)


def test_every_stage_of_every_category_leaves_its_file(project: Path) -> None:
    for name in CHOSEN:
        made = {path.name for path in (project / "artifacts/synthetic" / name).glob("*.h5")}
        assert made == {"features.h5", "adaptor.h5", "bank.h5", "scores.h5"}
        assert "AUROC" in (project / "reports" / f"{name}.md").read_text()
        assert list((project / "reports" / name).glob("*.png"))
    everything = (project / "reports/all.md").read_text()
    assert [name for name in CHOSEN if name not in everything] == []


def test_a_second_run_does_nothing(project: Path) -> None:
    assert "up to date" in _dvc(project, "repro")
    assert "up to date" in _dvc(project, "status")
    assert _stages_run(project) == set()


def test_a_changed_report_setting_concerns_the_reports_only(project: Path) -> None:
    with _changed(project, 'aupro_limits = "0.3,0.05"', 'aupro_limits = "0.3"'):
        assert _stale(project) == {f"report@{name}" for name in CHOSEN} | {"report_all"}


def test_a_changed_sample_reruns_its_category_only(project: Path) -> None:
    first = CHOSEN[0]
    mask = next((project / "data/synthetic" / first / "test").glob("*/gt/*.png"))
    content = mask.read_bytes()
    mask.write_bytes(content + b"\n")
    try:
        assert _stale(project) == {f"extract@{first}"}
    finally:
        mask.write_bytes(content)


def test_lost_artifacts_come_back_from_the_cache(project: Path) -> None:
    shutil.rmtree(project / "artifacts")
    _dvc(project, "checkout")
    assert "up to date" in _dvc(project, "status")


def test_a_changed_scoring_setting_reruns_score_and_report_only(project: Path) -> None:
    before = (project / "reports/all.md").read_text()
    scoring = {f"score@{name}" for name in CHOSEN}
    with _changed(project, 'fusion = "average"', 'fusion = "average_raw"'):
        assert _stages_run(project) == scoring | {f"report@{name}" for name in CHOSEN} | {"report_all"}
        assert (project / "reports/all.md").read_text() != before
        assert _stages_run(project) == set()
    back = _dvc(project, "repro", *scoring)
    assert back.count("is cached - skipping run") == len(CHOSEN)
