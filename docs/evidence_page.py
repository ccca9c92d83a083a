"""The page of evidence, written from the tables that `lsfa study` wrote (`docs/evidence/*.json`).

MkDocs calls `on_files` at each build (see mkdocs.yml): no figure is copied by hand. A file is called
STUDY-DATASET-CATEGORIES-FEATURES.json; `evidence/README.md`, the head of the page, has the commands that made them.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from lsfa_cli.tables.formats import markdown_of
from lsfa_cli.tables.results import METRIC_TITLES, MODALITY_ORDER
from lsfa_cli.tables.studies import JSON_SCHEMA, JSON_SCHEMA_VERSION

FOLDER = Path(__file__).parent / "evidence"
COLUMNS = {"rgb": "RGB", "xyz": "3D", "rgb+xyz": "both"}
SIDES = ("above", "across", "below")

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Part:
    """One study of one data set with one pair of features: the content of one file."""

    study: str
    data: str
    notes: Mapping[str, str]
    rows: Sequence[Row]

    @property
    def metrics(self) -> list[str]:
        """Those that were measured, in the order of all tables."""
        present = {row["metric"] for row in self.rows}
        return [metric for metric in METRIC_TITLES if metric in present]

    @property
    def title(self) -> str:
        """What was measured on what."""
        return f"{self.study}: {self.data} {self.notes['categories']}, {self.notes['features']}"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the page to those that MkDocs found (a hook: MkDocs calls it by this name)."""
    files.append(File.generated(config, "explanation/evidence.md", content=page(FOLDER)))
    return files


def page(folder: Path) -> str:
    """The page: what the tables come to, then one section a study, in it one part a data set and features.

    Raises ValueError for a file that no study wrote, which stops the build.
    """
    parts = [read_part(path) for path in sorted(folder.glob("*.json"))]
    blocks = [(folder / "README.md").read_text(encoding="utf-8").strip()]
    blocks += ["## All differences", _overview(parts)] if parts else ["No table has been made yet."]
    for study in dict.fromkeys(part.study for part in parts):
        own = [part for part in parts if part.study == study]
        blocks += [f"## {markdown_of(study)}", markdown_of(own[0].notes["question"])]
        for part in own:
            blocks += _section(part)
    return "\n\n".join(blocks) + "\n"


def read_part(path: Path) -> Part:
    """The content of a file. Raises ValueError where it is no table of a study."""
    document = json.loads(path.read_text(encoding="utf-8"))
    if (document.get("schema"), document.get("schema_version")) != (JSON_SCHEMA, JSON_SCHEMA_VERSION):
        raise ValueError(f"{path}: not what lsfa study --format json writes today")
    study, _, data = document["caption"].removeprefix("Study ").partition(" on ")
    return Part(PurePosixPath(study).stem, data, document["notes"], document["rows"])


def _section(part: Part) -> Iterator[str]:
    yield f"### {markdown_of(part.title)}"
    for metric in part.metrics:
        yield _table(part.rows, metric)
    shown = [name for name in ("test samples", "seeds", "settings", "(?)") if name in part.notes]
    shown += [name for name in part.notes if name.startswith("choosing")]
    yield "\n".join(f"- {markdown_of(name)}: {markdown_of(part.notes[name])}" for name in shown)


def _overview(parts: Sequence[Part]) -> str:
    """How many of each file's differences have an interval above 0, across 0 and below 0."""
    metrics = [metric for metric in ("i_auroc", "p_auroc", "aupro") if any(metric in part.metrics for part in parts)]
    lines = [
        "Of each table's differences (variants and modalities), how many have their interval above 0, across it, and "
        "below it. Not all speak of adaptation, and one in twenty intervals misses 0 by chance where there is no "
        "difference.",
        "",
        f"| study | {' | '.join(METRIC_TITLES[metric] for metric in metrics)} |",
        f"| --- {'| --- ' * len(metrics)}|",
    ]
    for part in parts:
        counts = (_sides(part.rows, metric) for metric in metrics)
        cells = (" / ".join(str(count[side]) for side in SIDES) for count in counts)
        lines.append(f"| {markdown_of(part.title)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _sides(rows: Sequence[Row], metric: str) -> dict[str, int]:
    """How many differences of a metric lie on each side of 0 with their whole interval."""
    count = dict.fromkeys(SIDES, 0)
    for row in rows:
        if row["metric"] == metric and row["difference"] is not None:
            low, high = row["difference"]["low"], row["difference"]["high"]
            count["above" if low > 0 else "below" if high < 0 else "across"] += 1
    return count


def _table(rows: Sequence[Row], metric: str) -> str:
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
        lines.append(f"| {markdown_of(name)} | {' | '.join(_cell(row) for row in found)} |")
    return "\n".join(lines)


def _cell(row: Row | None) -> str:
    if row is None:
        return ""
    paper = "" if row["published"] is None else f"; paper {row['published']:.3f}{' (?)' if row['doubts'] else ''}"
    if row["difference"] is None:
        return _estimate(row["figure"], ".3f") + paper
    return f"{_estimate(row['difference'], '+.3f')} p {row['p_value']:.2g} (is {row['figure']['value']:.3f}{paper})"


def _estimate(estimate: Mapping[str, float], form: str) -> str:
    return f"{estimate['value']:{form}} ({estimate['low']:{form}}, {estimate['high']:{form}})"
