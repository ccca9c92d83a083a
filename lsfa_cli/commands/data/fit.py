"""`lsfa data fit`."""

import json
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lsfa_cli.commands.options import INPUT_PANEL, Categories, Session, with_settings
from lsfa_cli.commands.running import each_category
from lsfa_cli.errors import DataError
from lsfa_cli.wording import length

if TYPE_CHECKING:
    from lsfa_cli.stages.own_parts import Change, Fit

EXAMPLES = "Example: lsfa data fit parts/bracket --dry-run"

Samples = Annotated[
    int,
    typer.Option(
        "--samples", min=1, metavar="N", help="Good samples to measure, at most.", rich_help_panel=INPUT_PANEL
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the values and the reasons; write nothing.")]


@with_settings(making=False)
def command(
    session: Session,
    folder: Annotated[Path, typer.Argument(help="Folder of a part, or of several.", show_default=False)],
    category: Categories = None,
    samples: Samples = 10,
    show_only: DryRun = False,
) -> None:
    """Measure good parts and write the distances of preprocessing to lsfa-part.toml.

    The defaults are for parts of about 10 cm seen from half a metre. This says each value, old and new, with its
    reason; comments in the file stay.
    """
    from lsfa_cli.datasets import open_dataset
    from lsfa_cli.datasets.folder import Folder
    from lsfa_cli.stages.own_parts import fit, parts_to_fit

    if not os.path.lexists(folder):
        raise DataError(f"{folder} does not exist.", hint=f"Make it: lsfa data init {shlex.quote(str(folder))}")
    dataset = open_dataset("folder", folder)
    if not isinstance(dataset, Folder):
        raise TypeError("the data set 'folder' is no Folder")

    def work(name: str) -> None:
        done = fit(dataset, name, samples=samples, dry_run=show_only, progress=session.console)
        tell(session, done, folder, show_only)

    each_category(session, list(category or parts_to_fit(dataset)), work)


def tell(session: Session, done: "Fit", root: Path, show_only: bool) -> None:
    """What was measured, each value with its reason, and what became of the file."""
    measured = done.proposal.measured
    session.console.result(
        f"{done.part}: {measured.samples} samples, points {length(measured.spacing)} apart, "
        f"part {length(measured.part_size)} from corner to corner"
    )
    for change in done.changes:
        session.console.result(f"  {change.key} = {_toml(change.new)}  ({_before(change)})\n      {change.reason}")
    for remark in done.proposal.remarks:
        session.console.warn(f"{done.part}: {remark}")
    if done.saved:
        session.console.info(f"written to {done.file}; next: lsfa data check folder --root {shlex.quote(str(root))}")
    else:
        session.console.info("nothing written" if show_only else f"{done.file} already says so")


def _before(change: "Change") -> str:
    if change.old == change.new:
        return f"as in {change.origin}" if "file" in change.origin else f"as {change.origin}"
    return f"was {_toml(change.old)}, {change.origin}"


def _toml(value: object) -> str:
    return json.dumps(value)
