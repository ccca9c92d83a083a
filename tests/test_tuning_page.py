"""The page of tuning: what it makes of the files that `lsfa tune --format json` writes."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from lsfa_cli.tables.tuning import render_tuning
from tests.tables.test_tuning import TUNED

DOCS = Path(__file__).parent.parent / "docs"


@pytest.fixture(scope="module")
def tuning() -> ModuleType:
    """The hook, as MkDocs loads it: from its file."""
    spec = importlib.util.spec_from_file_location("tuning_page", DOCS / "tuning_page.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_table_is_a_section(tuning: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# Chosen\n")
    for name in ("a", "b"):
        (tmp_path / f"{name}.json").write_text(render_tuning(TUNED, "json", caption=f"Tuning on {name}"))
    page = tuning.page(tmp_path)
    assert page.startswith("# Chosen\n\n## Tuning on a\n")
    assert page.count("\n## ") == 2
    (tmp_path / "c.json").write_text("{}")
    with pytest.raises(ValueError, match=r"c\.json: not what lsfa tune"):
        tuning.page(tmp_path)


def test_the_committed_tables_make_a_page(tuning: ModuleType) -> None:
    text = tuning.page(DOCS / "evidence" / "tuning")
    assert text.count("\n## ") == len(list((DOCS / "evidence" / "tuning").glob("*.json")))
