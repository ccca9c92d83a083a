"""One sample in a picture, as it is and as preprocessing leaves it."""

from collections.abc import Sequence
from pathlib import Path

from lsfa_cli.checks.base import View
from lsfa_cli.checks.facts import facts_of, point_facts
from lsfa_cli.datasets.base import Dataset, RasterDataset
from lsfa_cli.datasets.folders import IncompleteError
from lsfa_cli.errors import UnknownNameError, UsageError
from lsfa_cli.figures.raw_samples import Look, sample_picture
from lsfa_cli.figures.shading import render_cloud
from lsfa_cli.preprocessing import prepare
from lsfa_cli.samples import PreparedSample, Sample, SampleRecord
from lsfa_cli.settings import ExtractSettings
from lsfa_cli.stages.check_data import view_of
from lsfa_cli.stages.clouds import thinned_cloud
from lsfa_cli.stages.extract import preprocess_options
from lsfa_cli.stages.looks import CLOUD_SIZE, extent_text, fact_lines, look_of, prepared_look

_LISTED = 8  # samples that a message names

Row = tuple[str, Look, Sequence[str]]


def only_category(dataset: Dataset, category: str | None) -> str:
    """The category that is meant: None stands for the only one. UsageError where there are several."""
    if category is not None:
        return category
    known = dataset.categories()
    if len(known) > 1:
        raise UsageError(
            f"{dataset.name} has {len(known)} categories: say which.", hint=f"--category {' or '.join(known)}"
        )
    return known[0]


def find_sample(dataset: Dataset, category: str | None, name: str) -> tuple[str, SampleRecord]:
    """The category and the record of a sample such as "test/hole/003".

    category: None where the data set has a single one. Raises UnknownNameError with the nearest name, UsageError when
    the category is left open. That other samples lack files is no matter.
    """
    category = only_category(dataset, category)
    try:
        records: Sequence[SampleRecord] = dataset.records(category)
    except IncompleteError as error:
        if not error.records:
            raise
        records = error.records
    found = {record.name: record for record in records}
    if name not in found:
        raise UnknownNameError(f"sample of {category}", name, found, most=_LISTED)
    return category, found[name]


def show_sample(
    dataset: Dataset, category: str, record: SampleRecord, path: Path, settings: ExtractSettings | None = None
) -> list[str]:
    """Write a picture of a sample and return its facts in words.

    settings: of preprocessing, whose result is shown below the raw sample; None shows the raw sample alone. Raises
    `DataError` naming the file that cannot be used.
    """
    view = view_of(dataset, record)
    if view.facts is None:
        raise ValueError(f"{record.name} was not read")
    mask = view.cloud.defect if view.cloud is not None else None if view.sample is None else view.sample.mask
    rows: list[Row] = [("as it is", look_of(view), fact_lines(view.facts, mask))]
    if settings is not None:
        rows.append(_preprocessed(dataset, category, view, settings))
    sample_picture(path, f"{dataset.name} {category} {record.name}", rows)
    return [f"{heading}: {line}" for heading, _, lines in rows for line in lines]


def _preprocessed(dataset: Dataset, category: str, view: View, settings: ExtractSettings) -> Row:
    if view.cloud is not None:
        thinned = thinned_cloud(view.record, view.cloud.points, settings.cloud_spacing)
        picture, _ = render_cloud(thinned, CLOUD_SIZE)
        points = point_facts(thinned)
        heading = f"thinned to {1000 * settings.cloud_spacing:g} mm"
        return heading, Look(None, picture, None), [f"points: {points.count:,}; {extent_text(points)}"]
    if view.sample is None or not isinstance(dataset, RasterDataset):
        raise ValueError(f"{view.record.name} was not read")
    prepared = prepare(view.sample, preprocess_options(settings, dataset.recipe(category)))
    facts = facts_of(_as_read(prepared))
    return "preprocessed", prepared_look(prepared), [*fact_lines(facts, prepared.mask), *prepared.notes]


def _as_read(prepared: PreparedSample) -> Sample:
    """A preprocessed sample in the form of a raw one."""
    look = prepared_look(prepared)
    xyz = None if prepared.xyz is None else prepared.xyz.transpose(1, 2, 0)
    return Sample(prepared.record, look.image, xyz, prepared.valid, prepared.mask)
