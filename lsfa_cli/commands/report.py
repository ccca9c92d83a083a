"""`lsfa report`."""

from pathlib import Path
from typing import Annotated

import typer

from lsfa_cli.catalog import lookup
from lsfa_cli.commands.options import INPUT_PANEL, Categories, Session, TableFormat, TableOut, with_settings
from lsfa_cli.commands.running import hand_over, raise_failures
from lsfa_cli.errors import ArtifactError, UnknownNameError
from lsfa_cli.stages.places import categories as made_categories
from lsfa_cli.stages.places import places, variants

EXAMPLES = "Example: lsfa report --format latex --compare-published"

ScoresFiles = Annotated[
    list[Path] | None,
    typer.Option(
        "--scores", help="A scores artifact; may be given several times.", metavar="FILE",
        rich_help_panel=INPUT_PANEL, show_default=False,
    ),
]  # fmt: skip
FeaturesFiles = Annotated[
    list[Path] | None,
    typer.Option(
        "--features", help="The features of each --scores, in the same order; pictures need them.", metavar="FILE",
        rich_help_panel=INPUT_PANEL, show_default=False,
    ),
]  # fmt: skip
Pictures = Annotated[
    Path | None,
    typer.Option(
        "--pictures", help="Write heat maps of telling cases here.", metavar="DIR", rich_help_panel=INPUT_PANEL
    ),
]
Published = Annotated[bool, typer.Option("--compare-published", help="Add the figures that papers print.")]


@with_settings("report", run=("data", "work"), making=False)
def command(
    session: Session,
    category: Categories = None,
    scores: ScoresFiles = None,
    features: FeaturesFiles = None,
    format: TableFormat = "markdown",
    compare_published: Published = False,
    out: TableOut = None,
    pictures: Pictures = None,
) -> None:
    """Tables of I-AUROC, P-AUROC and AUPRO a category and modality, beside the baseline where it was scored.

    Of unorganized clouds: AUROC and AUPR of objects and of points.
    """
    from lsfa_cli.stages.pictures import write_pictures
    from lsfa_cli.stages.report import ScoresFile, report
    from lsfa_cli.tables.formats import FORMATS

    lookup(FORMATS, "format", format)
    if scores:
        partners = [*(features or []), *[None] * len(scores)]
        files = [ScoresFile(path, partner) for path, partner in zip(scores, partners, strict=False)]
    else:
        files = [
            ScoresFile.at(places(session.run.work, session.run.data, name, variant), variant)
            for name in _categories(session, category)
            for variant in variants(session.run.work, session.run.data, name)
        ]
    if not files:
        raise ArtifactError(f"no scores under {session.run.work / session.run.data}", hint="Make them with: lsfa score")
    result = report(files, session.stage("report"), progress=session.console)
    if result.results:
        text = result.text(format, compare_published=compare_published)
        hand_over(session, text, out, "report")
    if pictures is not None:
        made = write_pictures(files, pictures, progress=session.console)
        session.console.info(f"report: {len(made)} pictures in {pictures}")
    raise_failures(session, result.failures, len(files))


def _categories(session: Session, chosen: list[str] | None) -> list[str]:
    known = made_categories(session.run.work, session.run.data)
    for name in chosen or ():
        if name not in known:
            raise UnknownNameError(f"category under {session.run.work / session.run.data}", name, known)
    return chosen or known
