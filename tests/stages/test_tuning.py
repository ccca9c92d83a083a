"""The plan, the budget and the ranking of a tuning, on cells whose figures are made up."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from lsfa_cli.artifacts.figures import write_figure
from lsfa_cli.artifacts.store import create
from lsfa_cli.datasets import open_dataset
from lsfa_cli.datasets.base import RasterDataset
from lsfa_cli.datasets.held_out import HeldOut, HoldOut
from lsfa_cli.errors import DataError, LsfaError
from lsfa_cli.resampling import image_auroc_sums
from lsfa_cli.settings import AdaptSettings, BankSettings, ExtractSettings, ScoreSettings
from lsfa_cli.stages.progress import NoProgress, Progress
from lsfa_cli.stages.studying.cells import Settings
from lsfa_cli.stages.tune import Budget, Plan, Progressed, run_plan
from lsfa_cli.stages.tuning.cells import Cell, Piece, Unit, What
from lsfa_cli.stages.tuning.measure import Judgements
from lsfa_cli.stages.tuning.rank import Ranking, compared
from lsfa_cli.studies.spaces import Space
from tests.datasets.trees import write_category

SETTINGS = Settings(ExtractSettings(), AdaptSettings(), BankSettings(), ScoreSettings())


class Clock:
    """Minutes that pass when somebody works."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def units(tmp_path: Path) -> list[Unit]:
    """Two folds of a category."""
    write_category(tmp_path / "root" / "widget")
    dataset = open_dataset("mvtec3d", tmp_path / "root")
    assert isinstance(dataset, RasterDataset)
    hold_out = HoldOut(0.25, 2, 0)
    return [Unit("widget", fold, HeldOut(dataset, hold_out, fold), tmp_path / str(fold)) for fold in range(2)]


def planned(
    units: Sequence[Unit], names: Sequence[str], clock: Clock, write: Callable[[str, Unit, Path], None]
) -> Plan:
    """Cells of two pieces: features that all candidates of a unit share, and figures; each takes a minute."""

    def piece(what: What, path: Path, work: Callable[[], None]) -> Piece:
        def make(progress: Progress) -> None:
            clock.seconds += 60
            path.parent.mkdir(parents=True, exist_ok=True)
            work()

        return Piece(what, path, path.exists, make)

    cells = []
    for fold in range(2):
        for name in names:
            unit = units[fold]
            features, figures = unit.folder / "features.h5", unit.folder / name / "figures.h5"
            pieces = [
                piece("features", features, features.touch),
                piece("figures", figures, lambda name=name, unit=unit, path=figures: write(name, unit, path)),
            ]
            cells.append(Cell(name, unit, SETTINGS, features, Judgements(None, {}), pieces))
    space = Space.model_validate({"groups": {"all": ["bump"]}, "candidate": [{"name": name} for name in names]})
    return Plan(space, units, cells)


def touch(name: str, unit: Unit, path: Path) -> None:
    """Figures of which only the file matters."""
    path.touch()


def test_a_budget_ends_what_has_not_begun_and_the_next_call_goes_on(units: list[Unit]) -> None:
    clock = Clock()
    plan = planned(units, ["a", "b"], clock, touch)
    first = run_plan(plan, Budget(1.5, clock), NoProgress())
    assert [str(one) for one in first.measured] == ["widget, fold 1, a"]  # two pieces of a minute
    assert [str(one) for one in first.waiting] == ["widget, fold 1, b", "widget, fold 2, a", "widget, fold 2, b"]
    none = run_plan(plan, Budget(0, clock), NoProgress())
    assert (none.made, len(none.measured), len(none.waiting)) == (0, 1, 3)
    rest = run_plan(plan, Budget(None, clock), NoProgress())
    assert (rest.made, len(rest.measured), len(rest.waiting)) == (3, 4, 0)
    assert clock.seconds == 60 * 6
    assert run_plan(plan, Budget(None, clock), NoProgress()).made == 0
    assert run_plan(plan, Budget(None, clock), NoProgress(), rerun=True).made == 4
    assert clock.seconds == 60 * 12  # features of a unit are made once


def test_a_cell_that_fails_does_not_stop_the_others(units: list[Unit]) -> None:
    def write(name: str, unit: Unit, path: Path) -> None:
        if name == "a":
            raise DataError("no such thing")
        path.touch()

    plan = planned(units, ["a", "b", "c"], Clock(), write)
    result = run_plan(plan, Budget(None), NoProgress())
    assert list(result.failures) == ["widget, fold 1, a", "widget, fold 2, a"]
    assert compared(plan, result).candidates == ["b", "c"]


