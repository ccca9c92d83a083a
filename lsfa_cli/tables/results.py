"""Results as rows, one value each, with the two operations reports need: means over categories and paired differences.

A row is the same whether the value was measured here or printed in a paper, so both can stand in one table.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, NamedTuple

from lsfa_cli.errors import UsageError

if TYPE_CHECKING:
    import pandas

MEAN = "mean"
MODALITY_ORDER = ("rgb", "xyz", "rgb+xyz")
METRIC_TITLES = {
    "i_auroc": "I-AUROC",
    "o_auroc": "O-AUROC",
    "p_auroc": "P-AUROC",
    "aupro": "AUPRO",
    "o_aupr": "O-AUPR",
    "p_aupr": "P-AUPR",
    "patch_auroc": "patch AUROC",
    "distance_ratio": "distance ratio",
    "normal_distance": "distance of normal patches",
}


@dataclass(frozen=True)
class Result:
    """One value of one table, or the reason why there is none.

    metric: a name of `METRIC_TITLES`, with a limit for AUPRO where it is not 0.3 ("aupro@0.05").
    value: a fraction of 1, or a difference of two fractions; None when it is missing. note: why the value is missing
    or doubtful, one reason a line. category: `MEAN` for a mean, whose `count` says over how many categories (None:
    unknown). baseline: for a paired difference the method that was subtracted. published: not measured here, but
    printed in `source`.
    """

    dataset: str
    category: str
    modality: str
    method: str
    metric: str
    value: float | None
    note: str = ""
    published: bool = False
    source: str = ""
    baseline: str = ""
    count: int | None = None

    def __post_init__(self) -> None:
        """Refuse NaN and infinity: a figure that does not exist is None, with the reason as its note."""
        if self.value is not None and not math.isfinite(self.value):
            raise ValueError(f"a result is finite or None, not {self.value}: {self}")

    @property
    def notes(self) -> tuple[str, ...]:
        """The reasons in `note`, one each."""
        return tuple(line for line in self.note.splitlines() if line)

    @property
    def series(self) -> "Series":
        """What all categories of one table row share."""
        return Series(self.dataset, self.metric, self.modality, self.method, self.baseline, self.published, self.source)


class Series(NamedTuple):
    """One row of a table: everything that identifies a value but the category."""

    dataset: str
    metric: str
    modality: str
    method: str
    baseline: str
    published: bool
    source: str


FIELDS = tuple(field.name for field in fields(Result))


def metric_title(metric: str) -> str:
    """The name people read: "AUPRO up to 0.05" for "aupro@0.05"."""
    name, _, limit = metric.partition("@")
    title = METRIC_TITLES.get(name, name)
    return f"{title} up to {limit}" if limit else title


def by_series(results: Iterable[Result]) -> dict[Series, list[Result]]:
    """The results of each table row, rows and categories in order of first appearance.

    Two values for one cell are a `UsageError`.
    """
    groups: dict[Series, dict[str, Result]] = {}
    for result in results:
        cells = groups.setdefault(result.series, {})
        if result.category in cells:
            what = f"{metric_title(result.metric)} of {result.method}, {result.modality}, {result.category}"
            raise UsageError(f"there are two values for {what}", hint="Give each run a method name of its own.")
        cells[result.category] = result
    return {series: list(cells.values()) for series, cells in groups.items()}


def with_means(results: Sequence[Result]) -> list[Result]:
    """The results, followed by the unweighted mean over categories of every row that has none yet.

    A mean is taken over the categories that have a value, and says over how many; when other rows of the same data
    set and metric know more categories, a note says which are not in it.
    """
    categories: dict[tuple[str, str], list[str]] = {}
    for result in results:
        known = categories.setdefault((result.dataset, result.metric), [])
        if result.category != MEAN and not result.published and result.category not in known:
            known.append(result.category)
    means = []
    for series, rows in by_series(results).items():
        if all(row.category != MEAN for row in rows):
            expected = categories[series.dataset, series.metric]
            means.append(_mean(rows, [row.category for row in rows] if series.published else expected))
    return [*results, *means]


def _mean(rows: Sequence[Result], expected: Sequence[str]) -> Result:
    """The mean of `rows`; `expected` are the categories it should be over."""
    values = {row.category: row.value for row in rows if row.value is not None}
    absent = [category for category in expected if category not in values]
    note = ""
    if not values:
        note = "no category has a value"
    elif absent:
        note = f"mean of {len(values)} of {len(expected)} categories; without {', '.join(absent)}"
    value = math.fsum(values.values()) / len(values) if values else None
    return replace(rows[0], category=MEAN, value=value, note=note, count=len(values))


def differences(results: Iterable[Result], baseline: str) -> list[Result]:
    """Each measured value minus that of the method `baseline` for the same category, where both rows exist.

    The differences are paired: `with_means` of these rows is the mean over the categories that have both values.
    Means and published values in `results` are passed over.
    """
    rows = [row for row in results if not row.published and not row.baseline and row.category != MEAN]
    base = {(row.dataset, row.metric, row.modality, row.category): row for row in rows if row.method == baseline}
    found = []
    for row in rows:
        other = base.get((row.dataset, row.metric, row.modality, row.category))
        if row.method == baseline or other is None:
            continue
        missing = [pair.method for pair in (row, other) if pair.value is None]
        value = None if row.value is None or other.value is None else row.value - other.value
        have = "has" if len(missing) == 1 else "have"
        note = f"no difference: {' and '.join(missing)} {have} no value" if missing else ""
        found.append(replace(row, value=value, note=note, baseline=baseline))
    return found


def to_frame(results: Iterable[Result]) -> "pandas.DataFrame":
    """The results as a pandas frame in long form, one row a value and one column a field of `Result`."""
    import pandas

    return pandas.DataFrame([[getattr(row, name) for name in FIELDS] for row in results], columns=list(FIELDS))
