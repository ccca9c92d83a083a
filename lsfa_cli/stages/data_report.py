"""What the check of a data set found, as plain values and as one JSON document."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lsfa_cli.checks.base import SEVERITIES, Figure, Finding
from lsfa_cli.checks.facts import Facts, ImageFacts, PointFacts
from lsfa_cli.samples import SampleRecord

SCHEMA = "data_check"
SCHEMA_VERSION = 1

Range = tuple[float, float]


@dataclass(frozen=True)
class Group:
    """The samples of one split and kind of defect. facts: of those that were read."""

    split: str
    defect: str
    samples: int
    facts: Sequence[Facts]

    @property
    def sizes(self) -> dict[str, int]:
        """ "WIDTH x HEIGHT" -> how many samples have it; empty for unorganized clouds."""
        sizes = Counter(facts.size for facts in self.facts if facts.size is not None)
        return {f"{width} x {height}": count for (height, width), count in sorted(sizes.items())}

    @property
    def values(self) -> Range | None:
        """Percentile 2 of the darkest and 98 of the brightest image, 0 to 255."""
        return _range([value for image in self._images() for value in (image.low, image.high)])

    @property
    def valid_share(self) -> Range | None:
        """The smallest and the largest share of pixels with a point; None for unorganized clouds."""
        return _range([points.valid_share for points in self._points() if points.valid_share is not None])

    @property
    def points(self) -> tuple[int, int] | None:
        """The smallest and the largest number of points."""
        counts = [points.count for points in self._points()]
        return (min(counts), max(counts)) if counts else None

    @property
    def z(self) -> Range | None:
        """The nearest and the farthest z, metres, without the 2 percent at either end of each scan."""
        return _range([value for points in self._points() for value in (points.low[2], points.high[2])])

    def _images(self) -> list[ImageFacts]:
        return [facts.image for facts in self.facts if facts.image is not None]

    def _points(self) -> list[PointFacts]:
        return [facts.points for facts in self.facts if facts.points is not None]


@dataclass(frozen=True)
class CategoryReport:
    """What was found in one category. figures: the values by which each check judged, by its name."""

    name: str
    modalities: Sequence[str]
    groups: Sequence[Group]
    findings: Sequence[Finding]
    figures: Mapping[str, Mapping[str, Figure]]
    records: Sequence[SampleRecord]

    @property
    def samples(self) -> int:
        """How many samples there are."""
        return sum(group.samples for group in self.groups)

    @property
    def read(self) -> int:
        """How many of them were read."""
        return sum(len(group.facts) for group in self.groups)


@dataclass(frozen=True)
class DataReport:
    """What was found in a data set."""

    dataset: str
    root: Path
    categories: Sequence[CategoryReport]

    @property
    def counts(self) -> dict[str, int]:
        """Severity -> number of findings."""
        found = Counter(finding.severity for row in self.categories for finding in row.findings)
        return {severity: found[severity] for severity in SEVERITIES}

    @property
    def usable(self) -> bool:
        """Whether there is no error."""
        return not self.counts["error"]

    def document(self) -> dict[str, Any]:
        """Everything as JSON values, under keys that stay the same within a schema version."""
        return {
            "schema": SCHEMA,
            "schema_version": SCHEMA_VERSION,
            "dataset": self.dataset,
            "root": str(self.root),
            "usable": self.usable,
            "counts": self.counts,
            "categories": [_category(row) for row in self.categories],
            "findings": [_finding(row.name, finding) for row in self.categories for finding in row.findings],
        }


def _category(report: CategoryReport) -> dict[str, Any]:
    return {
        "name": report.name,
        "modalities": list(report.modalities),
        "samples": report.samples,
        "read": report.read,
        "groups": [_group(group) for group in report.groups],
        "figures": {check: dict(values) for check, values in report.figures.items()},
    }


def _group(group: Group) -> dict[str, Any]:
    return {
        "split": group.split,
        "defect": group.defect,
        "samples": group.samples,
        "read": len(group.facts),
        "sizes": group.sizes,
        "rgb_range": group.values,
        "valid_share": group.valid_share,
        "points": group.points,
        "z_range_m": group.z,
    }


def _finding(category: str, finding: Finding) -> dict[str, Any]:
    return {
        "severity": finding.severity,
        "check": finding.check,
        "category": category,
        "message": finding.message,
        "advice": finding.advice,
        "samples": list(finding.samples),
        "files": list(finding.files),
    }


def _range(values: Sequence[float]) -> Range | None:
    return (min(values), max(values)) if values else None
