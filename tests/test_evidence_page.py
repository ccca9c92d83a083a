"""The page of evidence: what it makes of the files that `lsfa study --format json` writes."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from lsfa_cli.tables.studies import Estimate, StudyRow, render_study

DOCS = Path(__file__).parent.parent / "docs"
NOTES = {"question": "Does it help?", "categories": "cookie", "features": "rgb a; xyz b_c", "seeds": "0, 1"}
ROWS = [
    StudyRow("i_auroc", "rgb", "none", Estimate(0.8, 0.7, 0.9)),
    StudyRow("i_auroc", "rgb+xyz", "none", Estimate(0.9, 0.8, 1.0), published=0.929, doubts=("a slip",)),
    *(
        StudyRow("i_auroc", "rgb", name, Estimate(0.8 + by, 0.7, 0.9), "none", Estimate(by, by - 0.02, by + 0.02), 0.25)
        for name, by in (("better", 0.03), ("same", 0.01), ("worse", -0.03), ("worst", -0.04))
    ),
]


@pytest.fixture(scope="module")
def evidence() -> ModuleType:
    """The hook, as MkDocs loads it: from its file."""
    spec = importlib.util.spec_from_file_location("evidence_page", DOCS / "evidence_page.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
    return module


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "README.md").write_text("# Evidence\n\nHow it was made.\n")
    return tmp_path


def write(folder: Path, name: str, study: str) -> None:
    text = render_study(ROWS, "json", caption=f"Study {study} on mvtec3d", notes=NOTES)
    (folder / name).write_text(text)


def test_without_tables_the_page_says_so(evidence: ModuleType, folder: Path) -> None:
    assert evidence.page(folder) == "# Evidence\n\nHow it was made.\n\nNo table has been made yet.\n"


def test_figures_differences_and_the_paper_stand_in_one_table(evidence: ModuleType, folder: Path) -> None:
    write(folder, "components-mvtec3d-cookie-a+b.json", "components")
    lines = evidence.page(folder).splitlines()
    assert lines[lines.index("## components") + 2] == "Does it help?"
    assert "### components: mvtec3d cookie, rgb a; xyz b_c" in lines
    table = lines.index("| I-AUROC | RGB | both |")
    assert lines[table + 2] == "| none | 0.800 (0.700, 0.900) | 0.900 (0.800, 1.000); paper 0.929 (?) |"
    assert lines[table + 3] == "| better minus none | +0.030 (+0.010, +0.050) p 0.25 (is 0.830) |  |"
    assert "- seeds: 0, 1" in lines


def test_the_overview_counts_the_sides_of_the_intervals(evidence: ModuleType, folder: Path) -> None:
    write(folder, "components-mvtec3d-cookie-a+b.json", "components")
    assert "| components: mvtec3d cookie, rgb a; xyz b_c | 1 / 1 / 2 |" in evidence.page(folder)


def test_files_of_one_study_stand_together(evidence: ModuleType, folder: Path) -> None:
    write(folder, "a.json", "own/choices.toml")
    write(folder, "b.json", "adaptors")
    write(folder, "c.json", "own/choices.toml")
    headings = [line.partition(":")[0] for line in evidence.page(folder).splitlines() if line.startswith("##")]
    assert headings == ["## All differences", "## choices", "### choices", "### choices", "## adaptors", "### adaptors"]


def test_what_no_study_wrote_stops_the_build(evidence: ModuleType, folder: Path) -> None:
    (folder / "other.json").write_text("{}")
    with pytest.raises(ValueError, match=r"other\.json: not what lsfa study"):
        evidence.page(folder)


def test_the_committed_tables_make_a_page(evidence: ModuleType) -> None:
    text = evidence.page(DOCS / "evidence")
    assert text.startswith("# Evidence")
    assert text.count("\n### ") == len(list((DOCS / "evidence").glob("*.json")))
