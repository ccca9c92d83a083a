"""Arguments and options that commands about data sets share."""

from typing import Annotated

import typer

from lsfa_cli.commands.options import INPUT_PANEL

DataName = Annotated[
    str, typer.Argument(help="A data set (lsfa data list). Default: data of lsfa.toml.", show_default=False)
]
Light = Annotated[
    int | None,
    typer.Option(
        "--light",
        min=0,
        max=5,
        help="Which light of eyecandies. Default: that of the settings of extract, 4.",
        show_default=False,
        rich_help_panel=INPUT_PANEL,
    ),
]

PREPROCESSING = (
    "image_size",
    "remove_plane",
    "plane_inlier_distance",
    "plane_removal_distance",
    "plane_sample_points",
    "plane_draws",
    "border_width",
    "keep_largest_cluster",
    "cluster_distance",
    "cluster_min_points",
    "pad_multiple",
    "cloud_spacing",
    "light",
    "seed",
)
"""The settings of extract that change how a sample looks after preprocessing."""
