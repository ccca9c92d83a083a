"""Results as Markdown, CSV, JSON and LaTeX. Equal input gives equal text.

Markdown and LaTeX are for reading: three decimals, published rows and doubtful values marked. CSV and JSON are for
programs: long form, full precision.
"""

import csv
import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from lsfa_cli.catalog import Entry, lookup
from lsfa_cli.tables.layout import MISSING, Grid, MetricTable, Text, metric_tables
from lsfa_cli.tables.results import FIELDS, Result

JSON_SCHEMA = "report"
JSON_SCHEMA_VERSION = 1

NoteValue = str | int | float | bool | None


@dataclass(frozen=True)
class Document:
    """What a writer is given. notes: how the measured values were made (limits, thresholds, seed, version)."""

    results: Sequence[Result]
    caption: str
    notes: Mapping[str, NoteValue]
    width: int
    bold_best: bool


def render(
    results: Sequence[Result],
    format: str,
    *,
    caption: str = "",
    notes: Mapping[str, NoteValue] | None = None,
    width: int = 80,
    bold_best: bool = True,
) -> str:
    """The results as text of `format`, a name of `FORMATS`; ends with a newline.

    caption: title of the whole. notes: how the measured values were made, listed under the tables and, in CSV,
    written as columns of the measured rows. width: characters beyond which a Markdown or LaTeX table is turned or
    split. bold_best: in LaTeX, the best measured value of a modality and category in bold. An unknown format is an
    `UnknownNameError`.
    """
    write: Callable[[Document], str] = lookup(FORMATS, "format", format).load()
    return write(Document(results, caption, notes or {}, width, bold_best))


def csv_text(document: Document) -> str:
    """Long form: one line a value, all fields of `Result`, then a column for each note (empty for published values)."""
    clash = sorted(set(FIELDS) & set(document.notes))
    if clash:
        raise ValueError(f"notes may not be called like a column: {', '.join(clash)}")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*FIELDS, *document.notes])
    for row in document.results:
        notes = ["" if row.published else _plain(note) for note in document.notes.values()]
        writer.writerow([*(_plain(getattr(row, name)) for name in FIELDS), *notes])
    return text.getvalue()


def _plain(value: NoteValue) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(float(value))
    return str(value).replace("\n", "; ")


def json_text(document: Document) -> str:
    """One document: schema, its version, caption, notes and the list of results with full precision."""
    content = {
        "schema": JSON_SCHEMA,
        "schema_version": JSON_SCHEMA_VERSION,
        "caption": document.caption,
        "notes": dict(document.notes),
        "results": [{name: getattr(row, name) for name in FIELDS} for row in document.results],
    }
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def markdown_text(document: Document) -> str:
    """One table a data set and metric; published methods in italics, footnotes below their table."""
    blocks = [f"# {markdown_of(document.caption)}"] if document.caption else []
    tables = metric_tables(document.results, document.width)
    for table in tables:
        blocks.append(f"## {markdown_of(table.title)}")
        blocks += [markdown_grid(grid) for grid in table.grids]
        if table.omitted:
            blocks.append(f"Omitted: {markdown_of(table.omitted)}.")
        if table.footnotes:
            blocks.append("\n".join(f"- [{letter}] {markdown_of(text)}" for letter, text in table.footnotes))
    if _any_published(tables):
        blocks.append("Methods in italics: published figures, not measured here.")
    if document.notes:
        lines = (f"- {markdown_of(name)}: {markdown_of(_shown(note))}" for name, note in document.notes.items())
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"


def _shown(note: NoteValue) -> str:
    return "none" if note is None else _plain(note)


def _any_published(tables: Sequence[MetricTable]) -> bool:
    return any(cell.published for table in tables for grid in table.grids for row in grid.rows for cell in row)


def markdown_of(text: str) -> str:
    """Text that Markdown shows as it is. An underscore inside a word needs no escape and stays readable without one."""
    text = re.sub(r"([\\`*|<>\[\]#~$]|&(?=#?\w+;))", r"\\\1", " ".join(text.split()))
    return re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", text)


def _markdown_cell(cell: Text, name: bool) -> str:
    """A cell with its footnotes; the name of a published method in italics."""
    text = markdown_of(cell.text)
    if cell.published and name:
        text = f"*{text}*"
    return text + (f" [{','.join(cell.marks)}]" if cell.marks else "")


