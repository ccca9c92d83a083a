"""The command line: one file a command. Commands parse, call one stage and print.

A command's module is imported when the command is used, so that `lsfa --help` and completion stay quick.
"""

import importlib
from collections.abc import Mapping
from typing import Any

import typer
from typer.core import TyperGroup

from lsfa_cli import __version__
from lsfa_cli.commands.guard import reporting_errors

# name -> one line of help; the module is `lsfa_cli.commands.NAME`, with an underscore where Python needs one
COMMANDS: Mapping[str, str] = {
    "demo": "Make synthetic parts, find their defects, show tables and pictures.",
    "run": "All five stages for every category, beside the baseline.",
    "extract": "Raw samples to patch features.",
    "adapt": "Train the adaptors of a category on its good parts.",
    "bank": "Choose the memory banks and calibrate them.",
    "score": "Scores and anomaly maps of the test samples.",
    "report": "Tables and pictures of what was scored.",
    "inspect": "What an artifact holds, what made it, and whether it is stale.",
    "list": "The backbones, datasets, adaptors, losses, metrics, fusions and formats there are.",
    "settings": "The effective settings and where each comes from.",
    "synthesize": "Write the synthetic parts, in the layout of MVTec 3D-AD.",
}

MODULES: Mapping[str, str] = {"list": "list_tables", "settings": "show_settings", "inspect": "inspect_artifact"}


class LazyCommands(TyperGroup):
    """The group of commands, each imported at its first use."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]  # Typer's own context class
        """The names of all commands, in the order of a day's work."""
        return list(COMMANDS)

    def get_command(self, ctx: typer.Context, cmd_name: str) -> Any:  # type: ignore[override]  # as above
        """Import a command and hand it to Typer."""
        return load_command(cmd_name) if cmd_name in COMMANDS else None

    def format_commands(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]  # as above
        """List the commands from the table, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(self, ctx: typer.Context, args: list[str]) -> Any:  # type: ignore[override]  # as above
        """Find the command; a mistyped one is refused with the nearest name."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from lsfa_cli.errors import UnknownNameError

            raise UnknownNameError("command", args[0], COMMANDS)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]  # as above
        """Run a command; errors meant for the user become messages and exit codes."""
        with reporting_errors():
            return super().invoke(ctx)


def load_command(name: str) -> Any:
    """The command as Typer runs it."""
    module = importlib.import_module(f"lsfa_cli.commands.{MODULES.get(name, name)}")
    single = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)
    single.command(name, help=module.command.__doc__, epilog=module.EXAMPLES)(module.command)
    return typer.main.get_command(single)


app = typer.Typer(
    cls=LazyCommands,
    no_args_is_help=True,
    rich_markup_mode=None,  # plain: rich alone would take most of the time that --help may take
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


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
