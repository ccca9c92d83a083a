"""The page of evidence, written from the tables that `lsfa study` wrote (`docs/evidence/*.json`).

MkDocs calls `on_files` at each build (see mkdocs.yml): no figure is copied by hand. A file is called
STUDY-DATASET-CATEGORIES-FEATURES.json; `evidence/README.md` has the commands that made them.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from lsfa_cli.tables.results import METRIC_TITLES, MODALITY_ORDER

FOLDER = Path(__file__).parent / "evidence"
COLUMNS = {"rgb": "RGB", "xyz": "3D", "rgb+xyz": "both"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the page to those that MkDocs found (a hook: MkDocs calls it by this name)."""
    files.append(File.generated(config, "explanation/evidence.md", content=page(FOLDER)))
    return files


def page(folder: Path) -> str:
    """The page: one section a study, in it one part a data set and features."""
    parts = [(folder / "README.md").read_text(encoding="utf-8").strip()]
    heading = ""
    for path in sorted(folder.glob("*.json")):
        document = json.loads(path.read_text(encoding="utf-8"))
        study = document["caption"].removeprefix("Study ").partition(" on ")[0]
        notes = document["notes"]
        if study != heading:
            heading = study
            parts += [f"## {study}", notes["question"]]
        data = document["caption"].partition(" on ")[2]
        parts.append(f"### {study}: {data} {notes['categories']}, {notes['features']}")
        parts += [_table(document["rows"], metric) for metric in _metrics(document["rows"])]
        shown = ("seeds", "settings", *(name for name in notes if name.startswith("choosing")))
        parts.append("\n".join(f"- {name}: {notes[name]}" for name in shown if name in notes))
    return "\n\n".join(parts) + "\n"


def _metrics(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    present = {row["metric"] for row in rows}
    return [metric for metric in METRIC_TITLES if metric in present]


def _table(rows: Sequence[Mapping[str, Any]], metric: str) -> str:
    """One metric: a line a variant; what stands alone as a figure, all else as a difference."""
    cells = {(row["variant"], row["modality"]): row for row in rows if row["metric"] == metric}
    modalities = [name for name in MODALITY_ORDER if any(name == modality for _, modality in cells)]
    lines = [
        f"| {METRIC_TITLES[metric]} | {' | '.join(COLUMNS[name] for name in modalities)} |",
        f"| --- {'| --- ' * len(modalities)}|",
    ]
    for variant in dict.fromkeys(variant for variant, _ in cells):
        found = [cells.get((variant, modality)) for modality in modalities]
        other = next((row["versus"] for row in found if row and row["versus"]), None)
        name = f"{variant} minus {other}" if other else variant
        lines.append(f"| {name} | {' | '.join(_cell(row) for row in found)} |")
    return "\n".join(lines)


def _cell(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return ""
    if row["difference"] is None:
        return _estimate(row["figure"], ".3f")
    return f"{_estimate(row['difference'], '+.3f')} p {row['p_value']:.2g}"


def _estimate(estimate: Mapping[str, float], form: str) -> str:
    return f"{estimate['value']:{form}} ({estimate['low']:{form}}, {estimate['high']:{form}})"
