"""Which test samples are worth looking at."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Case:
    """One test sample worth looking at.

    kind: "best", "worst", "false-alarm" or "median", fit for a file name. index: which sample. rank: 1 for the highest
    score of all samples. reason: why it was chosen, in plain words.
    """

    kind: str
    index: int
    rank: int
    reason: str


def choose_cases(scores: ArrayLike, labels: ArrayLike) -> list[Case]:
    """The best and worst defect, the good part with the highest score, and the median defect.

    scores, labels: (n,), labels 1 for a defect. A kind that does not exist, or only repeats a sample, is left out.
    Equal scores rank in the order of the samples; of two middle defects the higher one is the median.
    """
    values, truth = np.asarray(scores, dtype=np.float64), np.asarray(labels).astype(bool)
    if values.ndim != 1 or values.shape != truth.shape:
        raise ValueError(f"scores and labels must be two equally long rows, not {values.shape} and {truth.shape}")
    order = np.argsort(-values, kind="stable")
    defects, good = order[truth[order]], order[~truth[order]]
    chosen: dict[int, tuple[str, str]] = {}
    if len(defects):
        chosen[int(defects[0])] = ("best", "best: the defect with the highest score")
        chosen.setdefault(int(defects[-1]), ("worst", _worst(values, int(defects[-1]), good)))
    if len(good):
        chosen[int(good[0])] = ("false-alarm", _false_alarm(values, int(good[0]), defects))
    if len(defects):
        middle = int(defects[(len(defects) - 1) // 2])
        chosen.setdefault(middle, ("median", f"median: the middle one of {len(defects)} defects"))
    ranks = {int(index): rank for rank, index in enumerate(order, start=1)}
    return [Case(kind, index, ranks[index], reason) for index, (kind, reason) in chosen.items()]


def _worst(values: NDArray[np.float64], index: int, good: NDArray[np.intp]) -> str:
    higher = int((values[good] > values[index]).sum())
    name = "missed defect" if higher else "weakest defect"
    return f"{name}: the defect with the lowest score; {_share(higher, len(good), 'good part')} higher"


def _false_alarm(values: NDArray[np.float64], index: int, defects: NDArray[np.intp]) -> str:
    lower = int((values[defects] < values[index]).sum())
    name = "false alarm" if lower else "closest to a false alarm"
    return f"{name}: the good part with the highest score; {_share(lower, len(defects), 'defect')} lower"


def _share(count: int, total: int, thing: str) -> str:
    """ "3 of 8 good parts score", "none of 8 good parts scores"."""
    plural = thing if total == 1 else f"{thing}s"
    return f"{count or 'none'} of {total} {plural} {'score' if count > 1 else 'scores'}"


def case_title(name: str, defect: str, score: float, rank: int, total: int) -> str:
    """The heading of a case: "test/hole/003, hole, score 4.12, rank 2 of 28"."""
    return f"{name}, {defect}, score {score:.2f}, rank {rank} of {total}"
