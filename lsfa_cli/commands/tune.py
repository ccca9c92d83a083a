"""`lsfa tune`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from lsfa_cli.catalog import lookup
from lsfa_cli.commands.options import INPUT_PANEL, RUN_PANEL, Categories, Session, TableFormat, with_settings
from lsfa_cli.commands.running import cache_folder, hand_over
from lsfa_cli.configuration import run_defaults
from lsfa_cli.datasets import open_dataset
from lsfa_cli.errors import UsageError
from lsfa_cli.studies.spaces import default_text, load_space
from lsfa_cli.wording import counted

EXAMPLES = (
    "Example: lsfa tune --data mvtec3d --root DIR --category cookie --budget 30 --out tuned.toml, and then: "
    "lsfa run --data mvtec3d --root DIR --category cookie --config tuned.toml"
)

# As many pasted versions as `lsfa run` makes to learn from, and more of validation samples, which are measured here.
# What is trained is for the candidates to say.
_DEFAULTS = {"extract": {**run_defaults()["extract"], "pasted": 4}}

SpaceFile = Annotated[
    Path | None,
    typer.Option(
        "--space", help="Candidates to choose from. Default: those that lsfa comes with, see --show-space.",
        metavar="FILE.toml", rich_help_panel=INPUT_PANEL, show_default=False,
    ),
]  # fmt: skip
ShowSpace = Annotated[bool, typer.Option("--show-space", help="Print the file of the candidates, and stop.")]
Minutes = Annotated[
    float | None,
    typer.Option(
        "--budget", min=0, help="Minutes after which nothing new is begun; the next call goes on. Default: no end.",
        metavar="MINUTES", rich_help_panel=RUN_PANEL, show_default=False,
    ),
]  # fmt: skip
OutToml = Annotated[
    Path | None,
    typer.Option(
        "--out", help="Write the chosen settings here, as an lsfa.toml.", metavar="FILE.toml",
        rich_help_panel=INPUT_PANEL, show_default=False,
    ),
]  # fmt: skip
TableFile = Annotated[
    Path | None,
    typer.Option("--table", help="Write the table here, not to stdout.", metavar="FILE", rich_help_panel=INPUT_PANEL),
]
HeldOutShare = Annotated[
    float,
    typer.Option(
        "--held-out", min=0, max=0.9, rich_help_panel=RUN_PANEL,
        help="Share of the training samples that become validation samples, drawn by the seed: those that are there "
        "are mostly few.",
    ),
]  # fmt: skip
Folds = Annotated[
    int,
    typer.Option(
        "--folds", min=1, rich_help_panel=RUN_PANEL,
        help="Hold out so many times, each time other samples; takes so many times as long.",
    ),
]  # fmt: skip
By = Annotated[
    Literal["both", "i_auroc", "aupro"],
    typer.Option("--by", help="What ranks candidates; both is the mean of I-AUROC and AUPRO.",
                 rich_help_panel=RUN_PANEL),
]  # fmt: skip
EachKind = Annotated[
    bool,
    typer.Option(
        "--each-kind", rich_help_panel=RUN_PANEL,
        help="Leave every kind of defect out by itself, not groups of those that look alike; takes longer.",
    ),
]  # fmt: skip


@with_settings("extract", "adapt", "bank", "score", run=("data", "root", "work", "cache", "jobs"), defaults=_DEFAULTS)
def command(
    session: Session,
    category: Categories = None,
    budget: Minutes = None,
    space: SpaceFile = None,
    show_space: ShowSpace = False,
    held_out: HeldOutShare = 0.33,
    folds: Folds = 1,
    each_kind: EachKind = False,
    by: By = "both",
    format: TableFormat = "markdown",
    table: TableFile = None,
    out: OutToml = None,
    rerun: bool = False,
    dry_run: bool = False,
) -> None:
    """Which settings find defects that nobody has seen? Chosen with pasted defects, without one test sample.

    Candidates train without a group of kinds of pasted defects, and are measured on validation samples with just
    those, beside normal ones. Several categories get one choice, by their mean. The simplest candidate, and equal
    weights of the sources, are kept unless others are better by more than a standard error. A run that was stopped, or
    whose budget was spent, goes on where it was.
    """
    if show_space:
        session.console.result(default_text())
        return
    chosen = load_space(space)
    extraction = session.stage("extract")
    if not extraction.pasted:
        raise UsageError("lsfa tune measures pasted defects, and --pasted 0 asks for none", hint="Use --pasted 4.")
    dataset = open_dataset(session.run.data, session.run.root, light=extraction.light, test=False)

    from lsfa_cli.datasets.held_out import HoldOut
    from lsfa_cli.pasting import KINDS
    from lsfa_cli.preprocessing.cache import SampleCache
    from lsfa_cli.stages import tune as stage
    from lsfa_cli.stages.studying.cells import Settings
    from lsfa_cli.stages.tuning.cells import Around
    from lsfa_cli.stages.tuning.estimate import estimate_plan
    from lsfa_cli.stages.tuning.report import Summary
    from lsfa_cli.stages.tuning.settings import require_own, write_settings
    from lsfa_cli.tables.formats import FORMATS
    from lsfa_cli.tables.tuning import render_tuning

    lookup(FORMATS, "format", format)
    if out is not None:
        require_own(out)
    if each_kind:
        chosen = chosen.with_each_kind(list(KINDS))
    stage.check_groups(chosen.groups)
    base = Settings(extraction, session.stage("adapt"), session.stage("bank"), session.stage("score"))
    seed = base.bank.seed
    around = Around(
        stage.raster_dataset(dataset),
        session.run.work,
        SampleCache(cache_folder(session)),
        HoldOut(held_out, folds, seed),
        chosen.groups,
        session.run.jobs,
    )
    categories = list(category or dataset.categories())
    planned = stage.plan(around, chosen, categories, base, seed)
    sizes = f"{counted(len(chosen.candidate), 'candidate')}, {counted(folds, 'fold')}, {', '.join(categories)}"
    session.console.info(f"tune: {len(planned.cells)} cells ({sizes})")
    if dry_run:
        waiting, takes = estimate_plan(around, planned, session.console)
        session.console.result(f"tune: would measure {counted(waiting, 'cell')}: {takes}")
        return
    result = stage.run_plan(planned, stage.Budget(budget), session.console, rerun=rerun)
    found = len(result.measured) - result.made
    session.console.info(f"tune: {result.made} cells measured, {found} were there, {len(result.waiting)} left out")
    for what, error in result.failures.items():
        session.console.error(f"{what}: {error}")
    tuned = Summary(around, base, by, seed, run_defaults(), session.console).of(planned, result)
    hand_over(session, render_tuning(tuned, format, caption=f"Tuning on {dataset.name} {', '.join(categories)}"),
              table, "tune")  # fmt: skip
    if out is not None:
        write_settings(out, tuned.settings)
        session.console.info(f"tune: {out}; next: lsfa run --config {out}")
    stage.raise_failures(result)
