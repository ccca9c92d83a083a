"""The categories: which part, how it lies, which defects it can have."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from lsfa_cli.datasets.synthetic import CATEGORIES, defects
from lsfa_cli.datasets.synthetic.defects import Kind
from lsfa_cli.datasets.synthetic.parts.base import Part
from lsfa_cli.datasets.synthetic.parts.biscuit import Biscuit
from lsfa_cli.datasets.synthetic.parts.cover import Cover
from lsfa_cli.datasets.synthetic.parts.dowel import Dowel
from lsfa_cli.datasets.synthetic.parts.fitting import Fitting


@dataclass(frozen=True)
class Category:
    """A kind of part and the station that inspects it.

    tilt_degrees: how the background leans about the camera's x and y. turn_degrees: middle and half-range of the
    part's rotation in the plane. lean_degrees: deviation of how unevenly it lies. shift_mm: half-range of its place.
    exposure: strength of the light. background_loss: share of the cloth's points that do not come back.
    defects: the defect folders, in alphabetical order of their mask ids.
    """

    name: str
    description: str
    make: Callable[[np.random.Generator], Part]
    defects: Mapping[str, Kind]
    tilt_degrees: tuple[float, float] = (-18.0, 5.0)
    turn_degrees: tuple[float, float] = (-25.0, 28.0)
    lean_degrees: float = 1.2
    shift_mm: float = 5.0
    exposure: float = 1.1
    background_loss: float = 0.36


CATALOGUE: dict[str, Category] = {
    category.name: category
    for category in (
        Category(
            name="biscuit",
            description=CATEGORIES["biscuit"],
            make=Biscuit,
            defects={
                "burn": Kind(defects.stain, "rgb", "dough"),
                "contamination": Kind(defects.contamination, "both", "body"),
                "dent": Kind(defects.dent, "xyz", "body"),
                "hole": Kind(defects.hole, "both", "dough"),
            },
            tilt_degrees=(-12.0, 3.0),
            turn_degrees=(0.0, 180.0),
            exposure=1.25,
            background_loss=0.28,
        ),
        Category(
            name="cover",
            description=CATEGORIES["cover"],
            make=Cover,
            defects={
                "print": Kind(defects.smeared_print, "rgb", "print"),
                "rib": Kind(defects.wear, "both", "rib"),
                "scratch": Kind(defects.scratch, "rgb", "flat"),
                "sink": Kind(defects.dent, "xyz", "flat"),
            },
            tilt_degrees=(-15.0, -4.0),
            turn_degrees=(0.0, 14.0),
            lean_degrees=0.6,
            exposure=1.5,
            background_loss=0.33,
        ),
        Category(
            name="dowel",
            description=CATEGORIES["dowel"],
            make=Dowel,
            defects={
                "bump": Kind(defects.bump, "xyz", "body"),
                "contamination": Kind(defects.contamination, "both", "body"),
                "cut": Kind(defects.cut, "both", "body"),
                "stain": Kind(defects.stain, "rgb", "body"),
            },
            tilt_degrees=(-16.0, 2.0),
            turn_degrees=(0.0, 28.0),
            exposure=1.05,
            background_loss=0.30,
        ),
        Category(
            name="fitting",
            description=CATEGORIES["fitting"],
            make=Fitting,
            defects={
                "dent": Kind(defects.dent, "xyz", "face"),
                "hole": Kind(defects.hole, "both", "face"),
                "stain": Kind(defects.stain, "rgb", "body"),
                "thread": Kind(defects.wear, "both", "thread"),
            },
        ),
    )
}
