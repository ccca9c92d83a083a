"""`lsfa synthesize`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from lsfa_cli.commands.options import Categories, Session, with_settings
from lsfa_cli.stages.read_ahead import worker_count

EXAMPLES = "Example: lsfa synthesize parts --category fitting --train 40"


def _count(flag: str, help: str, least: int = 0) -> Any:
    return typer.Option(flag, min=least, help=help)


@with_settings(run=("jobs",), making=False)
def command(
    session: Session,
    folder: Annotated[Path, typer.Argument(help="Folder that gets a folder for each category.", show_default=False)],
    category: Categories = None,
    seed: Annotated[int, _count("--seed", "Seed; the same seed gives the same bytes.")] = 0,
    size: Annotated[int, _count("--size", "Side of the images, pixels.")] = 400,
    train: Annotated[int, _count("--train", "Good parts for training.", 1)] = 24,
    validation: Annotated[int, _count("--validation", "Good parts for calibration.")] = 4,
    test_good: Annotated[int, _count("--test-good", "Good test parts.")] = 12,
    test_per_defect: Annotated[int, _count("--test-per-defect", "Test parts of each kind of defect.")] = 4,
) -> None:
    """Write synthetic parts with defects, in the layout of MVTec 3D-AD, for use with --data synthetic."""
    from lsfa_cli.datasets.synthetic import generate
    from lsfa_cli.stages.progress import so_far

    with session.console.track("make synthetic parts", 100) as advance:
        percent = so_far(advance)
        made = generate(
            folder,
            categories=category,
            seed=seed,
            size=size,
            train=train,
            validation=validation,
            test_good=test_good,
            test_per_defect=test_per_defect,
            jobs=worker_count(session.run.jobs),
            progress=lambda done, total: percent(100 * done // total, 100),
        )
    session.console.info(f"{', '.join(made)} in {folder}; next: lsfa run --data synthetic --root {folder}")
