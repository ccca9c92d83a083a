"""The report of `lsfa data check` as a person reads it: one table, what was measured, and the findings."""

import shutil
import sys
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lsfa_cli.wording import counted, few

if TYPE_CHECKING:
    from rich.table import Table

    from lsfa_cli.checks.base import Finding
    from lsfa_cli.stages.data_report import DataReport, Group

HEADS = ("category", "split", "defect", "samples", "size", "RGB", "points", "z (m)")
_GAP = "  "
_INDENT = "    "
_ALIKE = 10  # findings of one kind in a category that are shown
_COLOURS = {"error": "bold red", "warning": "yellow", "note": "cyan"}
_NARROWEST = 72  # columns of a terminal below which a table would be cut


def print_report(report: "DataReport", *, terminal: bool) -> None:
    """Print it on stdout: with colours on a terminal, plain elsewhere."""
    from rich.console import Console
    from rich.text import Text

    width = shutil.get_terminal_size((100, 24)).columns
    console = Console(width=width, force_terminal=terminal, no_color=None if terminal else True, highlight=False)
    rows = table_rows(report)
    with console.capture() as printed:  # rich itself would end with code 1 where the reader of a pipe has gone
        if terminal and width >= _NARROWEST:
            console.print(_rich_table(rows))
        else:
            console.print(Text(plain_table(rows, width)))
        for line in measured_lines(report, width):
            console.print(Text(line), soft_wrap=True)
        for severity, lines in _findings(report, width):
            console.print(Text(lines[0], style=_COLOURS[severity]), soft_wrap=True)
            for line in lines[1:]:
                console.print(Text(line), soft_wrap=True)
        console.print(Text(summary(report)), soft_wrap=True)
    sys.stdout.write(printed.get())
    sys.stdout.flush()


def table_rows(report: "DataReport") -> list[tuple[str, ...]]:
    """A row for each category, split and kind of defect, with the cells that `HEADS` names."""
    return [
        (category.name, group.split, group.defect, str(group.samples), *_group_cells(group))
        for category in report.categories
        for group in category.groups
    ]


def _group_cells(group: "Group") -> tuple[str, str, str, str]:
    sizes = list(group.sizes)
    size = sizes[0] if len(sizes) == 1 else f"{len(sizes)} sizes" if sizes else ""
    if group.valid_share is not None:
        points = _span([f"{100 * share:.1f}" for share in group.valid_share], " %")
    else:
        points = _span([f"{count:,}" for count in group.points]) if group.points else ""
    values = _span([f"{value:.0f}" for value in group.values]) if group.values else ""
    depth = _span([f"{value:.3f}" if abs(value) < 10 else f"{value:.4g}" for value in group.z]) if group.z else ""
    return size, values, points, depth


def _span(texts: Sequence[str], unit: str = "") -> str:
    """ "3 to 7", or one of them where they are equal."""
    return (texts[0] if texts[0] == texts[1] else " to ".join(texts)) + unit


def plain_table(rows: Sequence[Sequence[str]], width: int) -> str:
    """Aligned columns; where these are wider than `width`, a few lines for each row."""
    if not rows:
        return "no samples"
    cells = [list(HEADS), *[list(row) for row in rows]]
    for previous, row in zip(rows, cells[2:], strict=False):
        if row[0] == previous[0]:
            row[0] = ""
    widths = [max(len(row[place]) for row in cells) for place in range(len(HEADS))]
    if sum(widths) + len(_GAP) * (len(widths) - 1) <= width:
        rule = _GAP.join("-" * size for size in widths)
        lines = [_GAP.join(cell.ljust(size) for cell, size in zip(row, widths, strict=True)).rstrip() for row in cells]
        return "\n".join([lines[0], rule, *lines[1:]])
    return "\n".join(line for row in rows for line in _block(row, width))