def markdown_grid(grid: Grid) -> str:
    """A table, its title in bold above it."""
    lines = [[_markdown_cell(cell, True) for cell in grid.header]]
    lines += [[_markdown_cell(cell, place < grid.stubs) for place, cell in enumerate(row)] for row in grid.rows]
    widths = [max(3, *map(len, column)) for column in zip(*lines, strict=True)]
    rule = ["-" * width if place < grid.stubs else "-" * (width - 1) + ":" for place, width in enumerate(widths)]
    lines.insert(1, rule)
    rows = [
        "| " + " | ".join(_padded(cell, widths[place], place < grid.stubs) for place, cell in enumerate(line)) + " |"
        for line in lines
    ]
    title = [f"**{markdown_of(grid.title)}**", ""] if grid.title else []
    return "\n".join([*title, *rows])


def _padded(cell: str, width: int, left: bool) -> str:
    return cell.ljust(width) if left else cell.rjust(width)


_LATEX_ESCAPES = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    MISSING: "--",
    **{character: "\\" + character for character in "&%$#_{}"},
}


def latex_text(document: Document) -> str:
    """One `table` a data set and metric, for the packages booktabs and (accents, as needed) inputenc."""
    blocks = []
    for table in metric_tables(document.results, document.width):
        if table.omitted:
            blocks.append(f"% {latex_text_of(table.title)} omitted: {latex_text_of(table.omitted)}.")
        else:
            blocks.append(_latex_table(table, document))
    return "\n\n".join(blocks) + "\n"


def latex_text_of(text: str) -> str:
    """Text that LaTeX sets as it is."""
    return "".join(_LATEX_ESCAPES.get(character, character) for character in " ".join(text.split()))


def _latex_table(table: MetricTable, document: Document) -> str:
    caption = f"{document.caption}. {table.title}" if document.caption else table.title
    lines = [r"\begin{table}", r"\centering", rf"\caption{{{latex_text_of(caption)}.}}"]
    for grid in table.grids:
        lines += latex_grid(grid, document.bold_best)
    below = [rf"\textsuperscript{{{letter}}}~{latex_text_of(text)}." for letter, text in table.footnotes]
    if _any_published([table]):
        below.append("Values in italics are published figures, not measured here.")
    below += [
        _guarded(f"{latex_text_of(name)}: {latex_text_of(_shown(note))}.") for name, note in document.notes.items()
    ]
    if below:
        lines += [
            r"\par\smallskip",
            r"\begin{minipage}{\linewidth}\footnotesize",
            *(line + r"\\" for line in below[:-1]),
        ]
        lines += [below[-1], r"\end{minipage}"]
    return "\n".join([*lines, r"\end{table}"])


def latex_grid(grid: Grid, bold_best: bool) -> list[str]:
    """The lines of a tabular, its title above it."""
    columns = "l" * grid.stubs + "r" * (len(grid.header) - grid.stubs)
    title = [rf"\par\medskip\textbf{{{latex_text_of(grid.title)}}}\par\smallskip"] if grid.title else []
    lines = [*title, rf"\begin{{tabular}}{{{columns}}}", r"\toprule", _latex_row(grid.header, False), r"\midrule"]
    for above, row in pairwise((None, *grid.rows)):
        if grid.stubs > 1 and above is not None and row is not None and above[0].text != row[0].text:
            lines.append(r"\midrule")
        if row is not None:
            lines.append(_latex_row(row, bold_best))
    return [*lines, r"\bottomrule", r"\end{tabular}"]


def _latex_row(row: Sequence[Text], bold_best: bool) -> str:
    return _guarded(" & ".join(_latex_cell(cell, bold_best) for cell in row)) + r" \\"


def _guarded(line: str) -> str:
    """A line that follows a line break, which would take a bracket or asterisk for its own argument."""
    return "{}" + line if line.startswith(("[", "*")) else line


def _latex_cell(cell: Text, bold_best: bool) -> str:
    text = re.sub(r"^-(?=\d)", "$-$", latex_text_of(cell.text))
    if cell.best and bold_best:
        text = rf"\textbf{{{text}}}"
    elif cell.published:
        text = rf"\textit{{{text}}}"
    return text + (rf"\textsuperscript{{{','.join(cell.marks)}}}" if cell.marks else "")


_HERE = "lsfa_cli.tables.formats"
FORMATS: dict[str, Entry] = {
    "markdown": Entry(_HERE, "markdown_text", "tables to read on a terminal or a web page"),
    "csv": Entry(_HERE, "csv_text", "one line a value, full precision, for spreadsheets and data frames"),
    "json": Entry(_HERE, "json_text", "one document, full precision, for programs"),
    "latex": Entry(_HERE, "latex_text", "booktabs tables for a paper"),
}
