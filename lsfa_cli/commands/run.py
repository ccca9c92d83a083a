"""`lsfa run`."""

from dataclasses import replace
from typing import Annotated

import typer

from lsfa_cli.commands.options import RUN_PANEL, Categories, Session, with_settings
from lsfa_cli.commands.running import cache_folder, each_category, raise_failures, tell
from lsfa_cli.configuration import NO_DEFAULTS, run_defaults
from lsfa_cli.datasets import open_dataset
from lsfa_cli.datasets.base import CloudDataset
from lsfa_cli.errors import LsfaError
from lsfa_cli.stages.making import Mode
from lsfa_cli.stages.places import places

EXAMPLES = "Example: lsfa run --data mvtec3d --root DIR --category cookie"

Baseline = Annotated[
    bool,
    typer.Option("--baseline/--no-baseline", help="Also score without adaptor, to compare.", rich_help_panel=RUN_PANEL),
]
Control = Annotated[
    bool,
    typer.Option("--control/--no-control", help="Also score with an untrained adaptor.", rich_help_panel=RUN_PANEL),
]


@with_settings(
    "extract",
    "adapt",
    "bank",
    "score",
    "report",
    run=("data", "root", "work", "cache", "jobs", "search"),
    defaults=run_defaults(),
)
def command(
    session: Session,
    category: Categories = None,
    baseline: Baseline = True,
    control: Control = False,
    rerun: bool = False,
    dry_run: bool = False,
) -> None:
    """Run extract, adapt, bank, score and report. Only what is not up to date is made.

    By default discriminators learn from pasted defects and score beside the memory banks, without adaptors; what this
    was chosen by is in the documentation's results. --objective lsfa trains adaptors as in the paper.
    """
    light = session.stage("extract").light
    dataset = open_dataset(session.run.data, session.run.root, light=light)
    if isinstance(dataset, CloudDataset) or not session.stage("adapt").trains_discriminators:
        session = replace(session, defaults=NO_DEFAULTS)  # they are of discriminators, which look at pixels
    elif session.sources.stage_values("score")["fusion"].value != "average":
        session = replace(session, defaults={**session.defaults, "score": {}})  # weights are of calibrated scores
    extraction = session.stage("extract")
    categories = list(category or dataset.categories())

    from lsfa_cli.preprocessing.cache import SampleCache
    from lsfa_cli.stages import run as stages
    from lsfa_cli.stages.report import ScoresFile, report

    settings = session.stage("adapt")
    chosen = [stages.method(settings)]
    chosen += [stages.baseline()] if baseline else []
    chosen += [stages.control(settings)] if control else []
    job = stages.Job(
        dataset,
        session.run.work,
        extraction,
        session.stage("bank"),
        session.stage("score"),
        chosen,
        SampleCache(cache_folder(session)),
        session.run.jobs,
        session.run.search,
    )
    scored: list[ScoresFile] = []

    def work(name: str) -> None:
        for step in stages.run_category(job, name, Mode(rerun, dry_run), session.console):
            tell(session, step.stage, name, step.outcome, step.variant)
        for variant in chosen:
            scored.append(ScoresFile.at(places(job.work, dataset.name, name, variant.name), variant.name))

    failure: LsfaError | None = None
    try:
        each_category(session, categories, work)
    except LsfaError as error:
        failure = error  # what was scored is still reported
    if scored and not dry_run:
        result = report(scored, session.stage("report"), progress=session.console)
        if result.results:
            session.console.result(result.text("markdown"))
        if failure is None:
            raise_failures(session, result.failures, len(scored))
    if failure is not None:
        raise failure
