"""`lsfa data paste`."""

from pathlib import Path
from typing import Annotated

import typer

from lsfa_cli.commands.data.options import PREPROCESSING
from lsfa_cli.commands.options import INPUT_PANEL, Session, with_settings
from lsfa_cli.datasets import open_dataset

EXAMPLES = "Example: lsfa data paste --data mvtec3d --root DIR --category cookie --kind bump --kind scratch --samples 3"

FINDING = tuple(name for name in PREPROCESSING if name not in ("image_size", "pad_multiple", "cloud_spacing", "seed"))
"""The settings of preprocessing that decide what the part is."""

Category = Annotated[
    str | None,
    typer.Option(
        "--category", "-c", help="Its good training samples are taken. Not needed where there is a single category.",
        metavar="NAME", rich_help_panel=INPUT_PANEL, show_default=False,
    ),
]  # fmt: skip
Kinds = Annotated[
    list[str] | None,
    typer.Option(
        "--kind", "-k", metavar="NAME", show_default=False,
        help="A kind of defect (lsfa list defects); may be given several times. Default: all that suit the data.",
    ),
]  # fmt: skip
Samples = Annotated[
    int,
    typer.Option("--samples", "-n", min=1, max=20, metavar="N", help="Training samples that get each kind."),
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Another seed draws other places, sizes and colours.")]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out", help="The picture to write. Default: CATEGORY-pasted.png here.", metavar="FILE",
        rich_help_panel=INPUT_PANEL, show_default=False,
    ),
]  # fmt: skip


@with_settings("extract", run=("data", "root"), making=False, only=FINDING)
def command(
    session: Session,
    category: Category = None,
    kinds: Kinds = None,
    samples: Samples = 1,
    seed: Seed = 0,
    out: Out = None,
) -> None:
    """Paste defects into good samples and show them: image and scan before and after, and the mask.

    Sizes and heights are relative to the part. Look whether the defects could be real ones of yours; a kind that your
    part cannot have need not be used. The settings below find the part, as in extract. No file of the data is changed.
    """
    settings = session.stage("extract")
    dataset = open_dataset(session.run.data, session.run.root, light=settings.light)

    from lsfa_cli.stages.paste_defects import paste_defects
    from lsfa_cli.stages.show_sample import only_category

    name = only_category(dataset, category)
    path = out or Path(f"{name}-pasted.png")
    rows = paste_defects(
        dataset, name, path, settings, kinds=kinds or None, samples=samples, seed=seed, progress=session.console
    )
    for row in rows:
        session.console.info(row)
    session.console.result(str(path))
