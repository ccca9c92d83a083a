"""`lsfa demo`."""

import time
from pathlib import Path
from typing import Annotated

import typer

from lsfa_cli.commands.options import Session, with_settings
from lsfa_cli.commands.running import tell

EXAMPLES = "Example: lsfa demo --folder my-demo --seed 1"

Folder = Annotated[Path, typer.Option("--folder", help="Where everything goes.", metavar="DIR")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of the parts and of training.")]
Chosen = Annotated[
    list[str] | None,
    typer.Option(
        "--category", "-c", help="A synthetic category; may be given several times. Default: three of them.",
        metavar="NAME", show_default=False,
    ),
]  # fmt: skip


@with_settings(run=("jobs",), making=False)
def command(session: Session, folder: Folder = Path("lsfa-demo"), category: Chosen = None, seed: Seed = 0) -> None:
    """Make synthetic parts, run every stage, show what was measured and save pictures. Takes a few minutes.

    Three methods are compared: PatchCore without adaptor (the baseline), an untrained randomly started adaptor
    (the control), and LSFA. The tables show what was measured, whichever side wins.
    """
    from lsfa_cli.stages.demo import CATEGORIES, DemoPlaces, Sizes, conclude, make_parts, run_demo

    started = time.monotonic()
    where, console = DemoPlaces(folder), session.console
    categories = list(category or CATEGORIES)
    console.info(f"parts: {', '.join(categories)}, made with seed {seed} in {where.data}")
    make_parts(where, categories, Sizes(), seed, session.run.jobs, console)
    for name, step in run_demo(where, categories, seed, session.run.jobs, console):
        tell(session, step.stage, name, step.outcome, step.variant)
    result = conclude(where, categories, console)
    console.result(result.text("markdown"))
    console.info(f"tables:   {where.table}")
    console.info(f"pictures: {where.sheet} and a folder for each category beside it")
    console.info(f"took {time.monotonic() - started:.0f} s; next: lsfa run --data mvtec3d --root FOLDER")