def _block(row: Sequence[str], width: int) -> list[str]:
    """One row without columns: "cable_gland, test, hole: 22 samples, size 400 x 400, ..."."""
    parts = [f"{row[3]} samples", *(f"{head} {cell}" for head, cell in zip(HEADS[4:], row[4:], strict=True) if cell)]
    return textwrap.wrap(f"{', '.join(row[:3])}: {', '.join(parts)}", max(width, 20), subsequent_indent="  ")


def measured_lines(report: "DataReport", width: int) -> list[str]:
    """What the checks measured, a paragraph a category."""
    lines: list[str] = [""]
    for category in report.categories:
        parts = _measured(category.figures)
        if category.read < category.samples:
            parts.append(f"{category.read} of {counted(category.samples, 'sample')} read")
        if parts:
            lines += textwrap.wrap(f"{category.name}: {'; '.join(parts)}", max(width, 20), subsequent_indent="  ")
    return [*lines, ""] if len(lines) > 1 else lines


def _measured(figures: Mapping[str, Mapping[str, Any]]) -> list[str]:
    parts = []
    if "units" in figures:
        values = figures["units"]
        parts.append(f"scans {1000 * values['extent_m']:.4g} mm across")
        if values["distance_m"] is not None:
            parts[-1] += f" at {1000 * values['distance_m']:.4g} mm"
    if "axes" in figures:
        values = figures["axes"]
        parts.append(f"x with columns {values['x_along_columns']:+.2f}, y with rows {values['y_along_rows']:+.2f}")
    if "alignment" in figures:
        values = figures["alignment"]
        across, down = values["shift_px"]
        shift = f"shifted by {across:+.0f}, {down:+.0f} px" if values["clear"] else "alignment unclear"
        parts.append(f"image against scan: {shift} (confidence {values['confidence']:.2f})")
    if "outliers" in figures:
        parts.append(f"largest deviation of a good sample {figures['outliers']['largest_deviation']:.1f}")
    return parts


def finding_lines(category: str, finding: "Finding", width: int) -> list[str]:
    """A finding: what and where, the first samples or files, what to do."""
    heading = f"{finding.severity}: {category}, {finding.check}: {finding.message}"
    where = finding.samples or finding.files
    lines = textwrap.wrap(heading, max(width, 30), subsequent_indent=_INDENT, break_long_words=False)
    for text in (few(where), finding.advice):
        lines += textwrap.wrap(
            text,
            max(width, 30),
            initial_indent=_INDENT,
            subsequent_indent=_INDENT,
            break_on_hyphens=False,
            break_long_words=False,  # of names, which are copied
        )
    return lines


def summary(report: "DataReport") -> str:
    """One line: how much was looked at, and how many findings of each kind."""
    samples = sum(row.samples for row in report.categories)
    categories = len(report.categories)
    found = [counted(count, kind) for kind, count in report.counts.items() if count]
    what = f"{counted(samples, 'sample')} in {categories} categor{'y' if categories == 1 else 'ies'}"
    return f"{what}: {', '.join(found) or 'nothing found'}."


def _findings(report: "DataReport", width: int) -> list[tuple[str, list[str]]]:
    """Severity and lines of each finding; of one kind in one category the first few, and how many more there are."""
    shown: list[tuple[str, list[str]]] = []
    for category in report.categories:
        seen: Counter[tuple[str, str]] = Counter()
        for finding in category.findings:
            seen[finding.severity, finding.check] += 1
            if seen[finding.severity, finding.check] <= _ALIKE:
                shown.append((finding.severity, finding_lines(category.name, finding, width)))
        for (severity, check), count in seen.items():
            if count > _ALIKE:
                more = f"{severity}: and {count - _ALIKE} more of {check} in {category.name} (--json lists all)"
                shown.append((severity, [more]))
    return shown


def _rich_table(rows: Sequence[Sequence[str]]) -> "Table":
    from rich.box import SIMPLE
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE, pad_edge=False)
    for head in HEADS:
        table.add_column(head, justify="right" if head == "samples" else "left", overflow="fold")
    before = None
    for row in rows:
        table.add_row(*(Text(cell) for cell in ("" if row[0] == before else row[0], *row[1:])))
        before = row[0]
    return table
