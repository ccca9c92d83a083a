import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt  # comes with rich, which lsfa needs

from lsfa_cli.errors import UnknownNameError
from lsfa_cli.tables.formats import FORMATS, render
from lsfa_cli.tables.published import matching, published
from lsfa_cli.tables.results import FIELDS, Result, differences, with_means

NOTES = {"AUPRO limit": 0.3, "AUPRO thresholds": "exact", "seed": 0, "fitted": True, "settings": None}


def row(category, value, method="LSFA", modality="rgb", metric="i_auroc", **other):
    return Result("mvtec3d", category, modality, method, metric, value, **other)


def example():
    base = "PatchCore (no adaptor)"
    rows = [
        row("cable_gland", 0.94921875),
        row("foam", 0.75),
        row("cable_gland", 0.9375, base),
        row("foam", 1.0, base),
        row("cable_gland", None, metric="p_auroc", note="no defects"),
    ]
    rows = with_means([*rows, *differences(rows, base)])
    paper = [
        row("cable_gland", 0.92, "FPFH*", published=True, source="LSFA Table 1"),
        row("foam", 0.77, "FPFH*", published=True, source="LSFA Table 1", note="doubtful: a misprint"),
    ]
    return [*rows, *paper]


MARKDOWN = """\
# cable_gland & foam

## mvtec3d: I-AUROC

| modality | method                 | cable_gland |      foam | mean (n=2) |
| -------- | ---------------------- | ----------: | --------: | ---------: |
| rgb      | LSFA                   |       0.949 |     0.750 |      0.850 |
| rgb      | PatchCore (no adaptor) |       0.938 |     1.000 |      0.969 |
| rgb      | difference [a]         |      +0.012 |    -0.250 |     -0.119 |
| rgb      | *FPFH\\** [b]           |       0.920 | 0.770 [c] |      – [d] |

- [a] LSFA minus PatchCore (no adaptor), paired by category
- [b] published in LSFA Table 1, not measured here
- [c] doubtful: a misprint
- [d] not in this source

## mvtec3d: P-AUROC

Omitted: no value; no defects.

Methods in italics: published figures, not measured here.

- AUPRO limit: 0.3
- AUPRO thresholds: exact
- seed: 0
- fitted: true
- settings: none
"""

LATEX = r"""\begin{table}
\centering
\caption{cable\_gland \& foam. mvtec3d: I-AUROC.}
\begin{tabular}{llrrr}
\toprule
modality & method & cable\_gland & foam & mean (n=2) \\
\midrule
rgb & LSFA & \textbf{0.949} & 0.750 & 0.850 \\
rgb & PatchCore (no adaptor) & 0.938 & \textbf{1.000} & \textbf{0.969} \\
rgb & difference\textsuperscript{a} & +0.012 & $-$0.250 & $-$0.119 \\
rgb & \textit{FPFH*}\textsuperscript{b} & \textit{0.920} & \textit{0.770}\textsuperscript{c} & --\textsuperscript{d} \\
\bottomrule
\end{tabular}
\par\smallskip
\begin{minipage}{\linewidth}\footnotesize
\textsuperscript{a}~LSFA minus PatchCore (no adaptor), paired by category.\\
\textsuperscript{b}~published in LSFA Table 1, not measured here.\\
\textsuperscript{c}~doubtful: a misprint.\\
\textsuperscript{d}~not in this source.\\
Values in italics are published figures, not measured here.\\
AUPRO limit: 0.3.\\
AUPRO thresholds: exact.\\
seed: 0.\\
fitted: true.\\
settings: none.
\end{minipage}
\end{table}

% mvtec3d: P-AUROC omitted: no value; no defects.
"""


def test_markdown_golden():
    assert render(example(), "markdown", caption="cable_gland & foam", notes=NOTES) == MARKDOWN


def test_latex_golden():
    assert render(example(), "latex", caption="cable_gland & foam", notes=NOTES) == LATEX


def test_latex_without_bold():
    plain = render(example(), "latex", caption="cable_gland & foam", notes=NOTES, bold_best=False)
    assert plain == LATEX.replace(r"\textbf{0.949}", "0.949").replace(r"\textbf{1.000}", "1.000").replace(
        r"\textbf{0.969}", "0.969"
    )


def test_latex_separates_modalities():
    text = render([row("foam", 0.5), row("foam", 0.6, modality="xyz")], "latex")
    assert text.count(r"\midrule") == 2


@pytest.mark.parametrize("format", sorted(FORMATS))
def test_equal_input_gives_equal_text_that_ends_with_one_newline(format):
    first, second = (render(example(), format, caption="c", notes=NOTES) for _ in range(2))
    assert first == second
    assert first.endswith("\n")
    assert not first.endswith("\n\n")


@pytest.mark.parametrize("format", sorted(FORMATS))
def test_nothing_can_be_rendered(format):
    assert (
        render([], format).strip()
        == {
            "markdown": "",
            "latex": "",
            "csv": ",".join(FIELDS),
            "json": json.dumps(
                {"schema": "report", "schema_version": 1, "caption": "", "notes": {}, "results": []}, indent=2
            ),
        }[format]
    )


def test_an_unknown_format_suggests_the_nearest():
    with pytest.raises(UnknownNameError, match="Did you mean 'markdown'"):
        render([], "markdwn")


