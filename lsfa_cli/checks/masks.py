"""Do masks mark defects, on defective parts alone?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from lsfa_cli.checks.base import Finding, Measured, Severity, Verdict, View, share_of

MOST_VALUES = 16
"""Class ids that one mask may hold. More are shades of grey: the mask was resized or compressed."""
MOST_COVERED = 0.9
"""Share of the picture that a defect may cover."""
FEW_EMPTY = 0.2
"""Share of the defective samples whose defect may be hidden from the camera, as in Eyecandies."""


@dataclass(frozen=True)
class Marked:
    """The share of pixels, or of points, that is marked, None where nobody marked any; and the number of values."""

    share: float | None
    values: int
    thing: str


class Masks:
    """Judges masks and, of unorganized clouds, labels of points."""

    name: ClassVar[str] = "masks"
    every: ClassVar[bool] = False
    most: ClassVar[int | None] = None

    def measure(self, view: View) -> Marked | None:
        """What is marked in a sample; None outside the test split, where masks are not used."""
        if view.record.split != "test":
            return None
        values = len([value for value in view.mask_values or () if value])
        if view.cloud is not None:
            return Marked(float(view.cloud.defect.mean()), values, "points")
        mask = None if view.sample is None else view.sample.mask
        return Marked(None if mask is None else float(mask.mean()), values, "pixels")

    def judge(self, measured: Sequence[Measured[Marked]]) -> Verdict:
        """Marks on good parts, none on defective ones, marks nearly everywhere, shades of grey, no masks."""
        marked = [(row, row.value.share) for row in measured if row.value.share is not None]
        thing = measured[0].value.thing if measured else "pixels"
        defective = [(row, share) for row, share in marked if row.record.label]
        findings = _some(
            "error",
            f"masks of good parts mark {thing}.",
            "Move the samples to the folder of their defect, or empty their masks.",
            [row for row, share in marked if share and not row.record.label],
        )
        findings += self._empty(defective)
        findings += _some(
            "warning",
            f"masks that cover more than {MOST_COVERED:.0%} of the {thing}.",
            "Are they inverted? Defects must be above 0 and all else 0.",
            [row for row, share in defective if share > MOST_COVERED],
        )
        findings += _some(
            "warning",
            f"masks with more than {MOST_VALUES} values above 0.",
            "All above 0 counts as defect, also the soft border that resizing or JPEG makes. Threshold the masks.",
            [row for row in measured if row.value.values > MOST_VALUES],
        )
        findings += _some(
            "note",
            "defective samples that nobody has marked.",
            "They count in I-AUROC; P-AUROC and AUPRO need masks.",
            [row for row in measured if row.value.share is None and row.record.label],
        )
        shares = [share for _, share in defective if share]
        figures = {"defect_share": float(np.median(shares))} if shares else {}
        return Verdict(findings, figures)

    def _empty(self, defective: Sequence[tuple[Measured[Marked], float]]) -> list[Finding]:
        empty = [row for row, share in defective if not share]
        severity: Severity = "warning" if len(empty) > FEW_EMPTY * len(defective) else "note"
        return _some(
            severity,
            f"masks of defective parts that mark nothing, {share_of(len(empty), len(defective))}.",
            "A defect may be hidden from the camera; otherwise the file belongs to another sample.",
            empty,
        )


def _some(severity: Severity, message: str, advice: str, rows: Sequence[Measured[Marked]]) -> list[Finding]:
    """A finding about these samples; none without any."""
    if not rows:
        return []
    files = tuple(str(row.record.files["mask"]) for row in rows if "mask" in row.record.files)
    names = tuple(row.record.name for row in rows)
    return [Finding(severity, Masks.name, message, advice, names, files)]
