"""`lsfa data init`."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from lsfa_cli.commands.options import Session, with_settings

EXAMPLES = "Example: lsfa data init parts/bracket"


@with_settings(making=False)
def command(
    session: Session,
    folder: Annotated[Path, typer.Argument(help="Folder of the part; made where there is none.", show_default=False)],
) -> None:
    """Make the folders of a part of your own, and lsfa-part.toml with every key explained. Overwrites nothing.

    In a folder that already holds several parts: only the file, whose values then count for all of them.
    """
    from lsfa_cli.stages.own_parts import init

    layout = init(folder)
    for path in layout.kept:
        session.console.info(f"kept {path}")
    for path in layout.made:
        session.console.info(f"made {path}")
    if layout.parts:
        session.console.info(f"it counts for {', '.join(layout.parts)}")
    session.console.info(
        "next: put good parts into good/, set what lsfa-part.toml asks for; "
        f"then, of 3D scans: lsfa data fit {shlex.quote(str(folder))}"
    )
