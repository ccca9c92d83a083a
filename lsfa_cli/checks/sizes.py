"""Have the images and organized clouds of a category one size?"""

from collections import Counter
from collections.abc import Sequence
from typing import ClassVar

from lsfa_cli.checks.base import Finding, Measured, Verdict, View

Size = tuple[int, int]


class Sizes:
    """Judges the heights and widths of a category. Image, cloud and mask of one sample were compared on reading."""

    name: ClassVar[str] = "sizes"
    every: ClassVar[bool] = False
    most: ClassVar[int | None] = None

    def measure(self, view: View) -> Size | None:
        """Height and width; None for unorganized clouds."""
        return None if view.facts is None else view.facts.size

    def judge(self, measured: Sequence[Measured[Size]]) -> Verdict:
        """Samples that have not the most frequent size."""
        counts = Counter(row.value for row in measured)
        figures = {f"{width} x {height}": count for (height, width), count in sorted(counts.items())}
        if len(counts) < 2:
            return Verdict(figures=figures)
        usual = max(counts, key=lambda size: (counts[size], size))
        others = tuple(row.record.name for row in measured if row.value != usual)
        text = ", ".join(f"{size} ({count})" for size, count in figures.items())
        finding = Finding(
            "note",
            self.name,
            f"samples of several sizes: {text}.",
            "All are resized to the same square, so a part of another size in pixels looks scaled. "
            "Crop them alike if they come from one camera.",
            others,
        )
        return Verdict([finding], figures)
