"""Figures that others published, for display beside measured ones. See published/README.md for where they come from."""

import csv
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from importlib.resources import files

from lsfa_cli.tables.results import MEAN, Result, by_series, with_means

PUBLISHED_DATASETS = ("mvtec3d", "eyecandies", "real3d_ad")
ABLATION_METRICS = ("i_auroc", "aupro", "p_auroc")

# Text in brackets behind a source either names one of several sets of results (these), or is a remark on single values,
# which the reasons in doubtful.csv say better.
_RESULT_SETS = ("raw data", "preprocessed data", "4 prototypes", "other methods")
_ANY = "*"


def published(dataset: str, metrics: Collection[str] | None = None) -> list[Result]:
    """The published values of `dataset` in the order of their tables, or none for a data set without any.

    metrics: which of i_auroc, p_auroc, aupro, o_auroc, o_aupr, p_aupr; None for all. Each row carries its source
    and, where the value is doubtful, inferred or recomputed, the reasons as its note.
    """
    return [row for row in _values(dataset) if metrics is None or row.metric in metrics]


@cache
def _values(dataset: str) -> tuple[Result, ...]:
    if dataset not in PUBLISHED_DATASETS:
        return ()
    lines = _read(f"{dataset}.csv")
    total = len({line["category"] for line in lines} - {MEAN})
    return tuple(_result(line, total) for line in lines)


@cache
def ablations() -> tuple[Result, ...]:
    """LSFA Tables 4 to 10: means over the ten categories of MVTec 3D-AD; method is the variant, source the table."""
    lines = [
        {
            "dataset": "mvtec3d",
            "metric": metric,
            "modality": line["modality"],
            "method": line["variant"],
            "category": MEAN,
            "value": line[metric],
            "source": f"LSFA Table {line['table']}",
        }
        for line in _read("ablations.csv")
        for metric in ABLATION_METRICS
        if line[metric]
    ]
    return tuple(_result(line, 10) for line in lines)


def matching(rows: Iterable[Result], measured: Sequence[Result]) -> list[Result]:
    """Those published rows that can stand beside `measured`: same data sets, metrics, modalities and categories.

    Where the measured categories are only some of the published ones, the printed means would be over others, so they
    are replaced by means over the categories shown, which their note says.
    """
    keys = {(row.dataset, row.metric, row.modality) for row in measured}
    categories = {(row.dataset, row.category) for row in measured if row.category != MEAN}
    kept: list[Result] = []
    for series, group in by_series(rows).items():
        if (series.dataset, series.metric, series.modality) not in keys:
            continue
        cells = [row for row in group if row.category != MEAN]
        shown = [row for row in cells if (row.dataset, row.category) in categories]
        if len(shown) == len(cells):
            kept += group
        elif shown:
            *_, mean = with_means(shown)
            reason = "recomputed: mean of the published values of the categories shown"
            doubtful = any(note.startswith("doubtful") for row in shown for note in row.notes)
            kept += [*shown, replace(mean, note=reason + ", some of them doubtful" * doubtful)]
    return kept


def _result(line: Mapping[str, str], total: int) -> Result:
    """One line of a file; `total` is the number of categories of the data set."""
    return Result(
        dataset=line["dataset"],
        category=line["category"],
        modality=line["modality"],
        method=line["method"],
        metric=line["metric"],
        value=float(line["value"]),
        note="\n".join(f"{doubt['kind']}: {doubt['note']}" for doubt in _doubts() if _concerns(doubt, line)),
        published=True,
        source=_result_set(line["source"]),
        count=total if line["category"] == MEAN else None,
    )


def _concerns(doubt: Mapping[str, str], line: Mapping[str, str]) -> bool:
    keys = ("dataset", "source", "metric", "modality", "method", "category")
    return all(doubt[key] in (_ANY, line[key]) for key in keys)


def _result_set(source: str) -> str:
    """A source without the remarks in brackets."""
    name, _, brackets = source.partition(" (")
    kept = [part for part in re.split(r"; |\)", brackets) if part in _RESULT_SETS]
    return f"{name} ({'; '.join(kept)})" if kept else name


@cache
def _doubts() -> tuple[Mapping[str, str], ...]:
    return tuple(_read("doubtful.csv"))


def _read(name: str) -> list[dict[str, str]]:
    text = (files("lsfa_cli.tables") / "published" / name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))
