"""Pictures for reports: which cases to look at, how they are drawn, training curves, and a shading of 3D scans.

Drawn with matplotlib's Figure objects alone (no pyplot, no display, no user style). Equal input gives equal bytes with
the same version of matplotlib, which is imported when something is drawn.
"""

from lsfa_cli.figures.cases import Case, case_title, choose_cases
from lsfa_cli.figures.curves import curves_picture
from lsfa_cli.figures.differences import Difference, differences_picture
from lsfa_cli.figures.panels import UNIT, Limits, map_limits
from lsfa_cli.figures.pictures import SheetRow, case_picture, contact_sheet
from lsfa_cli.figures.shading import shade_depth
from lsfa_cli.figures.variant_curves import variant_curves_picture

__all__ = [
    "UNIT",
    "Case",
    "Difference",
    "Limits",
    "SheetRow",
    "case_picture",
    "case_title",
    "choose_cases",
    "contact_sheet",
    "curves_picture",
    "differences_picture",
    "map_limits",
    "shade_depth",
    "variant_curves_picture",
]
