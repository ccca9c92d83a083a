"""`lsfa settings`."""

import json
from typing import Annotated

import typer

from lsfa_cli.commands.options import Session, with_settings
from lsfa_cli.configuration import Value
from lsfa_cli.errors import UnknownNameError
from lsfa_cli.settings import STAGES

EXAMPLES = "Example: lsfa settings bank"


@with_settings(run=("data", "root", "work", "cache", "jobs"), making=False)
def command(
    session: Session,
    stage: Annotated[str, typer.Argument(help=f"One of {', '.join(STAGES)}. Default: all.", show_default=False)] = "",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """The effective settings, and where each value comes from: flag, environment, file or default."""
    if stage and stage not in STAGES:
        raise UnknownNameError("stage", stage, STAGES)
    groups: dict[str, dict[str, Value]] = {} if stage else {"run": session.sources.run_values()}
    for name in [stage] if stage else STAGES:
        session.stage(name)  # refuses bad values before any is shown
        groups[name] = session.sources.stage_values(name)
    if as_json:
        document = {
            group: {name: {"value": _plain(value), "origin": value.origin} for name, value in values.items()}
            for group, values in groups.items()
        }
        session.console.result(json.dumps(document, indent=2))
        return
    for group, values in groups.items():
        session.console.result(f"[{group}]")
        width = max(map(len, values))
        for name, value in values.items():
            session.console.result(f"{name:{width}} = {json.dumps(_plain(value))}  # {value.origin}")


def _plain(value: Value) -> object:
    return value.value if isinstance(value.value, bool | int | float | type(None)) else str(value.value)
