"""Groups of commands that are listed from a table and imported one by one, when they are used."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import typer
from typer.core import TyperGroup


@dataclass(frozen=True)
class CommandTable:
    """The commands of a group. commands: name -> one line of help, in the order of a day's work.

    A command's module is `PACKAGE.NAME`, or what `modules` says. kind: what an unknown name should have been.
    """

    package: str
    commands: Mapping[str, str]
    modules: Mapping[str, str] = field(default_factory=dict)
    kind: str = "command"

    def module(self, name: str) -> Any:
        """Import the module of a command: it has `command` and EXAMPLES, or `app` and TABLE where it is a group."""
        return importlib.import_module(f"{self.package}.{self.modules.get(name, name)}")

    def load(self, name: str) -> Any:
        """The command, or the group, as Typer runs it."""
        module = self.module(name)
        if hasattr(module, "app"):
            return typer.main.get_command(module.app)
        single = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)
        single.command(name, help=module.command.__doc__, epilog=module.EXAMPLES)(module.command)
        return typer.main.get_command(single)


class LazyGroup(TyperGroup):
    """A group whose commands are each imported at their first use. A subclass names its `table`."""

    table: ClassVar[CommandTable]

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]  # Typer's own context class
        """The names of all commands, in the order of a day's work."""
        return list(self.table.commands)

    def get_command(self, ctx: typer.Context, cmd_name: str) -> Any:  # type: ignore[override]  # as above
        """Import a command and hand it to Typer."""
        return self.table.load(cmd_name) if cmd_name in self.table.commands else None

    def format_commands(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]  # as above
        """List the commands from the table, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self.table.commands.items()))

    def resolve_command(self, ctx: typer.Context, args: list[str]) -> Any:  # type: ignore[override]  # as above
        """Find the command; a mistyped one is refused with the nearest name."""
        if args and args[0] not in self.table.commands and not args[0].startswith("-"):
            from lsfa_cli.errors import UnknownNameError

            raise UnknownNameError(self.table.kind, args[0], self.table.commands)
        return super().resolve_command(ctx, args)


def new_app(group: type[LazyGroup], *, completion: bool = False) -> typer.Typer:
    """The Typer application of a group; that of the outermost group also installs shell completion."""
    return typer.Typer(
        cls=group,
        add_completion=completion,
        no_args_is_help=True,
        rich_markup_mode=None,  # plain: rich alone would take most of the time that --help may take
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
