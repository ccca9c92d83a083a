import pytest

from lsfa_cli.tables.layout import MISSING, Text, metric_tables
from lsfa_cli.tables.results import MEAN, Result, differences, with_means

WIDE = 10_000


def row(category, value, method="LSFA", modality="rgb", metric="i_auroc", **other):
    return Result("mvtec3d", category, modality, method, metric, value, **other)


def only_table(results, width=WIDE):
    (table,) = metric_tables(results, width)
    return table


def only_grid(results, width=WIDE):
    (grid,) = only_table(results, width).grids
    return grid


def texts(grid):
    return [[cell.text for cell in line] for line in (grid.header, *grid.rows)]


def test_rows_are_modalities_and_methods_and_columns_categories_and_the_mean():
    results = with_means([row("bagel", 0.5), row("foam", 0.75), row("bagel", 0.1, modality="xyz")])
    assert texts(only_grid(results)) == [
        ["modality", "method", "bagel", "foam", "mean (n=2)"],
        ["rgb", "LSFA", "0.500", "0.750", "0.625"],
        ["xyz", "LSFA", "0.100", MISSING, "0.100 (n=1)"],
    ]


def test_modalities_come_first_then_measured_differences_and_published():
    rows = [
        row("bagel", 0.9, "paper", published=True, source="P"),
        row("bagel", 0.9, modality="rgb+xyz"),
        row("bagel", 0.9, modality="radar"),
        row("bagel", 0.5),
        row("bagel", 0.4, "base"),
        row("bagel", 0.3, modality="xyz"),
    ]
    grid = only_grid([*rows, *differences(rows, "base")])
    assert [line[:2] for line in texts(grid)[1:]] == [
        ["rgb", "LSFA"],
        ["rgb", "base"],
        ["rgb", "difference"],
        ["rgb", "paper"],
        ["xyz", "LSFA"],
        ["rgb+xyz", "LSFA"],
        ["radar", "LSFA"],
    ]


def test_measured_categories_come_before_those_that_are_only_published():
    rows = [
        row("rope", 0.9, "paper", published=True, source="P"),
        row("foam", 0.5),
        row("bagel", 0.5),
    ]
    assert texts(only_grid(rows))[0] == ["modality", "method", "foam", "bagel", "rope"]


def test_one_category_needs_no_mean():
    assert texts(only_grid(with_means([row("bagel", 0.5)])))[0] == ["modality", "method", "bagel"]


def test_metrics_have_tables_of_their_own_in_the_usual_order_with_falling_limits():
    names = ["aupro@0.05", "aupro", "zeta", "p_auroc", "aupro@0.1", "i_auroc"]
    tables = metric_tables([row("bagel", 0.5, metric=name) for name in names], WIDE)
    assert [table.title for table in tables] == [
        f"mvtec3d: {title}" for title in ("I-AUROC", "P-AUROC", "AUPRO", "AUPRO up to 0.1", "AUPRO up to 0.05", "zeta")
    ]


def test_data_sets_have_tables_of_their_own():
    other = Result("eyecandies", "Lollipop", "rgb", "LSFA", "i_auroc", 0.5)
    assert [t.title for t in metric_tables([row("bagel", 0.5), other], WIDE)] == [
        "mvtec3d: I-AUROC",
        "eyecandies: I-AUROC",
    ]


def test_a_missing_value_is_a_dash_with_its_reason():
    table = only_table([row("bagel", None, note="no good samples"), row("foam", 0.5), row("bagel", 0.1, "base")])
    cells = table.grids[0].rows
    assert cells[0][2] == Text(MISSING, ("a",))
    assert cells[1][3] == Text(MISSING, ("b",))
    assert table.footnotes == (("a", "no good samples"), ("b", "not measured"))


def test_a_value_missing_without_a_reason_is_called_not_measured_and_in_a_source_not_printed():
    table = only_table(
        [
            row("bagel", None),
            row("foam", 0.5),
            row("bagel", 0.4, "paper", published=True, source="P"),
        ]
    )
    assert dict(table.footnotes) == {
        "a": "not measured",
        "b": "published in P, not measured here",
        "c": "not in this source",
    }
    assert table.grids[0].rows[1][3].marks == ("c",)


def test_a_metric_without_any_value_is_omitted_with_the_reasons():
    table = only_table(with_means([row("bagel", None, note="no defects"), row("foam", None, note="no defects")]))
    assert table.grids == ()
    assert table.omitted == "no value; no defects"


def test_doubtful_cells_share_a_footnote_and_a_row_of_them_has_it_at_its_name():
    doubt = "doubtful: misprinted"
    rows = [
        row("bagel", 0.5, "one", published=True, source="P", note=doubt),
        row("foam", 0.5, "one", published=True, source="P"),
        row("bagel", 0.5, "all", published=True, source="P", note=doubt),
        row("foam", 0.5, "all", published=True, source="P", note=f"{doubt}\nrecomputed: a sum"),
    ]
    table = only_table(rows)
    one, every = table.grids[0].rows
    letters = {text: letter for letter, text in table.footnotes}
    source, mark, own = (letters[text] for text in ("published in P, not measured here", doubt, "recomputed: a sum"))
    assert [cell.marks for cell in one[1:]] == [(source,), (mark,), ()]
    assert [cell.marks for cell in every[1:]] == [(source, mark), (), (own,)]


