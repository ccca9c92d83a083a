"""The table of a study in every format."""

import csv
import json
from dataclasses import replace

import pytest

from lsfa_cli.errors import UnknownNameError
from lsfa_cli.tables.studies import Estimate, StudyRow, render_study

ROWS = [
    StudyRow("i_auroc", "rgb", "none", Estimate(0.5, 0.25, 0.75), published=0.929),
    StudyRow(
        "i_auroc",
        "rgb",
        "IFC_1",
        Estimate(0.6, 0.35, 0.8),
        "none",
        Estimate(0.1, -0.05, 0.2),
        0.0625,
        5,
        0.957,
        ("odd",),
    ),
    StudyRow("i_auroc", "xyz", "none", Estimate(0.5, 0.25, 0.75)),
    StudyRow("aupro", "rgb", "none", Estimate(0.9, 0.85, 0.95)),
    StudyRow("aupro", "rgb", "IFC_1", Estimate(0.8, 0.75, 0.85), "none", Estimate(-0.1, -0.2, 0.0), 1.0, 5),
]
ROWS[1] = replace(ROWS[1], doubts=("odd",))
NOTES = {"seeds": "0, 1", "p": "sign flips"}


def test_markdown_is_narrow_and_says_all() -> None:
    text = render_study(ROWS, "markdown", caption="Study components", notes=NOTES)
    assert (
        text
        == """# Study components

**I-AUROC, rgb**

| variant |              I-AUROC |      difference to none |     p |     paper |
| ------- | -------------------: | ----------------------: | ----: | --------: |
| none    | 0.500 (0.250, 0.750) |                       – |     – |     0.929 |
| IFC_1   | 0.600 (0.350, 0.800) | +0.100 (-0.050, +0.200) | 0.062 | 0.957 (?) |

**I-AUROC, xyz**

| variant |              I-AUROC | difference |   p |
| ------- | -------------------: | ---------: | --: |
| none    | 0.500 (0.250, 0.750) |          – |   – |

**AUPRO, rgb**

| variant |                AUPRO |      difference to none |   p |
| ------- | -------------------: | ----------------------: | --: |
| none    | 0.900 (0.850, 0.950) |                       – |   – |
| IFC_1   | 0.800 (0.750, 0.850) | -0.100 (-0.200, +0.000) |   1 |

- seeds: 0, 1
- p: sign flips
"""
    )  # the dash of a missing value
    assert max(map(len, text.splitlines())) <= 80


def test_differences_to_several_name_each() -> None:
    rows = [ROWS[1], StudyRow("i_auroc", "rgb", "few", ROWS[0].figure, "none, 5", Estimate(0.1, 0.0, 0.2), 0.5, 2)]
    text = render_study(rows, "markdown", caption="c", notes=NOTES)
    assert "+0.100 (-0.050, +0.200) to none |" in text
    assert "+0.100 (+0.000, +0.200) to none, 5 |" in text


def test_csv_and_json_keep_full_precision() -> None:
    lines = list(csv.DictReader(render_study(ROWS, "csv", caption="c", notes=NOTES).splitlines()))
    assert len(lines) == len(ROWS)
    assert lines[1]["difference_low"] == "-0.05"
    assert (lines[1]["doubts"], lines[0]["difference_low"], lines[0]["versus"]) == ("odd", "", "")
    document = json.loads(render_study(ROWS, "json", caption="c", notes=NOTES))
    assert document["schema"] == "study"
    assert document["notes"] == NOTES
    assert document["rows"][1]["difference"] == {"value": 0.1, "low": -0.05, "high": 0.2}
    assert document["rows"][0]["difference"] is None


def test_latex_escapes_and_balances() -> None:
    text = render_study(ROWS, "latex", caption="100 % of a_b", notes=NOTES)
    assert r"\caption{100 \% of a\_b}" in text
    assert r"IFC\_1 & 0.600 (0.350, 0.800)" in text
    assert text.count(r"\begin{") == text.count(r"\end{")


def test_unknown_format() -> None:
    with pytest.raises(UnknownNameError, match="unknown format 'html'"):
        render_study(ROWS, "html", caption="c", notes=NOTES)
