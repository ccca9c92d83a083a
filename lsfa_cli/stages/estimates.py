"""How long a stage will take and how much memory, said before it starts; too little memory is refused."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple, Protocol, TypeVar

import numpy as np

from lsfa_cli.artifacts.lineage import peak_memory_bytes
from lsfa_cli.errors import ResourceError
from lsfa_cli.stages.costs import Cost, Sizes
from lsfa_cli.stages.memory import available_memory
from lsfa_cli.wording import bytes_text, duration

MATRIX_SIDE = 1024  # beside other work, threads wait for each other most of the time of smaller products
MEASURED_SECONDS = 0.2
MOVED_BYTES = 2**25  # read and written, far beyond most caches
PROGRAM_BYTES = 600_000_000  # what Python and the packages of a stage take where the system does not tell
LATER_BYTES = 150_000_000  # of packages that are imported while a stage works
START_SECONDS = 2.0  # of a stage: packages imported, files opened, hashed and written


@dataclass(frozen=True)
class Estimate:
    """What a stage will take: seconds, and bytes of memory at the peak of the whole process.

    sizes: of the features that it makes, for the estimates of later stages. sample_seconds: what the backbones take of
    the seconds for one sample.
    """

    seconds: float
    memory: float
    sizes: Sizes | None = None
    sample_seconds: float = 0.0

    def __str__(self) -> str:
        return f"about {duration(self.seconds)}, {bytes_text(self.memory)} of memory"


class Speed(NamedTuple):
    """Of this machine now: operations of matrix products and bytes moved, a second."""

    operations: float
    moved: float


@cache
def speed() -> Speed:
    """Measured once a process, with as many threads as a stage uses, and over so long that other work counts."""
    matrix = np.ones((MATRIX_SIDE, MATRIX_SIDE), dtype=np.float32)
    values = np.ones(MOVED_BYTES // 8, dtype=np.float32)
    return Speed(2.0 * MATRIX_SIDE**3 / _mean(lambda: matrix @ matrix), MOVED_BYTES / _mean(lambda: values.copy()))


def _mean(work: Callable[[], object]) -> float:
    """Seconds of one run, over `MEASURED_SECONDS` of runs after one that is not counted."""
    work()
    runs, start = 0, time.perf_counter()
    while (passed := time.perf_counter() - start) < MEASURED_SECONDS:
        work()
        runs += 1
    return passed / runs


def estimate(cost: Cost) -> Estimate:
    """Time and memory of a cost on this machine."""
    machine = speed()
    seconds = START_SECONDS + cost.operations / machine.operations + cost.moved / machine.moved
    return Estimate(seconds, peak_so_far() + LATER_BYTES + cost.held)


@dataclass
class Tally:
    """Many stages together: the costs of those that are counted, and what those take that were measured."""

    _cost: Cost = field(default_factory=Cost)
    _stages: int = 0
    _seconds: float = 0.0
    _memory: float = 0.0

    def add(self, cost: Cost) -> None:
        """One stage more."""
        self._cost += cost
        self._stages += 1

    def add_measured(self, taken: Estimate) -> None:
        """A stage whose time was measured on a few samples."""
        self._seconds += taken.seconds
        self._memory = max(self._memory, taken.memory)

    def estimate(self) -> Estimate:
        """All of them, one after the other."""
        counted = estimate(self._cost)
        seconds = counted.seconds + self._seconds + START_SECONDS * max(0, self._stages - 1)
        return Estimate(seconds, max(counted.memory, self._memory))


def peak_so_far() -> int:
    """Bytes that this process has held at the most until now, what its packages take included."""
    return peak_memory_bytes() or PROGRAM_BYTES


Result = TypeVar("Result")


def timed(work: Callable[[], Result]) -> tuple[float, Result]:
    """How many seconds some work takes, and its result."""
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


class Remedy(NamedTuple):
    """Settings that need less, as they are typed, and what the work costs with them."""

    settings: str
    cost: Cost


class Foreseen(Protocol):
    """What can be said of a stage's work before it starts."""

    def require(self) -> None:
        """Raises `ResourceError` where memory is too little."""

    def estimate(self) -> Estimate:
        """What it will take."""
        ...


@dataclass(frozen=True)
class Counted:
    """Work whose cost follows from sizes and settings alone, counted when it is asked for.

    what: the work, as a message names it. remedies: settings that need less, from the least change to the largest.
    """

    what: str
    cost: Callable[[], Cost]
    remedies: Callable[[], Iterable[Remedy]]

    def require(self) -> None:
        """Refuse work that needs more memory than there is, and name the first of the settings that fit."""
        available, cost = available_memory(), self.cost()
        if available is None or cost.held <= available:
            return
        fitting = next((one.settings for one in self.remedies() if one.cost.held <= available), None)
        hint = f"Use {fitting}." if fitting else "Free memory, or use a machine that has more."
        text = f"{self.what} needs {bytes_text(cost.held)} of memory, and {bytes_text(available)} are free"
        raise ResourceError(text, hint=hint)

    def estimate(self) -> Estimate:
        """Its cost at this machine's speed."""
        return estimate(self.cost())
