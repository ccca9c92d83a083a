"""Both ways of a benchmark agree at small sizes (no time is looked at); the page of speed is what its file gives."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from lsfa_cli.errors import MissingDependencyError
from tests.benchmarks import bank_rows, extract_rows, growth, peers, report_rows, whole_stages
from tests.benchmarks.__main__ import told
from tests.benchmarks.cases import Case, DisagreementError, Target, check, measure
from tests.benchmarks.measuring import in_turn, largest_difference, machine, packages, peak_memory

ROOT = Path(__file__).parents[1]
CASES = {
    "cache": extract_rows.cached_cases,
    "farthest points": extract_rows.farthest_point_cases,
    "projection": extract_rows.projection_cases,
    "backbone": extract_rows.backbone_cases,
    "coreset": bank_rows.coreset_cases,
    "search": bank_rows.search_cases,
    "one sample": bank_rows.sample_cases,
    "maps": bank_rows.map_cases,
    "metrics": report_rows.metric_cases,
    "compactness": report_rows.compactness_cases,
    "artifacts": report_rows.artifact_cases,
}
LIMITS = {"fp32_gflops": 100.0, "bf16_gflops": 100.0, "read_gbs": 10.0}


@pytest.mark.parametrize("name", CASES)
def test_both_ways_agree(name: str) -> None:
    for case in CASES[name](True):
        assert check(case) <= case.tolerance


def test_preprocessing_keeps_the_pixels_that_open3d_keeps() -> None:
    try:
        for case in extract_rows.preprocessing_cases(True):
            check(case)
    except MissingDependencyError as error:
        pytest.skip(error.message)


def disagreeing() -> Case:
    return Case(
        row=0,
        stage="all",
        name="nothing",
        work="nothing",
        reference="nothing",
        plain=lambda: np.zeros(3),
        ours=lambda: np.array([0.0, np.nan, 0.0]),
        difference=largest_difference,
        tolerance=1.0,
        agreement="numbers",
        limit="read_gbs",
        amount=1.0,
        target=Target(kind="ratio", value=1.0),
    )


def test_results_that_differ_give_no_figure() -> None:
    with pytest.raises(DisagreementError, match="nothing: numbers differ by nan"):
        measure(disagreeing(), LIMITS, budget=0.01)


def test_runs_come_in_turn_and_the_first_is_not_counted() -> None:
    order: list[str] = []
    pairs = in_turn(lambda: order.append("a"), lambda: order.append("b"), budget=0.01, most=4)
    assert len(pairs.plain) == len(pairs.ours) == 4
    assert order == ["a", "b"] * 5


def test_peak_memory_sees_what_is_freed_again() -> None:
    peak = peak_memory(lambda: np.ones(8 * 2**20).sum())
    if peak is None:
        pytest.skip("this system does not tell")
    assert 60 * 2**20 < peak < 200 * 2**20


@pytest.mark.parametrize(("kind", "met"), [("ratio", True), ("seconds", False), ("share", False)])
def test_targets(kind: str, met: bool) -> None:
    assert Target(kind=kind, value=3.0).met(ratio=4.0, ours=4.0, share=0.5) is met


def test_the_benchmark_for_a_gpu_runs_on_the_processor_without_what_it_does_not_need() -> None:
    code = """
import sys
from tests.benchmarks import gpu
sys.argv = ["gpu", "--device", "cpu", "--small"]
code = gpu.main()
print(code, [name for name in ("open3d", "faiss", "sklearn", "pandas") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    lines = done.stdout.splitlines()
    assert lines[-1] == "0 []"
    stages = [line.split()[0] for line in lines[1:-1]]
    assert list(dict.fromkeys(stages)) == ["extract", "adapt", "bank", "score", "report", "all"]


def test_a_peer_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    absent: dict[str, str] = {}
    monkeypatch.setitem(sys.modules, "faiss", None)
    names = [one.peer for one in peers.comparisons(True, absent)]
    assert "faiss" in absent
    assert not any(name.startswith("faiss") for name in names)


def test_peers_are_measured_beside_ours() -> None:
    one = peers.search_of_faiss(True)
    row = peers.measured(one, 0.01)
    assert row["agreement"] == "50 of 50 indices equal"
    assert row["ratio"]["median"] > 0


def page_module() -> Iterator[object]:
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        import speed_page

        yield speed_page
    finally:
        sys.path.remove(str(ROOT / "docs"))


speed_page = pytest.fixture(page_module)


def test_a_page_is_made_of_what_the_benchmarks_measure(speed_page: object, tmp_path: Path) -> None:
    rows = [measure(case, LIMITS, budget=0.001) for case in bank_rows.map_cases(True)]
    assert "upsampling and blur" in told(rows[0])
    results = {
        "date": None,
        "machine": machine(),
        "packages": packages(),
        "limits": LIMITS,
        "rows": rows,
        "growth": growth.measure(True, tell=lambda _: None),
    }
    stages = {
        "machine": machine(),
        "training": 244,
        "test": 110,
        "features_bytes": 3e7,
        "stages": [whole_stages.Measured("bank", 5.0, 8.0, 2e9, 4.0, 1.5e9)._asdict() | {"most_bytes": 1e9}],
    }
    run = {
        "machine": machine(),
        "work": "a category",
        "options": ["--xyz-backbone", "fpfh"],
        "runs": [
            {
                "name": "first",
                "most_seconds": 3.0,
                "seconds": 2.0,
                "processor_seconds": 3.0,
                "import_seconds": 1.0,
                "peak_bytes": 2**30,
                "stages": [["bank", "baseline", "made", 0.5], ["score", "", "up to date", 0.0]],
                "parts": {"coreset": [0.4, 0.3], "search": [0.5, 0.2]},
            }
        ],
    }
    text = speed_page.page(json.loads(json.dumps(results)), None, stages, run)
    assert "| 9 | score: upsampling and blur |" in text
    assert "| bank | 5.00 s | 4.00 s | 8.00 s | 2.00 GB | 1.50 GB | < 1 GB: **missed** |" in text
    assert "| first | 2.00 s | 3.00 s | 1.0 GiB | 1.00 s | bank (baseline) 0.50 s | ≤ 3 s: met |" in text
    assert text.index("| search | 0.50 s | 0.20 s |") < text.index("| coreset | 0.40 s | 0.30 s |")
    assert "| metrics | 800 |" in text
    speed_page.draw_growth(results["growth"], tmp_path / "growth.svg")
    assert (tmp_path / "growth.svg").read_text().startswith("<?xml")


def test_the_committed_page_is_what_the_committed_results_give() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "speed_page.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
