"""`lsfa data list`."""

import textwrap

import typer

from lsfa_cli.datasets import DATASETS, DatasetEntry

EXAMPLES = "Example: lsfa data list"

_INDENT = 4
_WIDTH = 100


def command() -> None:
    """The data sets there are: the layout that each reads, what a sample has, what its figures are called."""
    typer.echo("\n\n".join("\n".join([name, *_lines(entry)]) for name, entry in DATASETS.items()))


def _lines(entry: DatasetEntry) -> list[str]:
    rows = {"layout": entry.layout, "a sample": entry.has, "figures": entry.figures, "needs": entry.needs}
    column = _INDENT + max(map(len, rows)) + 2
    lines = textwrap.wrap(entry.help, _WIDTH, initial_indent=" " * _INDENT, subsequent_indent=" " * _INDENT)
    for title, text in rows.items():
        start = " " * _INDENT + title.ljust(column - _INDENT)
        lines += textwrap.wrap(
            text, _WIDTH, initial_indent=start, subsequent_indent=" " * column, break_on_hyphens=False
        )
    return lines
