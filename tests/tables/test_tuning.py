"""The table of tuning in every format."""

import csv
import json

import pytest

from lsfa_cli.errors import UnknownNameError
from lsfa_cli.tables.studies import Estimate
from lsfa_cli.tables.tuning import RankedRow, Tuned, WeightRow, read_tuning, render_tuning

ROWS = [
    RankedRow(
        1,
        "both",
        Estimate(0.8, 0.7, 0.9),
        {"i_auroc": Estimate(0.7, 0.6, 0.8), "aupro": Estimate(0.9, 0.85, 0.95)},
        Estimate(0.05, -0.01, 0.1),
        {"shape": {"i_auroc": 0.6, "aupro": 0.9}, "matter": {"i_auroc": 0.8}},
    ),
    RankedRow(
        2,
        "banks",
        Estimate(0.75, 0.65, 0.85),
        {"i_auroc": Estimate(0.6, 0.5, 0.7), "aupro": Estimate(0.9, 0.85, 0.95)},
        None,
        {"shape": {"i_auroc": 0.5, "aupro": 0.9}, "matter": {"i_auroc": 0.7, "aupro": 0.8}},
    ),
]
WEIGHTS = [
    WeightRow("both", "image scores", "i_auroc", 0.6, "rgb_bank=1,xyz_bank=0", 0.02, 0.03, ""),
    WeightRow("both", "maps", "aupro", 0.9, "", 0.0, 0.0, ""),
]
TUNED = Tuned(
    "mean of I-AUROC and AUPRO", "banks", ROWS, "banks", WEIGHTS, '[adapt]\nobjective = "none"\n', {"samples": "few"}
)


MARKDOWN = """# Tuning on parts

**Ranking**

| candidate      | mean of I-AUROC and AUPRO |     difference to banks |              I-AUROC |                AUPRO |
| -------------- | ------------------------: | ----------------------: | -------------------: | -------------------: |
| both           |      0.800 (0.700, 0.900) | +0.050 (-0.010, +0.100) | 0.700 (0.600, 0.800) | 0.900 (0.850, 0.950) |
| banks (chosen) |      0.750 (0.650, 0.850) |                       – | 0.600 (0.500, 0.700) | 0.900 (0.850, 0.950) |

**I-AUROC by what was left out**

| candidate      | shape | matter |
| -------------- | ----: | -----: |
| both           | 0.600 |  0.800 |
| banks (chosen) | 0.500 |  0.700 |

**AUPRO by what was left out**

| candidate      | shape | matter |
| -------------- | ----: | -----: |
| both           | 0.900 |      – |
| banks (chosen) | 0.900 |  0.800 |

**Weights of the sources**

"""


def test_markdown_says_all() -> None:
    assert render_tuning(TUNED, "markdown", caption="Tuning on parts").startswith(MARKDOWN)


@pytest.mark.parametrize(
    "part", ["+0.020 (0.030)", "alike", "- samples: few", '```toml\n[adapt]\nobjective = "none"\n```']
)
def test_markdown_has_weights_notes_and_settings(part: str) -> None:
    assert part in render_tuning(TUNED, "markdown", caption="Tuning on parts")


def test_json_is_one_document_with_everything() -> None:
    document = json.loads(render_tuning(TUNED, "json", caption="Tuning on parts"))
    assert (document["schema"], document["schema_version"]) == ("tuning", 1)
    assert document["rows"][0]["figure"] == {"value": 0.8, "low": 0.7, "high": 0.9}
    assert document["rows"][0]["groups"]["matter"] == {"i_auroc": 0.8}
    assert document["rows"][1]["difference"] is None
    assert document["weights"][0]["error"] == 0.03
    assert document["settings"] == TUNED.settings


def test_json_is_read_as_it_was_written() -> None:
    assert read_tuning(render_tuning(TUNED, "json", caption="Tuning on parts")) == (TUNED, "Tuning on parts")
    with pytest.raises(ValueError, match="not what lsfa tune"):
        read_tuning("{}")


def test_csv_has_one_line_a_candidate() -> None:
    lines = list(csv.DictReader(render_tuning(TUNED, "csv", caption="").splitlines()))
    assert [line["candidate"] for line in lines] == ["both", "banks"]
    assert [line["chosen"] for line in lines] == ["false", "true"]
    assert (lines[0]["figure_value"], lines[0]["aupro_high"], lines[0]["difference_low"]) == ("0.8", "0.95", "-0.01")
    assert lines[1]["difference_value"] == ""
    assert (lines[0]["matter_i_auroc"], lines[0]["matter_aupro"]) == ("0.8", "")


def test_latex_has_the_ranking() -> None:
    text = render_tuning(TUNED, "latex", caption="Tuning on parts")
    assert text.startswith("\\begin{table}")
    assert "both & 0.800 (0.700, 0.900)" in text


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="unknown format 'html'"):
        render_tuning(TUNED, "html", caption="")
