"""How results are laid out as tables: which rows, which columns, which footnotes. Markdown and LaTeX share it.

One table a data set and metric. Rows are modality and method, columns are categories and the mean. Where that is wider
than the page, either categories become the rows, with tables for each modality, or the categories are spread over
several tables: whichever takes fewer.
"""

import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from lsfa_cli.tables.results import MEAN, MODALITY_ORDER, Result, Series, by_series, metric_title

MISSING = "\N{EN DASH}"
_METRIC_ORDER = ("i_auroc", "o_auroc", "p_auroc", "aupro", "o_aupr", "p_aupr")


@dataclass(frozen=True)
class Text:
    """One cell: what it says, the letters of its footnotes, and whether it is published or the best of its column."""

    text: str
    marks: tuple[str, ...] = ()
    published: bool = False
    best: bool = False

    @property
    def width(self) -> int:
        """Characters in a plain-text table, footnote letters included."""
        marks = f" [{','.join(self.marks)}]" if self.marks else ""
        return len(self.text) + len(marks)


@dataclass(frozen=True)
class Grid:
    """A rectangle of cells under a header. The first `stubs` columns are names, the others numbers."""

    title: str
    header: tuple[Text, ...]
    rows: tuple[tuple[Text, ...], ...]
    stubs: int

    @property
    def width(self) -> int:
        """Characters of a plain-text table with `| ` and ` |` around the cells."""
        columns: Iterable[tuple[Text, ...]] = zip(self.header, *self.rows, strict=True)
        widths = [max(cell.width for cell in column) for column in columns]
        return sum(widths) + 3 * len(widths) + 1

    def columns(self, chosen: Sequence[int]) -> "Grid":
        """The same table with these columns only."""

        def pick(row: Sequence[Text]) -> tuple[Text, ...]:
            return tuple(row[place] for place in chosen)

        return replace(self, header=pick(self.header), rows=tuple(pick(row) for row in self.rows))


@dataclass(frozen=True)
class MetricTable:
    """All tables of one data set and metric, and their footnotes (letter, text). Without tables: `omitted` says why."""

    title: str
    grids: tuple[Grid, ...] = ()
    footnotes: tuple[tuple[str, str], ...] = ()
    omitted: str = ""


@dataclass
class _Footnotes:
    """Gives every different text one letter, in order of use."""

    letters: dict[str, str] = field(default_factory=dict)

    def mark(self, texts: Sequence[str]) -> tuple[str, ...]:
        return tuple(self.letters.setdefault(text, _letter(len(self.letters))) for text in texts)


def _letter(index: int) -> str:
    """a, b, ..., z, aa, ab, ..."""
    head, last = divmod(index, 26)
    return (_letter(head - 1) if head else "") + string.ascii_lowercase[last]


def metric_tables(results: Sequence[Result], width: int) -> list[MetricTable]:
    """The tables of `results`, data sets in order of appearance and metrics in the usual order."""
    pairs = dict.fromkeys((row.dataset, row.metric) for row in results)
    datasets = list(dict.fromkeys(dataset for dataset, _ in pairs))
    ordered = sorted(pairs, key=lambda pair: (datasets.index(pair[0]), *_metric_key(pair[1])))
    tables = []
    for dataset, metric in ordered:
        rows = [row for row in results if (row.dataset, row.metric) == (dataset, metric)]
        tables.append(_metric_table(f"{dataset}: {metric_title(metric)}", rows, width))
    return tables


def _metric_key(metric: str) -> tuple[int, str, float]:
    name, _, limit = metric.partition("@")
    known = _METRIC_ORDER.index(name) if name in _METRIC_ORDER else len(_METRIC_ORDER)
    return known, name, -float(limit or "inf")


def _metric_table(title: str, results: Sequence[Result], width: int) -> MetricTable:
    """One data set and metric. Omitted when nothing was measured or published."""
    if all(row.value is None for row in results):
        reasons = dict.fromkeys(note for row in results for note in row.notes if row.category != MEAN)
        return MetricTable(title, omitted="no value" + "".join(f"; {reason}" for reason in reasons))
    table = _Rows(results)
    notes, turned_notes = _Footnotes(), _Footnotes()
    grids = _split(table.grid(notes), width)
    turned = table.transposed(turned_notes, width)
    if len(grids) > 1 and len(turned) <= len(grids):
        grids, notes = turned, turned_notes
    return MetricTable(title, grids, tuple((letter, text) for text, letter in notes.letters.items()))


def _split(grid: Grid, width: int) -> tuple[Grid, ...]:
    """The table, or as many with some of its columns each as keep within the width."""
    names = list(range(grid.stubs))
    parts: list[list[int]] = [[]]
    for place in range(grid.stubs, len(grid.header)):
        if parts[-1] and grid.columns([*names, *parts[-1], place]).width > width:
            parts.append([])
        parts[-1].append(place)
    return tuple(grid.columns([*names, *part]) for part in parts)


