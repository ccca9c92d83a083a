"""Check a data set before it is used: count, read and measure its samples, and judge each category.

What cannot be read is a finding, so that one damaged file does not hide the rest.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lsfa_cli.checks import CHECKS
from lsfa_cli.checks.base import SEVERITIES, Check, Finding, Measured, Verdict, View
from lsfa_cli.checks.duplicates import COMPARED
from lsfa_cli.checks.facts import Facts, facts_of, point_facts
from lsfa_cli.datasets.base import CloudDataset, Dataset, RasterDataset
from lsfa_cli.datasets.files import PNG_SIGNATURE, png_header, png_pixels
from lsfa_cli.datasets.folders import IncompleteError
from lsfa_cli.errors import DataError
from lsfa_cli.regular_files import content_of
from lsfa_cli.samples import SampleRecord
from lsfa_cli.stages.data_report import CategoryReport, DataReport, Group
from lsfa_cli.stages.identical_files import identical_files
from lsfa_cli.stages.progress import Advance, NoProgress, Progress
from lsfa_cli.stages.read_ahead import read_ahead
from lsfa_cli.wording import counted

FILES = "files"
"""The name under which files are reported that are missing or cannot be used."""
_ALIKE = 3  # samples with one and the same trouble from which they make one finding


def check_data(
    dataset: Dataset,
    categories: Sequence[str],
    *,
    samples: int | None = None,
    jobs: int = 0,
    progress: Progress | None = None,
) -> DataReport:
    """Check the given categories.

    samples: at most so many of each split and kind of defect are read, evenly spread; None reads all. Counts and the
    search for equal files take all anyway. jobs: threads that read, 0 is one a processor; the report does not depend
    on it. Raises UnknownNameError for an unknown category.
    """
    progress = progress or NoProgress()
    listed = {name: _list(dataset, name) for name in categories}
    chosen = {name: _spread_by_group(records, samples) for name, (records, _) in listed.items()}
    reports = []
    with progress.track("check", sum(map(len, chosen.values()))) as advance:
        for name, (records, findings) in listed.items():
            walk = _Walk(dataset, records, chosen[name], jobs)
            reports.append(walk.report(name, findings, advance))
    return DataReport(dataset.name, dataset.root, reports)


def _list(dataset: Dataset, category: str) -> tuple[list[SampleRecord], list[Finding]]:
    """The samples of a category that have all their files, and what is wrong with the others."""
    try:
        return dataset.records(category), []
    except IncompleteError as error:
        are = "is" if len(error.missing) == 1 else "are"
        message = f"{counted(len(error.missing), 'file')} {are} missing."
        finding = Finding("error", FILES, message, error.hint or "", files=tuple(error.missing))
        return _complete(error.records), [finding]
    except DataError as error:
        return [], [Finding("error", FILES, error.message, error.hint or "")]


def _complete(records: Sequence[SampleRecord]) -> list[SampleRecord]:
    """The samples that have every image and scan that others have, and whose files are there."""
    roles = {role for record in records for role in record.files if role in COMPARED}
    return [row for row in records if roles <= set(row.files) and all(map(_exists, row.files.values()))]


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False


class _Walk:
    """Reads the chosen samples of one category and asks every check about them."""

    def __init__(
        self, dataset: Dataset, records: Sequence[SampleRecord], chosen: Sequence[SampleRecord], jobs: int
    ) -> None:
        self._dataset, self._records, self._chosen, self._jobs = dataset, records, chosen, jobs
        checks: list[Check[Any]] = [entry.load()() for entry in CHECKS.values()]
        self._every = [check for check in checks if check.every]
        self._reading = [
            (check, {record.name for record in spread(chosen, check.most)}) for check in checks if not check.every
        ]

    def report(self, category: str, findings: Sequence[Finding], advance: Advance) -> CategoryReport:
        """Everything about the category. findings: what is known already."""
        unread: list[Finding] = []
        facts: dict[str, Facts] = {}
        measured: dict[str, list[Measured[Any]]] = {name: [] for name in CHECKS}
        if self._records:
            self._measure_files(measured)
        for record, read in zip(self._chosen, read_ahead(self._measure, self._chosen, self._jobs), strict=True):
            advance(1)
            if isinstance(read, Finding):
                unread.append(read)
                continue
            facts[record.name], values = read
            for name, value in values.items():
                measured[name].append(Measured(record, value))
        verdicts = self._judge(measured) if self._records else {}
        found = [*findings, *_told_once(unread)]
        found += [finding for verdict in verdicts.values() for finding in verdict.findings]
        return CategoryReport(
            category,
            self._modalities(category),
            self._groups(facts),
            sorted(found, key=lambda finding: SEVERITIES.index(finding.severity)),
            {name: verdict.figures for name, verdict in verdicts.items() if verdict.figures},
            self._records,
        )

    def _measure_files(self, measured: Mapping[str, list[Measured[Any]]]) -> None:
        """Ask the checks that need no pixels about all samples."""
        scans_and_images = [path for record in self._records for role, path in record.files.items() if role in COMPARED]
        same = identical_files(scans_and_images)
        for record in self._records:
            view = View(record, {role: same[path] for role, path in record.files.items() if path in same})
            for check in self._every:
                value = check.measure(view)
                if value is not None:
                    measured[check.name].append(Measured(record, value))

    def _measure(self, record: SampleRecord) -> Finding | tuple[Facts, dict[str, Any]]:
        """What the checks measure on one sample, or why it cannot be read."""
        try:
            view = view_of(self._dataset, record)
        except DataError as error:
            named = {str(path): error.message.find(str(path)) for path in record.files.values()}
            files = sorted((path for path, place in named.items() if place >= 0), key=named.__getitem__)
            return Finding("error", FILES, error.message, error.hint or "", (record.name,), tuple(files))
        values = {check.name: check.measure(view) for check, names in self._reading if record.name in names}
        if view.facts is None:
            raise ValueError(f"{record.name} was not read")
        return view.facts, {name: value for name, value in values.items() if value is not None}

    def _judge(self, measured: Mapping[str, list[Measured[Any]]]) -> dict[str, Verdict]:
        checks = {check.name: check for check in [*self._every, *(check for check, _ in self._reading)]}
        return {name: checks[name].judge(measured[name]) for name in CHECKS}

    def _groups(self, facts: Mapping[str, Facts]) -> list[Group]:
        groups = []
        for (split, defect), members in _by_group(self._records).items():
            known = [facts[record.name] for record in members if record.name in facts]
            groups.append(Group(split, defect, len(members), known))
        return groups

    def _modalities(self, category: str) -> tuple[str, ...]:
        try:
            return tuple(self._dataset.modalities(category))
        except DataError:  # which listing the samples has reported
            return ()


def view_of(dataset: Dataset, record: SampleRecord) -> View:
    """Read one sample and state its facts. `DataError` names the file that cannot be used."""
    if isinstance(dataset, CloudDataset):
        cloud = dataset.read_cloud(record)
        return View(record, {}, Facts(None, None, point_facts(cloud.points)), cloud=cloud)
    if not isinstance(dataset, RasterDataset):
        raise TypeError(f"{dataset.name} reads neither rasters nor clouds")
    sample = dataset.read(record)
    return View(record, {}, facts_of(sample), sample=sample, mask_values=_mask_values(record))


def _told_once(findings: Sequence[Finding]) -> list[Finding]:
    """The same trouble with many samples as one finding: a wrong setting or the wrong format concerns all of them."""
    alike: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        trouble = finding.message
        for path in finding.files:
            trouble = trouble.replace(path, "")
        alike.setdefault((trouble, finding.advice), []).append(finding)
    return [row for members in alike.values() for row in (members if len(members) < _ALIKE else [_together(members)])]


def _together(findings: Sequence[Finding]) -> Finding:
    """Findings that differ in their files alone as one, in the words of the first."""
    samples = [name for finding in findings for name in finding.samples]
    files = dict.fromkeys(path for finding in findings for path in finding.files)
    message = f"{findings[0].message} The same with {counted(len(samples) - 1, 'other sample')}."
    return replace(findings[0], message=message, samples=tuple(samples), files=tuple(files))


def _mask_values(record: SampleRecord) -> tuple[int, ...] | None:
    """What a mask that is a PNG holds, which its reading as True and False does not tell."""
    path = record.files.get("mask")
    if path is None or record.split != "test":
        return None
    content = content_of(path)
    if not content.startswith(PNG_SIGNATURE):
        return None
    png_header(path, content)
    return tuple(int(value) for value in np.unique(png_pixels(path, content)))


def spread(records: Sequence[SampleRecord], most: int | None) -> list[SampleRecord]:
    """At most `most` of the samples, evenly spread, first and last among them; all for None."""
    if most is None or len(records) <= most:
        return list(records)
    return [records[index] for index in sorted({round(place) for place in np.linspace(0, len(records) - 1, most)})]


def _spread_by_group(records: Sequence[SampleRecord], most: int | None) -> list[SampleRecord]:
    """At most `most` of each split and kind of defect, in the order of the records."""
    return [record for members in _by_group(records).values() for record in spread(members, most)]


def _by_group(records: Sequence[SampleRecord]) -> dict[tuple[str, str], list[SampleRecord]]:
    groups: dict[tuple[str, str], list[SampleRecord]] = {}
    for record in records:
        groups.setdefault((record.split, record.defect), []).append(record)
    return groups
