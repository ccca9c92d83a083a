"""Time, memory and limits of this machine, measured so that a shared machine's drift cancels.

Two ways of doing the same work are run in turn (A B A B ...) in one process; what is reported is the median of each
and the median of the ratios pair by pair, with the smallest and the largest. Beside the clock's seconds stand those of
all processors, which other work on the machine changes less.
"""

import ctypes
import gc
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

PACKAGES = ("numpy", "scipy", "torch", "timm", "h5py", "scikit-learn", "faiss-cpu", "open3d", "pillow")
MATRIX_SIDE = 2048
MEMORY_BYTES = 256 * 2**20  # far beyond most caches; where it is not, the limit is that of the cache

Work = Callable[[], Any]


class Spread(NamedTuple):
    """Median, smallest and largest of repeated measurements."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread":
        """The spread of at least one value."""
        found = list(values)
        return cls(statistics.median(found), min(found), max(found))


class Run(NamedTuple):
    """One run: seconds by the clock, seconds of all processors, and the result."""

    clock: float
    processor: float
    result: Any


class Pairs(NamedTuple):
    """Runs of two ways in turn, and what each gave in its first."""

    plain: list[Run]
    ours: list[Run]
    plain_result: Any
    our_result: Any

    def ratios(self, measure: str) -> Spread:
        """Plain over ours, pair by pair; measure: "clock" or "processor"."""
        pairs = zip(self.plain, self.ours, strict=True)
        return Spread.of(getattr(a, measure) / max(getattr(b, measure), 1e-9) for a, b in pairs)


def timed(work: Work) -> Run:
    """Run it once."""
    clock, processor = time.perf_counter(), time.process_time()
    result = work()
    return Run(time.perf_counter() - clock, time.process_time() - processor, result)


def in_turn(plain: Work, ours: Work, *, budget: float, most: int = 9) -> Pairs:
    """Run both in turn for about `budget` seconds; the first run of each warms up and is not counted.

    Where one pair takes more than a third of the budget, the first counts too: a warm-up would be most of the time.
    """
    first, second = timed(plain), timed(ours)
    once = first.clock + second.clock
    slow = 3 * once > budget
    runs = int(budget / once) - 1 if slow else min(most, max(3, int(budget / once) - 1))
    pairs = [(first, second)] if slow else []
    for _ in range(runs):
        pairs.append((timed(plain)._replace(result=None), timed(ours)._replace(result=None)))
    plain_runs, our_runs = (list(runs) for runs in zip(*pairs, strict=True))
    return Pairs(plain_runs, our_runs, first.result, second.result)


def peak_memory(work: Work) -> float | None:
    """How much the process grew while `work` ran, bytes at the peak; None where the system does not tell (not Linux).

    Freed memory is first given back to the system, so that what `work` takes is seen.
    """
    gc.collect()
    status, clear = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    if not clear.exists():
        return None
    _give_back_freed_memory()
    try:
        clear.write_text("5")  # resets the peak
    except OSError:
        return None
    before = _kibibytes(status, "VmRSS")
    result = work()
    peak = _kibibytes(status, "VmHWM")
    del result
    return 1024.0 * max(0, peak - before)


def _give_back_freed_memory() -> None:
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _kibibytes(status: Path, field: str) -> int:
    return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith(field + ":"))


def machine_limits() -> dict[str, float]:
    """What this machine does at best now: matrix products in fp32 and bf16, GFLOP/s, and reading, GB/s.

    Square products by PyTorch on all its threads; reading by a sum. The best of several runs, since these are limits.
    """
    left, right = torch.randn(MATRIX_SIDE, MATRIX_SIDE), torch.randn(MATRIX_SIDE, MATRIX_SIDE)
    operations = 2.0 * MATRIX_SIDE**3
    values = torch.ones(MEMORY_BYTES // 4)
    left16, right16 = left.bfloat16(), right.bfloat16()
    return {
        "fp32_gflops": operations / _best(lambda: left @ right) / 1e9,
        "bf16_gflops": operations / _best(lambda: left16 @ right16) / 1e9,
        "read_gbs": MEMORY_BYTES / _best(lambda: values.sum()) / 1e9,
    }


def _best(work: Work) -> float:
    return min(timed(work).clock for _ in range(8))


def best_of(one: dict[str, float], other: dict[str, float]) -> dict[str, float]:
    """The higher of each limit, from measurements at the begin and the end of a run."""
    return {name: max(value, other[name]) for name, value in one.items()}


def user_environment() -> dict[str, str]:
    """The environment of a program that is run as a user runs it.

    Python keeps what it has compiled, and threads wait as `lsfa` lets them, whatever is imported before it begins.
    """
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {"OMP_WAIT_POLICY": "PASSIVE"} | kept


def machine() -> dict[str, Any]:
    """What the machine is, without names of hosts."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gib": _memory_gib(),
        "system": platform.system(),
        "vector_instructions": torch.backends.cpu.get_cpu_capability(),
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
    }


def packages() -> dict[str, str]:
    """Versions of what the figures depend on."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _memory_gib() -> float | None:
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return None
    return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1)


def once(work: Work) -> tuple[Run, float | None]:
    """One run, and how much the process grew during it, bytes."""
    run: list[Run] = []
    peak = peak_memory(lambda: run.append(timed(work)))
    return (run[0] if run else timed(work)), peak


def largest_difference(left: Any, right: Any) -> float:
    """The largest absolute difference of two arrays of one shape."""
    a, b = np.asarray(left, dtype=np.float64), np.asarray(right, dtype=np.float64)
    if a.shape != b.shape:
        raise ValueError(f"results of shapes {a.shape} and {b.shape} cannot agree")
    return float(np.abs(a - b).max(initial=0.0))
