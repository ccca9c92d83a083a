"""The table of `lsfa tune`: every candidate with its figures and intervals, the best first, and what was chosen."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from lsfa_cli.errors import UnknownNameError
from lsfa_cli.tables.formats import FORMATS, latex_grid, latex_text_of, markdown_grid, markdown_of
from lsfa_cli.tables.layout import MISSING, Grid, Text
from lsfa_cli.tables.results import metric_title
from lsfa_cli.tables.studies import Estimate, estimate_text

JSON_SCHEMA = "tuning"
JSON_SCHEMA_VERSION = 1


@dataclass(frozen=True)
class RankedRow:
    """One candidate. rank: 1 is the best. figure: what it is ranked by; metrics: of each metric.

    difference: of the figure to that of the first candidate, paired; None for that one. groups: of each group of kinds
    that was left out, the metrics.
    """

    rank: int
    candidate: str
    figure: Estimate
    metrics: Mapping[str, Estimate]
    difference: Estimate | None
    groups: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class WeightRow:
    """What choosing the weights of a candidate's sources found. what: image scores or maps. metric: what they were
    chosen by.

    alike: the figure where all weigh alike. best: the weights of the highest figure. lead: its paired difference to
    equal ones, with its standard error. chosen: empty for equal weights.
    """

    candidate: str
    what: str
    metric: str
    alike: float
    best: str
    lead: float
    error: float
    chosen: str


@dataclass(frozen=True)
class Tuned:
    """What was ranked and chosen. title: what candidates are ranked by. first: what they are compared with.

    settings: the chosen ones, as the text of an lsfa.toml.
    """

    title: str
    first: str
    rows: Sequence[RankedRow]
    chosen: str
    weights: Sequence[WeightRow]
    settings: str
    notes: Mapping[str, str] = field(default_factory=dict)


def render_tuning(tuned: Tuned, format: str, *, caption: str) -> str:
    """The ranking as text of `format` (markdown, csv, json, latex); ends with a newline. CSV has the ranking alone."""
    if format not in FORMATS:
        raise UnknownNameError("format", format, FORMATS)
    writers = {"markdown": _markdown, "csv": _csv, "json": _json, "latex": _latex}
    return writers[format](tuned, caption)


def read_tuning(text: str) -> tuple[Tuned, str]:
    """What `render_tuning` wrote as json, and its caption. Raises ValueError for anything else."""
    document = json.loads(text)
    if (document.get("schema"), document.get("schema_version")) != (JSON_SCHEMA, JSON_SCHEMA_VERSION):
        raise ValueError("not what lsfa tune --format json writes today")
    rows = [
        RankedRow(
            row["rank"],
            row["candidate"],
            Estimate(**row["figure"]),
            {metric: Estimate(**found) for metric, found in row["metrics"].items()},
            None if row["difference"] is None else Estimate(**row["difference"]),
            row["groups"],
        )
        for row in document["rows"]
    ]
    weights = [WeightRow(**row) for row in document["weights"]]
    plain = {name: document[name] for name in ("title", "first", "chosen", "settings", "notes")}
    return Tuned(rows=rows, weights=weights, **plain), document["caption"]


def _grids(tuned: Tuned) -> list[Grid]:
    grids = [_ranking(tuned), *(_by_group(tuned, metric) for metric in _metrics(tuned))]
    return [*grids, _weights(tuned)] if tuned.weights else grids


def _metrics(tuned: Tuned) -> list[str]:
    return list(tuned.rows[0].metrics)


def _ranking(tuned: Tuned) -> Grid:
    metrics = _metrics(tuned)
    titles = ["candidate", tuned.title, f"difference to {tuned.first}"]
    if len(metrics) > 1:
        titles += [metric_title(metric) for metric in metrics]
    lines = []
    for row in tuned.rows:
        difference = MISSING if row.difference is None else estimate_text(row.difference, "+.3f")
        cells = [_name(row, tuned), estimate_text(row.figure, ".3f"), difference]
        if len(metrics) > 1:
            cells += [estimate_text(row.metrics[metric], ".3f") for metric in metrics]
        lines.append(tuple(Text(cell) for cell in cells))
    return Grid("Ranking", tuple(Text(title) for title in titles), tuple(lines), stubs=1)


def _by_group(tuned: Tuned, metric: str) -> Grid:
    """Which unseen kinds each candidate finds."""
    groups = list(tuned.rows[0].groups)
    header = tuple(Text(name) for name in ("candidate", *groups))
    lines = tuple(
        (Text(_name(row, tuned)), *(Text(_figure(row.groups.get(group, {}).get(metric))) for group in groups))
        for row in tuned.rows
    )
    return Grid(f"{metric_title(metric)} by what was left out", header, lines, stubs=1)


def _weights(tuned: Tuned) -> Grid:
    titles = ("candidate", "weights in", "by", "alike", "best", "gain of the best (standard error)", "chosen")
    lines = []
    for row in tuned.weights:
        gain = f"{row.lead:+.3f} ({row.error:.3f})"
        cells = (row.candidate, row.what, metric_title(row.metric), f"{row.alike:.3f}", row.best or "alike", gain)
        lines.append(tuple(Text(cell) for cell in (*cells, row.chosen or "alike")))
    return Grid("Weights of the sources", tuple(Text(title) for title in titles), tuple(lines), stubs=3)


def _name(row: RankedRow, tuned: Tuned) -> str:
    return f"{row.candidate} (chosen)" if row.candidate == tuned.chosen else row.candidate


def _figure(value: float | None) -> str:
    return MISSING if value is None else f"{value:.3f}"


def _markdown(tuned: Tuned, caption: str) -> str:
    blocks = [f"# {markdown_of(caption)}"]
    for grid in _grids(tuned):
        blocks.append(markdown_grid(grid))
    blocks.append("\n".join(f"- {markdown_of(name)}: {markdown_of(text)}" for name, text in tuned.notes.items()))
    blocks.append(f"```toml\n{tuned.settings.rstrip()}\n```")
    return "\n\n".join(blocks) + "\n"


def _latex(tuned: Tuned, caption: str) -> str:
    lines = [r"\begin{table}", r"\centering", rf"\caption{{{latex_text_of(caption)}}}"]
    for grid in _grids(tuned):
        lines += latex_grid(grid, False)
    lines += [r"\par\smallskip", r"\begin{minipage}{\linewidth}\footnotesize"]
    lines += [rf"{latex_text_of(name)}: {latex_text_of(text)}.\\" for name, text in tuned.notes.items()]
    return "\n".join([*lines, r"\end{minipage}", r"\end{table}"]) + "\n"


def _json(tuned: Tuned, caption: str) -> str:
    content = {"schema": JSON_SCHEMA, "schema_version": JSON_SCHEMA_VERSION, "caption": caption, **asdict(tuned)}
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _csv(tuned: Tuned, caption: str) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    metrics, groups = _metrics(tuned), list(tuned.rows[0].groups)
    parts = ("value", "low", "high")
    writer.writerow(
        [
            *("rank", "candidate", "chosen"),
            *(f"{name}_{part}" for name in ("figure", "difference", *metrics) for part in parts),
            *(f"{group}_{metric}" for group in groups for metric in metrics),
        ]
    )
    for row in tuned.rows:
        estimates = [row.figure, row.difference, *(row.metrics[metric] for metric in metrics)]
        spread = [getattr(one, part) if one is not None else "" for one in estimates for part in parts]
        figures = [row.groups.get(group, {}).get(metric, "") for group in groups for metric in metrics]
        writer.writerow([row.rank, row.candidate, str(row.candidate == tuned.chosen).lower(), *spread, *figures])
    return text.getvalue()