def test_published_names_and_cells_are_marked_and_measured_ones_not():
    grid = only_grid([row("bagel", 0.5), row("bagel", 0.4, "paper", published=True, source="P")])
    assert [[cell.published for cell in line[1:]] for line in grid.rows] == [[False, False], [True, True]]


def test_differences_are_signed_and_zero_is_not():
    rows = [row("a", 0.5), row("b", 0.5), row("c", 0.5), row("d", 0.50001)]
    base = [row("a", 0.25, "base"), row("b", 0.625, "base"), row("c", 0.5, "base"), row("d", 0.5, "base")]
    grid = only_grid([*rows, *base, *differences([*rows, *base], "base")])
    assert [cell.text for cell in grid.rows[2][2:]] == ["+0.250", "-0.125", "0.000", "0.000"]


def test_differences_of_several_methods_carry_the_method():
    rows = [row("bagel", 0.5), row("bagel", 0.4, "base"), row("bagel", 0.3, "control")]
    table = only_table([*rows, *differences(rows, "base")])
    assert [line[1].text for line in table.grids[0].rows[3:]] == ["LSFA, difference", "control, difference"]
    assert table.footnotes == (
        ("a", "LSFA minus base, paired by category"),
        ("b", "control minus base, paired by category"),
    )


def test_the_best_of_several_measured_values_is_known_ties_included():
    rows = [
        row("a", 0.5),
        row("a", 0.5, "base"),
        row("a", 0.4, "control"),
        row("a", 0.9, "paper", published=True, source="P"),
        row("b", 0.3),
    ]
    grid = only_grid(rows)
    assert [[cell.best for cell in line[2:]] for line in grid.rows] == [
        [True, False],
        [True, False],
        [False, False],
        [False, False],
    ]


MANY = [f"category_{place}" for place in range(10)]


def test_a_wide_table_is_turned():
    rows = [
        row(category, 0.5, method, modality)
        for category in MANY
        for method in ("LSFA", "base")
        for modality in ("rgb", "xyz")
    ]
    table = only_table(with_means(rows), 80)
    assert [grid.title for grid in table.grids] == ["rgb", "xyz"]
    for grid in table.grids:
        assert texts(grid)[0] == ["category", "LSFA", "base"]
        assert [line[0] for line in texts(grid)[1:]] == [*MANY, "mean (n=10)"]
        assert grid.width <= 80


def test_a_turned_table_with_too_many_methods_continues():
    rows = [row(category, 0.5, f"method number {place}") for category in MANY for place in range(5)]
    table = only_table(rows, 80)
    assert [grid.title for grid in table.grids] == ["rgb", "rgb, continued"]
    assert [cell.text for grid in table.grids for cell in grid.header[1:]] == [f"method number {p}" for p in range(5)]


def test_many_methods_spread_the_categories_over_tables_instead():
    rows = [row(category, 0.5, f"method {place:02d}") for category in MANY for place in range(40)]
    table = only_table(rows, 80)
    assert [cell.text for grid in table.grids for cell in grid.header[2:]] == MANY
    assert all(grid.width <= 80 and len(grid.rows) == 40 for grid in table.grids)


@pytest.mark.parametrize("width", [1, 20, 60, 80, 200, WIDE])
def test_every_value_is_in_the_tables_whatever_the_width(width):
    rows = [
        row(category, place / 1000 + method / 100, f"method {method}", modality)
        for place, category in enumerate(MANY)
        for method in range(3)
        for modality in ("rgb", "xyz")
    ]
    shown = sorted(
        cell.text for grid in only_table(rows, width).grids for line in grid.rows for cell in line[grid.stubs :]
    )
    assert shown == sorted(f"{r.value:.3f}" for r in rows)


def test_footnote_letters_go_on_after_z():
    rows = [row(f"c{place}", None, note=f"reason {place}") for place in range(28)] + [row("last", 0.5)]
    table = only_table(rows)
    assert [letter for letter, _ in table.footnotes][24:] == ["y", "z", "aa", "ab"]


def test_the_width_is_that_of_the_text_with_its_marks():
    assert Text("0.500").width == 5
    assert Text("0.500", ("a",)).width == len("0.500 [a]")
    assert Text("0.500", ("a", "b")).width == len("0.500 [a,b]")


def test_a_mean_over_another_number_of_categories_says_so():
    rows = [
        *with_means([row("a", 0.5), row("b", 0.7), row("a", 0.5, "base"), row("b", None, "base", note="broken")]),
        row(MEAN, 0.9, "paper", published=True, source="P"),
    ]
    assert [cell.text for cell in (line[-1] for line in only_grid(rows).rows)] == ["0.600", "0.500 (n=1)", "0.900"]
