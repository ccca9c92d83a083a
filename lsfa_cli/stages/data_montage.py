"""A picture of samples of every category, those with findings marked."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from lsfa_cli.datasets.base import Dataset
from lsfa_cli.errors import DataError
from lsfa_cli.figures.raw_samples import COLUMNS, Tile, montage
from lsfa_cli.samples import SampleRecord
from lsfa_cli.stages.check_data import spread, view_of
from lsfa_cli.stages.data_report import CategoryReport, DataReport
from lsfa_cli.stages.looks import look_of

TILES = 3 * COLUMNS
"""Samples of a category in the picture."""
_MARKED = 2 * COLUMNS  # of them at most with findings, so that there is something to compare them with
_PIXELS = 256  # of a tile's longer side; a little more than it is shown with


def write_montage(dataset: Dataset, report: DataReport, path: Path) -> None:
    """Write a montage of the checked data set. `DataError` when there is no sample at all."""
    sections = []
    for category in report.categories:
        marks = _marks(category)
        tiles = [_tile(dataset, record, marks.get(record.name, "")) for record in chosen(category.records, marks)]
        if tiles:
            title = f"{report.dataset} {category.name}: {len(tiles)} of {category.samples} samples"
            sections.append((f"{title}, {len(marks)} marked", tiles))
    if not sections:
        raise DataError(f"{report.root}: no sample for a montage.")
    montage(path, sections)


def chosen(records: Sequence[SampleRecord], marked: Sequence[str] | dict[str, str]) -> list[SampleRecord]:
    """The samples of a category that are shown: the marked ones, and others evenly spread, in the given order."""
    first = spread([record for record in records if record.name in marked], _MARKED)
    others = [record for record in records if record.name not in marked]
    names = {record.name for record in [*first, *spread(others, TILES - len(first))]}
    return [record for record in records if record.name in names]


def _marks(category: CategoryReport) -> dict[str, str]:
    """Sample -> the checks that found it, of errors and warnings."""
    checks: dict[str, list[str]] = defaultdict(list)
    for finding in category.findings:
        for name in finding.samples if finding.severity != "note" else ():
            if finding.check not in checks[name]:
                checks[name].append(finding.check)
    return {name: ", ".join(found) for name, found in checks.items()}


def _tile(dataset: Dataset, record: SampleRecord, mark: str) -> Tile:
    try:
        look = look_of(view_of(dataset, record), _PIXELS)
    except DataError:  # which the report has told
        return Tile(record.name, mark or "files", None)
    return Tile(record.name, mark, look)
