from dataclasses import replace

import pytest

from lsfa_cli.checks.base import Finding
from lsfa_cli.commands.data.check_text import HEADS, finding_lines, plain_table, print_report, summary, table_rows
from lsfa_cli.datasets.mvtec3d import Synthetic
from lsfa_cli.datasets.synthetic import generate
from lsfa_cli.stages.check_data import check_data


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    root = tmp_path_factory.mktemp("parts")
    generate(root, categories=["cover"], size=96, train=4, validation=0, test_good=1, test_per_defect=1, jobs=1)
    (root / "cover" / "train" / "good" / "rgb" / "001.png").write_bytes(b"damaged")
    return check_data(Synthetic(root), ["cover"], jobs=1)


def test_a_row_for_each_split_and_kind_of_defect(report):
    rows = table_rows(report)
    assert [row[:4] for row in rows[:2]] == [("cover", "train", "good", "4"), ("cover", "test", "good", "1")]
    assert len(rows) == 6
    assert all(len(row) == len(HEADS) for row in rows)
    assert rows[0][4] == "96 x 96"
    assert rows[0][6].endswith(" %")


def test_columns_are_aligned_and_a_category_named_once(report):
    lines = plain_table(table_rows(report), 120).splitlines()
    assert lines[0].split() == ["category", "split", "defect", "samples", "size", "RGB", "points", "z", "(m)"]
    assert len(lines) == 2 + 6
    assert sum("cover" in line for line in lines) == 1
    starts = [line.index("96 x 96") for line in lines[2:]]
    assert len(set(starts)) == 1


@pytest.mark.parametrize("width", [20, 40, 70])
def test_narrow_terminals_get_lines_in_place_of_columns(report, width):
    lines = plain_table(table_rows(report), width).splitlines()
    assert max(map(len, lines)) <= width
    assert "cover, train, good:" in " ".join(" ".join(lines).split())


def test_a_finding_says_what_where_and_what_to_do():
    names = tuple(f"train/good/{number:03}" for number in range(9))
    finding = Finding("warning", "values", "images of one colour.", "Look at the files.", names)
    assert finding_lines("cover", finding, 84) == [
        "warning: cover, values: images of one colour.",
        "    train/good/000, train/good/001, train/good/002, train/good/003, train/good/004",
        "    and 4 more",
        "    Look at the files.",
    ]


def test_long_names_are_not_broken():
    finding = Finding("error", "files", "one is missing.", "", files=("x" * 90,))
    assert finding_lines("cover", finding, 40)[1] == "    " + "x" * 90


def test_nothing_to_show():
    assert plain_table([], 80) == "no samples"


def test_findings_of_one_kind_are_shown_up_to_ten(report, capsys):
    (row,) = report.categories
    many = [Finding("error", "files", f"number {number}.", "Copy it.") for number in range(30)]
    other = Finding("warning", "axes", "x is flipped.", "Negate it.")
    print_report(replace(report, categories=[replace(row, findings=[*many, other])]), terminal=False)
    out = capsys.readouterr().out
    assert "number 9." in out
    assert "number 10." not in out
    assert "and 20 more of files in cover (--json lists all)" in out
    assert "x is flipped." in out
    assert "30 errors, 1 warning." in out


@pytest.mark.parametrize("width", [50, 100])
@pytest.mark.parametrize("terminal", [False, True])
def test_the_whole_report(report, capsys, monkeypatch, terminal, width):
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    print_report(report, terminal=terminal)
    out = capsys.readouterr().out
    assert "\x1b[" in out if terminal else "\x1b[" not in out
    text = " ".join(out.split())
    assert "error: cover, files:" in text
    assert "train/good/001" in text
    assert "scans 95" in text
    assert summary(report) in text


def test_the_summary_counts(report):
    assert summary(report) == "9 samples in 1 category: 1 error."
