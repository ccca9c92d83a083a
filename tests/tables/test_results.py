import math
import subprocess
import sys

import pytest

from lsfa_cli.errors import UsageError
from lsfa_cli.tables.results import (
    FIELDS,
    MEAN,
    Result,
    by_series,
    differences,
    metric_title,
    to_frame,
    with_means,
)


def row(category, value, method="LSFA", modality="rgb", metric="i_auroc", **other):
    return Result("mvtec3d", category, modality, method, metric, value, **other)


def only(results, **wanted):
    found = [r for r in results if all(getattr(r, name) == value for name, value in wanted.items())]
    assert len(found) == 1, found
    return found[0]


def test_a_mean_is_unweighted_over_the_categories_of_its_row():
    results = with_means([row("bagel", 0.5), row("foam", 0.75), row("bagel", 0.1, modality="xyz")])
    assert results[:3] == [row("bagel", 0.5), row("foam", 0.75), row("bagel", 0.1, modality="xyz")]
    mean = only(results, category=MEAN, modality="rgb")
    assert (mean.value, mean.count, mean.note) == (0.625, 2, "")


def test_a_mean_says_which_categories_are_not_in_it():
    rows = [row("bagel", 0.5), row("foam", None, note="no good samples"), row("tire", 0.7), row("rope", 0.1, "other")]
    mean = only(with_means(rows), category=MEAN, method="LSFA")
    assert mean.value == pytest.approx(0.6)
    assert mean.count == 2
    assert mean.note == "mean of 2 of 4 categories; without foam, rope"


def test_categories_of_another_metric_or_data_set_are_not_missing():
    rows = [
        row("bagel", 0.5),
        row("foam", 0.5, metric="aupro"),
        Result("eyecandies", "Lollipop", "rgb", "LSFA", "i_auroc", 0.5),
        row("tire", 0.5, method="M3DM", published=True, source="a paper"),
    ]
    assert all(r.note == "" for r in with_means(rows))


def test_a_row_without_any_value_has_a_mean_without_value():
    mean = only(with_means([row("bagel", None, note="no defects")]), category=MEAN)
    assert (mean.value, mean.count, mean.note) == (None, 0, "no category has a value")


def test_a_printed_mean_is_kept():
    rows = [row("bagel", 0.5, published=True), row(MEAN, 0.9, published=True, count=10)]
    assert with_means(rows) == rows


def test_the_mean_is_summed_exactly():
    values = [0.1] * 10
    mean = only(with_means([row(f"c{place}", value) for place, value in enumerate(values)]), category=MEAN)
    assert mean.value == math.fsum(values) / 10 == 0.1


def test_differences_pair_categories_and_pass_over_means_and_published_values():
    rows = [
        row("bagel", 0.9),
        row("foam", 0.8),
        row("tire", 0.7),
        row("bagel", 0.85, "base"),
        row("foam", 0.85, "base"),
        row("bagel", 0.2, "control"),
        row(MEAN, 0.8, count=3),
        row("bagel", 0.99, "paper", published=True),
        row("bagel", 0.5, "base", metric="aupro"),
    ]
    found = differences(rows, "base")
    assert [(r.method, r.category, r.baseline) for r in found] == [
        ("LSFA", "bagel", "base"),
        ("LSFA", "foam", "base"),
        ("control", "bagel", "base"),
    ]
    assert [r.value for r in found] == pytest.approx([0.05, -0.05, -0.65])
    assert differences([*rows, *found], "base") == found


def test_the_mean_difference_is_over_the_paired_categories_alone():
    rows = [row("bagel", 0.9), row("foam", 0.2), row("bagel", 0.8, "base"), row("foam", None, "base", note="broken")]
    found = differences(rows, "base")
    assert found[1].value is None
    assert found[1].note == "no difference: base has no value"
    mean = only(with_means([*rows, *found]), category=MEAN, baseline="base")
    assert mean.value == pytest.approx(0.1)
    assert mean.count == 1
    (both,) = differences([row("foam", None), row("foam", None, "base")], "base")
    assert both.note == "no difference: LSFA and base have no value"
    assert "without foam" in mean.note


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_is_finite_or_missing(value):
    with pytest.raises(ValueError, match="finite"):
        row("bagel", value)


def test_two_values_for_one_cell_are_refused():
    with pytest.raises(UsageError, match="two values for AUPRO of LSFA, rgb, bagel"):
        by_series([row("bagel", 0.1, metric="aupro"), row("bagel", 0.1, metric="aupro")])


@pytest.mark.parametrize(
    ("metric", "title"),
    [("i_auroc", "I-AUROC"), ("aupro", "AUPRO"), ("aupro@0.05", "AUPRO up to 0.05"), ("other", "other")],
)
def test_metric_titles(metric, title):
    assert metric_title(metric) == title


def test_notes_are_lines():
    assert row("bagel", 0.5, note="one\ntwo").notes == ("one", "two")
    assert row("bagel", 0.5).notes == ()


def test_the_frame_has_a_row_a_result_and_a_column_a_field():
    frame = to_frame([row("bagel", 0.5), row("foam", None, note="no defects")])
    assert list(frame.columns) == list(FIELDS)
    assert frame.loc[0, "value"] == 0.5
    assert math.isnan(frame.loc[1, "value"])
    assert list(frame["category"]) == ["bagel", "foam"]


def test_tables_import_neither_pandas_nor_numpy():
    code = (
        "import sys, lsfa_cli.tables.formats, lsfa_cli.tables.published;"
        "print({'pandas', 'numpy', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