def test_json_round_trip():
    content = json.loads(render(example(), "json", caption="Ünïcode", notes=NOTES))
    assert (content["schema"], content["schema_version"]) == ("report", 1)
    assert content["caption"] == "Ünïcode"
    assert content["notes"] == NOTES
    assert [Result(**fields) for fields in content["results"]] == example()


def test_csv_round_trip():
    lines = list(csv.DictReader(io.StringIO(render(example(), "csv", notes=NOTES))))
    assert list(lines[0]) == [*FIELDS, *NOTES]
    for line, result in zip(lines, example(), strict=True):
        assert line["published"] == ("true" if result.published else "false")
        assert line["value"] == ("" if result.value is None else repr(result.value))
        assert line["count"] == ("" if result.count is None else str(result.count))
        for name in ("dataset", "category", "modality", "method", "metric", "note", "source", "baseline"):
            assert line[name] == getattr(result, name)


def test_csv_says_how_measured_values_were_made_and_not_the_published_ones():
    lines = list(csv.DictReader(io.StringIO(render(example(), "csv", notes=NOTES))))
    for line in lines:
        assert line["AUPRO thresholds"] == ("" if line["published"] == "true" else "exact")


def test_csv_keeps_one_line_a_value():
    text = render([row("foam", 0.1 + 0.2, note='a\nb, "c"')], "csv")
    assert text.splitlines()[1] == 'mvtec3d,foam,rgb,LSFA,i_auroc,0.30000000000000004,"a; b, ""c""",false,,,'


def test_csv_refuses_notes_that_are_called_like_a_column():
    with pytest.raises(ValueError, match="value"):
        render(example(), "csv", notes={"value": 1})


def markdown_tables(text):
    """The tables of a document as a reader of Markdown shows them: lists of rows of plain text."""
    tables = []
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        if token.type == "table_open":
            tables.append([])
        elif token.type == "tr_open":
            tables[-1].append([])
        elif token.type == "inline" and tables and tables[-1] and len(tables[-1][-1]) < 99:
            plain = "".join(child.content for child in token.children)
            tables[-1][-1].append(plain)
    return tables


NASTY = ["a_b", "_a_", "a|b", "a&b", "&amp;", "50%", "*a*", "`a`", "<b>", "[a](b)", "a\\", "# a", "~~a~~", "$x$", "\\|"]


@pytest.mark.parametrize("name", NASTY)
def test_markdown_shows_names_as_they_are(name):
    (table,) = markdown_tables(render([row(name, 0.5, name, name), row("foam", 0.5, name, name)], "markdown"))
    assert table[0] == ["modality", "method", name, "foam"]
    assert table[1] == [name, name, "0.500", "0.500"]


printable = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=12)


@given(name=printable, other=printable)
def test_markdown_keeps_cells_and_text_apart_for_any_name(name, other):
    text = render([row("foam", 0.5, name), row("rope", 0.25, name, note=other)], "markdown")
    (table,) = markdown_tables(text.split("\n\n- ")[0])
    assert table[1] == ["rgb", name, "0.500", "0.250 [a]"]


def test_an_underscore_within_a_word_stays_readable():
    assert "| cable_gland |" in render([row("cable_gland", 0.5)], "markdown")


LATEX_SPECIAL = {
    "a_b": r"a\_b",
    "a&b": r"a\&b",
    "50%": r"50\%",
    "a#b": r"a\#b",
    "$x$": r"\$x\$",
    "{x}": r"\{x\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\\": r"\textbackslash{}",
    "a|b": r"a\textbar{}b",
    "<a>": r"\textless{}a\textgreater{}",
}


@pytest.mark.parametrize(("name", "escaped"), LATEX_SPECIAL.items())
def test_latex_escapes(name, escaped):
    text = render([row(name, 0.5, name)], "latex", caption=name, notes={name: name})
    assert rf"\caption{{{escaped}. mvtec3d: I-AUROC.}}" in text
    assert rf"modality & method & {escaped} \\" in text
    assert rf"rgb & {escaped} & 0.500 \\" in text
    assert f"{escaped}: {escaped}." in text


@pytest.mark.parametrize("name", ["[a]", "*"])
def test_latex_rows_do_not_begin_with_what_a_line_break_takes_for_its_argument(name):
    lines = render([row("foam", 0.5, modality=name)], "latex", notes={name: 1}).splitlines()
    assert f"{{}}{name} & LSFA & 0.500 \\\\" in lines
    assert f"{{}}{name}: 1." in lines


def test_a_note_of_several_lines_stays_one_line():
    text = render([row("foam", 0.5)], "markdown", notes={"remark": "one\ntwo"})
    assert "- remark: one; two\n" in text


def test_markdown_with_published_figures_fits_a_terminal():
    measured = [row(category, 0.5, metric=metric) for category in ("foam", "tire") for metric in ("i_auroc", "aupro")]
    text = render([*with_means(measured), *matching(published("mvtec3d"), measured)], "markdown")
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert max(map(len, tables)) <= 80
    (image, region) = markdown_tables(text)
    assert [line[1] for line in image][1:3] == ["LSFA", "DifferNet [a]"]
    assert "- [a] published in LSFA Table 1, not measured here" in text
    assert [line[2:] for line in region if line[1].startswith("PatchCore*/M3DM")] == [["0.843", "0.966", "0.904 [b]"]]


def test_every_format_has_a_line_of_help_and_a_writer():
    for entry in FORMATS.values():
        assert entry.help
        assert callable(entry.load())