class _Rows:
    """The rows of one data set and metric, sorted: modality, then measured, differences and published."""

    def __init__(self, results: Sequence[Result]) -> None:
        groups = by_series(results)
        appearance = {series: place for place, series in enumerate(groups)}
        self.series = sorted(groups, key=lambda one: (*_series_key(one), appearance[one]))
        self.cells = {series: {row.category: row for row in rows} for series, rows in groups.items()}
        measured_first = sorted(results, key=lambda row: row.published)
        self.categories = list(dict.fromkeys(row.category for row in measured_first if row.category != MEAN))
        means = [row for row in results if row.category == MEAN]
        if len(self.categories) != 1 and means:
            self.categories.append(MEAN)
        self.count = max((row.count for row in means if row.count is not None), default=None)
        self.best = _best(results)

    def grid(self, notes: _Footnotes) -> Grid:
        """Rows are modality and method, columns are categories."""
        header = (Text("modality"), Text("method"), *(Text(self._title(category)) for category in self.categories))
        rows = tuple((Text(series.modality), *self._line(series, notes)) for series in self.series)
        return Grid("", header, rows, stubs=2)

    def transposed(self, notes: _Footnotes, width: int) -> tuple[Grid, ...]:
        """Rows are categories, columns are methods: for each modality as many tables as the width asks for."""
        names = [Text("category"), *(Text(self._title(category)) for category in self.categories)]
        grids: list[Grid] = []
        modality = None
        for series in self.series:
            column = [*self._line(series, notes)]
            if series.modality == modality:
                wider = _with_column(grids[-1], column)
                if wider.width <= width:
                    grids[-1] = wider
                    continue
            title = series.modality + (", continued" if series.modality == modality else "")
            empty = Grid(title, (names[0],), tuple((name,) for name in names[1:]), stubs=1)
            grids.append(_with_column(empty, column))
            modality = series.modality
        return tuple(grids)

    def _title(self, category: str) -> str:
        return f"{MEAN} (n={self.count})" if category == MEAN and self.count is not None else category

    def _line(self, series: Series, notes: _Footnotes) -> list[Text]:
        """The method's name, then its cells. A reason that all cells share stands at the name."""
        cells = self.cells[series]
        present = [row for row in cells.values() if row.category in self.categories]
        shared = [note for note in present[0].notes if all(note in row.notes for row in present)] if present else []
        if len(present) < 2:
            shared = []
        label = self._label(series, shared, notes)
        return [
            label,
            *(self._cell(series, cells.get(category), category, shared, notes) for category in self.categories),
        ]

    def _label(self, series: Series, shared: Sequence[str], notes: _Footnotes) -> Text:
        texts = list(shared)
        name = series.method
        if series.baseline:
            texts.insert(0, f"{series.method} minus {series.baseline}, paired by category")
            others = {one.method for one in self.series if one.baseline}
            name = "difference" if len(others) == 1 else f"{series.method}, difference"
        if series.published:
            texts.insert(0, f"published in {series.source}, not measured here")
        return Text(name, notes.mark(texts), published=series.published)

    def _cell(
        self, series: Series, row: Result | None, category: str, shared: Sequence[str], notes: _Footnotes
    ) -> Text:
        if row is None:
            reason = "not in this source" if series.published else "not measured"
            return Text(MISSING, notes.mark([reason]))
        texts = [note for note in row.notes if note not in shared]
        if row.value is None:
            return Text(MISSING, notes.mark(texts or (["not measured"] if not shared else [])))
        text = _signed(row.value) if series.baseline else f"{row.value:.3f}"
        if category == MEAN and row.count not in (None, self.count):
            text += f" (n={row.count})"
        best = not series.published and not series.baseline and row.value == self.best.get((series.modality, category))
        return Text(text, notes.mark(texts), published=series.published, best=best)


def _with_column(grid: Grid, column: Sequence[Text]) -> Grid:
    rows = tuple((*row, cell) for row, cell in zip(grid.rows, column[1:], strict=True))
    return replace(grid, header=(*grid.header, column[0]), rows=rows)


def _series_key(series: Series) -> tuple[int, str, int]:
    known = series.modality in MODALITY_ORDER
    place = MODALITY_ORDER.index(series.modality) if known else len(MODALITY_ORDER)
    return place, series.modality, 2 if series.published else int(bool(series.baseline))


def _best(results: Sequence[Result]) -> dict[tuple[str, str], float]:
    """The highest measured value of each modality and category that at least two measured rows have."""
    values: dict[tuple[str, str], list[float]] = {}
    for row in results:
        if row.value is not None and not row.published and not row.baseline:
            values.setdefault((row.modality, row.category), []).append(row.value)
    return {key: max(found) for key, found in values.items() if len(found) > 1}


def _signed(value: float) -> str:
    text = f"{value:+.3f}"
    return "0.000" if text in ("+0.000", "-0.000") else text
