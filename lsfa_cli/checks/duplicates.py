"""Is an image or a scan there twice? In training and test it would be found where it is learned."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import ClassVar

from lsfa_cli.checks.base import Finding, Measured, Severity, Verdict, View
from lsfa_cli.samples import SampleRecord

COMPARED: Mapping[str, str] = {"rgb": "image", "xyz": "scan", "depth": "depth image"}
"""Role of a file that is compared -> what it is. Masks and calibrations may well be equal."""
_LEAK = "Take the test sample out, or the training sample: its score means nothing, and so do the figures."
_TORN = "Take the wrong one out: no score can be right for both."
_TWICE = "Take one of them out: it counts twice."


class Duplicates:
    """Judges keys of equal content."""

    name: ClassVar[str] = "duplicates"
    every: ClassVar[bool] = True
    most: ClassVar[int | None] = None

    def measure(self, view: View) -> Mapping[str, str] | None:
        """Role -> key, of images and scans that some other file equals; None where there is none."""
        return {role: key for role, key in view.same_content.items() if role in COMPARED} or None

    def judge(self, measured: Sequence[Measured[Mapping[str, str]]]) -> Verdict:
        """One finding for each set of samples with the same image, the same scan, or both."""
        groups: dict[str, tuple[str, list[SampleRecord]]] = {}
        for row in measured:
            for role, key in row.value.items():
                groups.setdefault(f"{role} {key}", (role, []))[1].append(row.record)
        roles: dict[tuple[str, ...], list[str]] = defaultdict(list)
        records: dict[tuple[str, ...], list[SampleRecord]] = {}
        for role, members in groups.values():
            names = tuple(record.name for record in members)
            if len(names) > 1:
                roles[names].append(role)
                records[names] = members
        return Verdict([self._finding(records[names], found) for names, found in roles.items()])

    def _finding(self, records: Sequence[SampleRecord], roles: Sequence[str]) -> Finding:
        what = " and ".join(name for role, name in COMPARED.items() if role in roles)
        splits = {record.split for record in records}
        leak = "test" in splits and len(splits) > 1
        torn = len({record.label for record in records}) > 1
        severity: Severity = "error" if leak or torn else "warning"
        where = "in training and test" if {"train", "test"} <= splits else f"in {' and '.join(sorted(splits))}"
        where += ", as good and as defective" if torn else ""
        return Finding(
            severity,
            self.name,
            f"the same {what} {len(records)} times, {where}.",
            _LEAK if leak else _TORN if torn else _TWICE,
            tuple(record.name for record in records),
            tuple(str(record.files[role]) for record in records for role in roles if role in record.files),
        )
