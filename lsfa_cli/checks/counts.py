"""Are there enough good parts to train, and good and defective ones to test?"""

from collections.abc import Sequence
from typing import ClassVar

from lsfa_cli.checks.base import Finding, Measured, Verdict, View
from lsfa_cli.wording import counted

# Real3D-AD trains on 4; with fewer nothing says what varies among good parts.
FEWEST_TRAINING = 4


class Counts:
    """Judges the records of a category alone."""

    name: ClassVar[str] = "counts"
    every: ClassVar[bool] = True
    most: ClassVar[int | None] = None

    def measure(self, view: View) -> bool:
        """Whether the sample is defective."""
        return bool(view.record.label)

    def judge(self, measured: Sequence[Measured[bool]]) -> Verdict:
        """No or few training samples; a test split with one kind alone."""
        training = [row for row in measured if row.record.split == "train"]
        test = [row for row in measured if row.record.split == "test"]
        good = sum(not row.value for row in test)
        findings = [*self._training(len(training)), *self._test(good, len(test) - good)]
        defective = [row.record.name for row in measured if row.value and row.record.split != "test"]
        if defective:
            findings.append(
                Finding(
                    "error",
                    self.name,
                    "defective samples outside the test split.",
                    "Training and validation take good parts alone. Move them to the test split.",
                    tuple(defective),
                )
            )
        return Verdict(findings)

    def _training(self, count: int) -> list[Finding]:
        if count == 0:
            return [Finding("error", self.name, "no training samples.", "Add good parts to the training split.")]
        if count < FEWEST_TRAINING:
            message = f"{counted(count, 'training sample')}."
            return [Finding("warning", self.name, message, "Add good parts; twenty to thirty are a fair start.")]
        return []

    def _test(self, good: int, defective: int) -> list[Finding]:
        if not good + defective:
            return [Finding("note", self.name, "no test samples.", "Without them there is nothing to score.")]
        if good and defective:
            return []
        lacking = "defective" if good else "good"
        return [
            Finding(
                "note",
                self.name,
                f"no {lacking} test samples.",
                "Scores and pictures can be made, but I-AUROC needs good and defective ones.",
            )
        ]
