"""Do the images show something, and have the scans points?"""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from lsfa_cli.checks.base import Finding, Measured, Verdict, View
from lsfa_cli.checks.facts import Facts

# Published parts cover 4 % of an image (CandyCane) and more; features of a scan need some hundred points.
SMALLEST_SHARE = 0.005
FEWEST_POINTS = 100
PLAIN = 1.0
"""Standard deviation of an image's values, 0 to 255, below which it shows nothing."""
DARK = 12.0
"""98th percentile of an image's values, 0 to 255, below which it is nearly black."""


class Values:
    """Judges images and scans, each for itself and all together."""

    name: ClassVar[str] = "values"
    every: ClassVar[bool] = False
    most: ClassVar[int | None] = None

    def measure(self, view: View) -> Facts | None:
        """The facts as they are."""
        return view.facts

    def judge(self, measured: Sequence[Measured[Facts]]) -> Verdict:
        """Plain and dark images, scans with next to no points."""
        return Verdict([*self._images(measured), *self._scans(measured)])

    def _images(self, measured: Sequence[Measured[Facts]]) -> list[Finding]:
        images = [(row.record.name, row.value.image) for row in measured if row.value.image is not None]
        plain = tuple(name for name, image in images if image.deviation < PLAIN)
        findings = []
        if plain:
            advice = "Look at the files, and at what exports them."
            findings.append(Finding("warning", self.name, "images of one colour.", advice, plain))
        brightest = [image.high for name, image in images if name not in plain]
        if brightest and np.median(brightest) < DARK:
            findings.append(
                Finding(
                    "warning",
                    self.name,
                    f"nearly black images: 98 % of their values are below {np.median(brightest):.0f} of 255.",
                    "If their values were meant to be 0 to 1, or 12 bits in 16, scale them to 0 to 255.",
                )
            )
        return findings

    def _scans(self, measured: Sequence[Measured[Facts]]) -> list[Finding]:
        few = []
        for row in measured:
            points = row.value.points
            if points is not None and (points.count < FEWEST_POINTS or (points.valid_share or 1.0) < SMALLEST_SHARE):
                few.append(row.record.name)
        if not few:
            return []
        return [
            Finding(
                "warning",
                self.name,
                f"scans with fewer than {FEWEST_POINTS} points, or points at less than {SMALLEST_SHARE:.1%} of pixels.",
                "Was the part in view, and is the marker of missing points right?",
                tuple(few),
            )
        ]
