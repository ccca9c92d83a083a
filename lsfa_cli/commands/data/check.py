"""`lsfa data check`."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from lsfa_cli.commands.data.options import DataName, Light
from lsfa_cli.commands.options import INPUT_PANEL, Categories, Session, with_settings
from lsfa_cli.datasets import open_dataset
from lsfa_cli.errors import DataError
from lsfa_cli.wording import counted

EXAMPLES = "Example: lsfa data check mvtec3d --root DIR --montage montage.png"

Json = Annotated[bool, typer.Option("--json", help="One JSON document instead of the table.")]
Montage = Annotated[
    Path | None,
    typer.Option(
        "--montage", help="Write a picture of samples of every category here.", metavar="FILE",
        rich_help_panel=INPUT_PANEL, show_default=False,
    ),
]  # fmt: skip
Samples = Annotated[
    int | None,
    typer.Option(
        "--samples", min=1, metavar="N", show_default=False,
        help="Read at most N samples of each split and kind of defect. Default: all. All are searched for equal files.",
    ),
]  # fmt: skip


@with_settings(run=("root", "jobs"), making=False)
def command(
    session: Session,
    name: DataName = "",
    category: Categories = None,
    as_json: Json = False,
    montage: Montage = None,
    samples: Samples = None,
    light: Light = None,
) -> None:
    """Check a data set before it is used: counts, files, sizes, units, axes, alignment, masks, duplicates, outliers.

    Exit code 3 when there is an error: the data cannot be used as it is. Warnings are very likely mistakes; a clean
    data set gives none.
    """
    light = session.stage("extract").light if light is None else light
    dataset = open_dataset(name or session.run.data, session.run.root, light=light)
    categories = list(category or dataset.categories())

    from lsfa_cli.stages.check_data import check_data

    report = check_data(dataset, categories, samples=samples, jobs=session.run.jobs, progress=session.console)
    if as_json:
        session.console.result(json.dumps(report.document(), indent=2, allow_nan=False))
    else:
        from lsfa_cli.commands.data.check_text import print_report

        print_report(report, terminal=sys.stdout.isatty())
    if montage is not None:
        from lsfa_cli.stages.data_montage import write_montage

        write_montage(dataset, report, montage)
        session.console.info(f"data check: {montage}")
    if not report.usable:
        errors = counted(report.counts["error"], "error")
        raise DataError(
            f"{dataset.name} in {dataset.root} is not usable as it is: {errors}.",
            hint="What to do stands with each finding above.",
        )
