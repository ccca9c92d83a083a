"""`lsfa study`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from lsfa_cli.catalog import lookup
from lsfa_cli.commands.options import INPUT_PANEL, RUN_PANEL, Categories, Session, TableFormat, TableOut, with_settings
from lsfa_cli.commands.running import cache_folder, hand_over
from lsfa_cli.datasets import open_dataset
from lsfa_cli.errors import UsageError
from lsfa_cli.studies import Study, load_study, studies
from lsfa_cli.wording import counted

EXAMPLES = "Example: lsfa study components --data mvtec3d --root DIR --category cookie --seeds 5"

Name = Annotated[str, typer.Argument(help="A study (lsfa study --list), or a TOML file of your own.", metavar="NAME")]
ShowList = Annotated[bool, typer.Option("--list", help="Say what each study asks, and stop.")]
Seeds = Annotated[
    int, typer.Option("--seeds", min=1, help="How many seeds, from --seed on.", rich_help_panel=RUN_PANEL)
]
Keep = Annotated[
    bool,
    typer.Option(
        "--keep", help="Keep the adaptors, banks and scores of every cell, not only its figures.",
        rich_help_panel=RUN_PANEL,
    ),
]  # fmt: skip
Plot = Annotated[
    Path | None,
    typer.Option(
        "--plot", help="Draw the differences with their intervals.", metavar="FILE.png", rich_help_panel=INPUT_PANEL
    ),
]


Curves = Annotated[
    Path | None,
    typer.Option(
        "--curves",
        help="Draw the losses, the effective rank and the neighbour distance over the steps of training.",
        metavar="FILE.png",
        rich_help_panel=INPUT_PANEL,
    ),
]
Separation = Annotated[
    bool,
    typer.Option(
        "--separation",
        help="Also say how far defective patches lie from the bank beside normal ones: patch AUROC (0.5 where their "
        "distances overlap wholly, 1 where not at all), the ratio of their mean distances, and that of normal ones.",
        rich_help_panel=RUN_PANEL,
    ),
]


Choose = Annotated[
    Literal["i_auroc", "p_auroc", "aupro"] | None,
    typer.Option(
        "--choose",
        help="Also say what choosing would gain: the best variant by this metric on half of the test samples, "
        "measured on the other half, over many splits.",
        rich_help_panel=RUN_PANEL,
    ),
]


@with_settings("extract", "adapt", "finetune", "bank", "score", run=("data", "root", "work", "cache", "jobs"))
def command(
    session: Session,
    name: Name = "",
    list_studies: ShowList = False,
    category: Categories = None,
    seeds: Seeds = 5,
    format: TableFormat = "markdown",
    out: TableOut = None,
    plot: Plot = None,
    curves: Curves = None,
    separation: Separation = False,
    choose: Choose = None,
    keep: Keep = False,
    rerun: bool = False,
    dry_run: bool = False,
) -> None:
    """Does it help, and which part of it? Variants of the method on the same features, with honest statistics.

    Every variant runs on every category with several seeds. The table has the mean and its 95 % interval, and the
    paired difference with its interval and p-value. A study that was stopped goes on where it was.
    """
    if list_studies:
        session.console.result("\n".join(_asked(key, study) for key, study in studies().items()))
        return
    if not name:
        raise UsageError("which study?", hint=f"One of {', '.join(studies())}, or a TOML file: lsfa study NAME")
    chosen = load_study(name)
    extraction = session.stage("extract")
    dataset = open_dataset(session.run.data, session.run.root, light=extraction.light)

    from lsfa_cli.preprocessing.cache import SampleCache
    from lsfa_cli.stages import study as stage
    from lsfa_cli.stages.studying.cells import Settings, Surroundings
    from lsfa_cli.stages.studying.estimate import estimate_plan
    from lsfa_cli.stages.studying.notes import notes as notes_of
    from lsfa_cli.tables.formats import FORMATS
    from lsfa_cli.tables.studies import render_study

    lookup(FORMATS, "format", format)
    base = Settings(
        extraction,
        session.stage("adapt"),
        session.stage("bank"),
        session.stage("score"),
        session.stage("finetune"),
    )
    around = Surroundings(dataset, session.run.work, SampleCache(cache_folder(session)), session.run.jobs, keep)
    first = session.stage("adapt").seed
    categories = list(category or dataset.categories())
    planned = stage.plan(around, chosen, categories, range(first, first + seeds), base)
    sizes = f"{len(chosen.variant)} variants, {len(categories)} categories, {seeds} seeds"
    session.console.info(f"{name}: {len(planned.cells)} cells ({sizes})")
    if dry_run:
        waiting, takes = estimate_plan(around, planned, session.console, rerun=rerun)
        session.console.result(f"{name}: would measure {counted(waiting, 'cell')}: {takes}")
        return
    result = stage.run_plan(around, planned, session.console, rerun=rerun)
    session.console.info(f"{name}: {result.made} cells measured, {result.found} were there")
    for what, error in result.failures.items():
        session.console.error(f"{what}: {error}")
    measured = planned.without(result.failed)
    rows = stage.summarise(measured, stage.METRICS + stage.SEPARATION * separation)
    notes = notes_of(measured, rows)
    if choose is not None:
        notes |= stage.choosing(measured, choose)
    text = render_study(rows, format, caption=f"Study {name} on {dataset.name}", notes=notes)
    hand_over(session, text, out, name)
    if plot is not None:
        stage.draw(plot, rows, title=f"{name}: {chosen.question}")
        session.console.info(f"{name}: {plot}")
    if curves is not None:
        stage.draw_curves(curves, measured, title=f"{name}: {chosen.question}")
        session.console.info(f"{name}: {curves}")
    stage.raise_failures(result)


def _asked(name: str, study: Study) -> str:
    """A study's name, and below it what it asks."""
    return f"{name}\n    {study.question}" + (f" ({study.paper})" if study.paper else "")