@pytest.mark.parametrize(
    ("done", "candidates", "folds", "waiting"),
    [
        ("a1 b1 c1 a2 b2 c2", "abc", 2, ""),
        ("a1 b1 c1 a2 b2", "abc", 1, ""),  # the second fold is not that of all
        ("a1 b1", "ab", 1, "c"),
        ("b1", "b", 1, "ac"),
    ],
)
def test_as_many_folds_count_as_all_candidates_have(
    units: list[Unit], done: str, candidates: str, folds: int, waiting: str
) -> None:
    plan = planned(units, ["a", "b", "c"], Clock(), touch)
    measured = [one for one in plan.cells if f"{one.candidate}{one.unit.fold + 1}" in done.split()]
    found = compared(plan, Progressed(measured=measured))
    assert ("".join(found.candidates), len(found.units), "".join(found.waiting)) == (candidates, folds, waiting)


def test_without_a_measured_candidate_there_is_nothing_to_rank(units: list[Unit]) -> None:
    plan = planned(units, ["a"], Clock(), touch)
    with pytest.raises(LsfaError, match="nothing to rank") as caught:
        compared(plan, Progressed(waiting=list(plan.cells)))
    assert "--budget" in str(caught.value)


# Two normal samples and two pasted versions of each: scores in this order.
LABELS, OWNERS = np.array([0, 0, 1, 1, 1, 1]), np.array([0, 1, 0, 0, 1, 1])
SCORES = {
    # first group: the pasted samples 2 and 4; second: 3 and 5
    "a": [1.0, 2.0, 3.0, 1.5, 0.0, 1.5],  # wins: 2 + 0 of 4; 1 + 1 of 4
    "b": [1.0, 2.0, 3.0, 3.0, 1.5, 3.0],  # 2 + 1 of 4; 2 + 2 of 4
}


def write_made_up(name: str, unit: Unit, path: Path) -> None:
    """Figures of two groups. In the second fold every pasted sample of `b` is found."""
    scores = np.array(SCORES[name])
    if unit.fold == 1 and name == "b":
        scores[2:] = 9.0
    with create(path, "figures", settings={}, inputs={}) as writer:
        for attribute in ("dataset", "category", "backbones", "remarks"):
            writer.attribute(attribute, "")
        writer.write("names", [f"{unit.fold}-{place}" for place in range(6)])
        writer.write("labels", LABELS)
        writer.write("owners", OWNERS)
        for group, own in (("first", [2, 4]), ("second", [3, 5])):
            chosen = np.isin(np.arange(6), [0, 1, *own])
            sums = image_auroc_sums(scores[chosen], LABELS[chosen])
            value = float(sums.values(np.ones((1, 4)))[0])
            spread = sums.among(chosen)
            arrays = {"wins": spread.wins, "positives": spread.positives, "negatives": spread.negatives}
            write_figure(writer, group, "i_auroc", value, arrays)
            # AUPRO made up as well: it has to be there, and is the same for all.
            rates = {"false_positives": np.ones((6, 1)), "overlaps": np.ones((6, 1))}
            counts = {"normals": np.ones(6), "components": np.ones(6)}
            write_figure(writer, group, "aupro", 1.0, {**rates, **counts})


def test_figures_are_means_over_groups_and_folds_counted_by_hand(units: list[Unit]) -> None:
    plan = planned(units, ["a", "b"], Clock(), write_made_up)
    result = run_plan(plan, Budget(None), NoProgress())
    ranking = Ranking(plan, compared(plan, result), by="i_auroc", resamples=200)
    rows = ranking.rows()
    assert [row.candidate for row in rows] == ["b", "a"]
    a, b = rows[1], rows[0]
    assert a.figure.value == pytest.approx((2 / 4 + 2 / 4) / 2)
    first_fold, second_fold = (3 / 4 + 4 / 4) / 2, 1.0
    assert b.figure.value == pytest.approx((first_fold + second_fold) / 2)
    assert b.groups["first"]["i_auroc"] == pytest.approx((3 / 4 + 1) / 2)
    assert b.difference is not None
    assert b.difference.value == pytest.approx(b.figure.value - 0.5)
    assert a.difference is None
    assert b.figure.low <= b.figure.value <= b.figure.high
    assert (ranking.title, ranking.first, ranking.best) == ("I-AUROC", "a", "b")
    both = Ranking(plan, compared(plan, result), resamples=200)
    assert both.rows()[0].figure.value == pytest.approx((b.figure.value + 1) / 2)
    again = Ranking(plan, compared(plan, result), by="i_auroc", resamples=200)
    assert again.rows() == rows


def test_other_samples_cannot_be_compared(units: list[Unit]) -> None:
    def write(name: str, unit: Unit, path: Path) -> None:
        write_made_up("a", unit, path)
        if name == "b":
            write_made_up("a", Unit("widget", 7, unit.dataset, unit.folder), path)

    plan = planned(units, ["a", "b"], Clock(), write)
    ranking = Ranking(plan, compared(plan, run_plan(plan, Budget(None), NoProgress())), resamples=50)
    assert ranking.others == ["b"]
    assert [row.candidate for row in ranking.rows()] == ["a"]
