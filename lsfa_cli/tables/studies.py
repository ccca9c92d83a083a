"""The table of a study: every variant with its interval, its difference to another, and the paper's figure."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby

from lsfa_cli.errors import UnknownNameError
from lsfa_cli.tables.formats import FORMATS, latex_grid, latex_text_of, markdown_grid, markdown_of
from lsfa_cli.tables.layout import MISSING, Grid, Text
from lsfa_cli.tables.results import metric_title

JSON_SCHEMA = "study"
JSON_SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Estimate:
    """A value with the ends of its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class StudyRow:
    """One variant, modality and metric. pairs: how many (category, seed) pairs the p-value rests on.

    versus, difference, p_value: None for what stands alone. published: the paper's figure, with `doubts` about it.
    """

    metric: str
    modality: str
    variant: str
    figure: Estimate
    versus: str | None = None
    difference: Estimate | None = None
    p_value: float | None = None
    pairs: int = 0
    published: float | None = None
    doubts: tuple[str, ...] = ()


def render_study(rows: Sequence[StudyRow], format: str, *, caption: str, notes: Mapping[str, str]) -> str:
    """The rows as text of `format` (markdown, csv, json, latex); ends with a newline."""
    if format not in FORMATS:
        raise UnknownNameError("format", format, FORMATS)
    writers = {"markdown": _markdown, "csv": _csv, "json": _json, "latex": _latex}
    return writers[format](rows, caption, notes)


def _grids(rows: Sequence[StudyRow]) -> list[Grid]:
    """One table a metric and modality, one row a variant."""
    return [
        _grid(list(group), metric, modality)
        for (metric, modality), group in groupby(rows, key=lambda row: (row.metric, row.modality))
    ]


def _grid(rows: Sequence[StudyRow], metric: str, modality: str) -> Grid:
    others = {row.versus for row in rows if row.versus}
    single = others.pop() if len(others) == 1 else None
    header = ["variant", metric_title(metric), f"difference to {single}" if single else "difference", "p"]
    header += ["paper"] * any(row.published is not None for row in rows)
    lines = tuple(_line(row, single is None, len(header)) for row in rows)
    return Grid(f"{metric_title(metric)}, {modality}", tuple(Text(name) for name in header), lines, stubs=1)


def _line(row: StudyRow, name_other: bool, width: int) -> tuple[Text, ...]:
    difference = MISSING
    if row.difference is not None:
        difference = estimate_text(row.difference, "+.3f") + (f" to {row.versus}" if name_other else "")
    p_value = MISSING if row.p_value is None else f"{row.p_value:.2g}"
    cells = [row.variant, estimate_text(row.figure, ".3f"), difference, p_value]
    texts = [Text(cell) for cell in cells]
    if width > len(cells):
        shown = MISSING if row.published is None else f"{row.published:.3f}"
        texts.append(Text(shown + (" (?)" if row.doubts else ""), published=row.published is not None))
    return tuple(texts)


def estimate_text(estimate: Estimate, form: str) -> str:
    """A value and its interval, each in this form."""
    return f"{estimate.value:{form}} ({estimate.low:{form}}, {estimate.high:{form}})"


def _markdown(rows: Sequence[StudyRow], caption: str, notes: Mapping[str, str]) -> str:
    blocks = [f"# {markdown_of(caption)}", *(markdown_grid(grid) for grid in _grids(rows))]
    blocks.append("\n".join(f"- {markdown_of(name)}: {markdown_of(text)}" for name, text in notes.items()))
    return "\n\n".join(blocks) + "\n"


def _latex(rows: Sequence[StudyRow], caption: str, notes: Mapping[str, str]) -> str:
    lines = [r"\begin{table}", r"\centering", rf"\caption{{{latex_text_of(caption)}}}"]
    for grid in _grids(rows):
        lines += latex_grid(grid, False)
    lines += [r"\par\smallskip", r"\begin{minipage}{\linewidth}\footnotesize"]
    lines += [rf"{latex_text_of(name)}: {latex_text_of(text)}.\\" for name, text in notes.items()]
    return "\n".join([*lines, r"\end{minipage}", r"\end{table}"]) + "\n"


def _json(rows: Sequence[StudyRow], caption: str, notes: Mapping[str, str]) -> str:
    content = {
        "schema": JSON_SCHEMA,
        "schema_version": JSON_SCHEMA_VERSION,
        "caption": caption,
        "notes": dict(notes),
        "rows": [asdict(row) for row in rows],
    }
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _csv(rows: Sequence[StudyRow], caption: str, notes: Mapping[str, str]) -> str:
    text = io.StringIO()
    flat = [_flat(row) for row in rows]
    writer = csv.DictWriter(text, list(flat[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return text.getvalue()


def _flat(row: StudyRow) -> dict[str, object]:
    """One line: estimates spread over three columns each."""
    plain: dict[str, object] = {}
    for name, value in asdict(row).items():
        if name in ("figure", "difference"):
            for part in ("value", "low", "high"):
                plain[f"{name}_{part}"] = "" if value is None else value[part]
        else:
            plain[name] = "; ".join(value) if isinstance(value, tuple) else "" if value is None else value
    return plain
