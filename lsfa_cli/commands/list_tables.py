"""`lsfa list`."""

from collections.abc import Mapping
from importlib import import_module
from typing import Annotated

import typer

from lsfa_cli.catalog import Entry
from lsfa_cli.errors import UnknownNameError

EXAMPLES = "Example: lsfa list backbones"

TABLES: Mapping[str, tuple[str, str]] = {
    "backbones": ("lsfa_cli.backbones", "BACKBONES"),
    "datasets": ("lsfa_cli.datasets", "DATASETS"),
    "adaptors": ("lsfa_cli.adaptors", "ADAPTORS"),
    "losses": ("lsfa_cli.losses", "LOSSES"),
    "metrics": ("lsfa_cli.metrics", "METRICS"),
    "fusions": ("lsfa_cli.fusion", "FUSIONS"),
    "formats": ("lsfa_cli.tables.formats", "FORMATS"),
    "defects": ("lsfa_cli.pasting", "KINDS"),
    "checks": ("lsfa_cli.checks", "CHECKS"),
}


def command(
    table: Annotated[str, typer.Argument(help=f"One of {', '.join(TABLES)}. Default: all.", show_default=False)] = "",
) -> None:
    """The names that settings take, with what each needs."""
    if table and table not in TABLES:
        raise UnknownNameError("table", table, TABLES)
    for name in [table] if table else TABLES:
        module, attribute = TABLES[name]
        entries: Mapping[str, Entry] = getattr(import_module(module), attribute)
        typer.echo(f"{name}:")
        for key, entry in entries.items():
            typer.echo(f"  {key}")
            typer.echo(f"      {entry.help}" + (f" Needs {entry.needs}." if entry.needs != "nothing" else ""))
