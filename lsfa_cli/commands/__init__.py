"""The command line: one file a command. Commands parse, call one stage and print.

A command's module is imported when the command is used, so that `lsfa --help` and completion stay quick.
"""

from collections.abc import Mapping
from typing import Any

import typer

from lsfa_cli import __version__
from lsfa_cli.commands.guard import reporting_errors
from lsfa_cli.commands.lazy import CommandTable, LazyGroup, new_app

# name -> one line of help; the module is `lsfa_cli.commands.NAME`, with an underscore where Python needs one
COMMANDS: Mapping[str, str] = {
    "demo": "Make synthetic parts, find their defects, show tables and pictures.",
    "data": "Look at data sets and check them before use.",
    "run": "All five stages for every category, beside the baseline.",
    "extract": "Raw samples to patch features.",
    "adapt": "Train the adaptors of a category on its good parts.",
    "finetune": "Train through the backbones instead, without adaptor.",
    "bank": "Choose the memory banks and calibrate them.",
    "score": "Scores and anomaly maps of the test samples.",
    "tune": "Choose settings on pasted defects, without a test sample.",
    "study": "Variants of the method compared, with intervals and p-values.",
    "report": "Tables and pictures of what was scored.",
    "inspect": "What an artifact holds, what made it, and whether it is stale.",
    "list": "The backbones, datasets, adaptors, losses, metrics, fusions, formats and checks there are.",
    "settings": "The effective settings and where each comes from.",
    "synthesize": "Write the synthetic parts, in the layout of MVTec 3D-AD.",
}

MODULES: Mapping[str, str] = {"list": "list_tables", "settings": "show_settings", "inspect": "inspect_artifact"}

TABLE = CommandTable("lsfa_cli.commands", COMMANDS, MODULES)

GROUPS = ("data",)
"""The commands that are groups of commands themselves."""


class LazyCommands(LazyGroup):
    """The group of all commands."""

    table = TABLE

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]  # Typer's own context class
        """Run a command; errors meant for the user become messages and exit codes."""
        with reporting_errors():
            return super().invoke(ctx)


def every_command() -> list[tuple[str, ...]]:
    """The words of every command, those inside groups after their group: ("data",), ("data", "list"), ..."""
    found: list[tuple[str, ...]] = []
    for name in COMMANDS:
        found.append((name,))
        if name in GROUPS:
            found += [(name, inner) for inner in TABLE.module(name).TABLE.commands]
    return found


app = new_app(LazyCommands, completion=True)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"lsfa {__version__}")
        raise typer.Exit


@app.callback()
def lsfa(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Show the version."),
) -> None:
    """Find defects on industrial parts from an RGB image and a 3D scan, having seen only good parts.

    Start with `lsfa demo`. On your data: `lsfa run --data mvtec3d --root FOLDER`, or stage by stage with
    extract, adapt, bank, score and report, each of which reads and writes one file.
    """
