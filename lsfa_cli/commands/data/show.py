"""`lsfa data show`."""

from pathlib import Path
from typing import Annotated

import typer

from lsfa_cli.commands.data.options import PREPROCESSING
from lsfa_cli.commands.options import INPUT_PANEL, Session, with_settings
from lsfa_cli.datasets import open_dataset

EXAMPLES = "Example: lsfa data show test/hole/003 --data mvtec3d --root DIR --category cookie --preprocessed"

SampleName = Annotated[str, typer.Argument(help="A sample, such as test/hole/003.", show_default=False)]
Category = Annotated[
    str | None,
    typer.Option(
        "--category", "-c", help="Its category. Not needed where there is a single one.", metavar="NAME",
        rich_help_panel=INPUT_PANEL, show_default=False,
    ),
]  # fmt: skip
Preprocessed = Annotated[
    bool, typer.Option("--preprocessed", help="Also show what preprocessing makes of it, with the settings below.")
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out", help="The picture to write. Default: CATEGORY-SAMPLE.png here.", metavar="FILE",
        rich_help_panel=INPUT_PANEL, show_default=False,
    ),
]  # fmt: skip


@with_settings("extract", run=("data", "root"), making=False, only=PREPROCESSING)
def command(
    session: Session,
    sample: SampleName,
    category: Category = None,
    preprocessed: Preprocessed = False,
    out: Out = None,
) -> None:
    """One sample in a picture: image, shaded scan, outlined defect, sizes and ranges; also after preprocessing."""
    settings = session.stage("extract")
    dataset = open_dataset(session.run.data, session.run.root, light=settings.light)

    from lsfa_cli.stages.show_sample import find_sample, show_sample

    name, record = find_sample(dataset, category, sample)
    path = out or Path(f"{name}-{record.name.replace('/', '-')}{'-preprocessed' if preprocessed else ''}.png")
    for line in show_sample(dataset, name, record, path, settings if preprocessed else None):
        session.console.info(line)
    session.console.result(str(path))
