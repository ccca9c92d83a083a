"""One row of the table of speed: two ways of doing the same work, what they must agree in, and what is aimed at."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch

from tests.benchmarks.measuring import Spread, Work, in_turn, peak_memory

LimitKind = Literal["fp32_gflops", "bf16_gflops", "read_gbs", "disk_gbs"]
MEASURE_PLAIN_MEMORY_BELOW = 4.0  # seconds; a longer reference is not run once more for it


class DisagreementError(AssertionError):
    """The two ways gave different results."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """What is aimed at: a ratio of at least, seconds of at most, or at least a share of the machine's limit."""

    kind: Literal["ratio", "seconds", "share"]
    value: float

    def met(self, ratio: float, ours: float, share: float | None) -> bool:
        """Whether the measured medians reach it."""
        if self.kind == "seconds":
            return ours <= self.value
        return (share or 0.0) >= self.value if self.kind == "share" else ratio >= self.value


@dataclass(frozen=True, kw_only=True)
class Case:
    """One measurement.

    row: of the table. plain, ours: the two ways. difference: of their two results, at most `tolerance`; what it is
    stands in `agreement`. amount: the least arithmetic (GFLOP) or traffic (GB) that our way needs, of kind `limit`.
    plain_factor: the plain way does 1 / plain_factor of the work, whose time grows in proportion.
    plain_elsewhere: it works in other processes, whose processor time is not seen here.
    """

    row: int
    stage: str
    name: str
    work: str
    reference: str
    plain: Work
    ours: Work
    difference: Callable[[Any, Any], float]
    tolerance: float
    agreement: str
    limit: LimitKind
    amount: float
    target: Target | None
    plain_factor: float = 1.0
    plain_elsewhere: bool = False


def check(case: Case) -> float:
    """Run both ways once and return how far they differ. Raises `DisagreementError` beyond the tolerance."""
    return _checked(case, case.plain(), case.ours())


def _checked(case: Case, plain: Any, ours: Any) -> float:
    difference = case.difference(plain, ours)
    if not difference <= case.tolerance:  # NaN too
        raise DisagreementError(f"row {case.row}, {case.name}: {case.agreement} differ by {difference}")
    return difference


def measure(case: Case, limits: dict[str, float], *, budget: float) -> dict[str, Any]:
    """Measure a case for about `budget` seconds: a row of bench.json."""
    pairs = in_turn(case.plain, case.ours, budget=budget)
    difference = _checked(case, pairs.plain_result, pairs.our_result)
    ours, clock = Spread.of(run.clock for run in pairs.ours), Spread.of(run.clock for run in pairs.plain)
    plain, ratio, processor_ratio = (
        _times(spread, case.plain_factor) for spread in (clock, pairs.ratios("clock"), pairs.ratios("processor"))
    )
    short = clock.median < MEASURE_PLAIN_MEMORY_BELOW and case.plain_factor == 1.0
    share = case.amount / ours.median / limits[case.limit]
    return {
        "row": case.row,
        "stage": case.stage,
        "name": case.name,
        "work": case.work,
        "reference": case.reference,
        "reference_seconds": plain._asdict(),
        "reference_extrapolated": case.plain_factor != 1.0,
        "our_seconds": ours._asdict(),
        "ratio": ratio._asdict(),
        "processor_ratio": None if case.plain_elsewhere else processor_ratio._asdict(),
        "runs": len(pairs.ours),
        "threads": torch.get_num_threads(),
        "peak_bytes": peak_memory(case.ours),
        "reference_peak_bytes": peak_memory(case.plain) if short else None,
        "limit": {"kind": case.limit, "value": limits[case.limit], "amount": case.amount, "share": share},
        "agreement": {"what": case.agreement, "difference": difference, "tolerance": case.tolerance},
        "target": None
        if case.target is None
        else {
            "kind": case.target.kind,
            "value": case.target.value,
            "met": case.target.met(ratio.median, ours.median, share),
        },
    }


def _times(spread: Spread, factor: float) -> Spread:
    return Spread(*(factor * value for value in spread))
