"""Work on samples ahead of the one who takes the results, by threads or by worker processes."""

import contextlib
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from lsfa_cli.wording import counted
from lsfa_cli.worker_processes import process_died, process_pool

Item = TypeVar("Item")
Result = TypeVar("Result")

MOST_THREADS = 6  # Python's lock is held for a sixth of the time that a sample takes to prepare: more would wait for it


@dataclass(frozen=True)
class Workers:
    """How many work ahead, and whether they are threads or processes."""

    count: int
    processes: bool = False

    def __str__(self) -> str:
        if self.processes:
            return "1 worker process" if self.count == 1 else f"{self.count} worker processes"
        return counted(self.count, "thread")

    @contextlib.contextmanager
    def at_work(self) -> Iterator["Pool"]:
        """The workers, until the block ends; what they have not begun by then they leave."""
        executor: Executor = (
            process_pool(self.count) if self.processes else ThreadPoolExecutor(self.count, thread_name_prefix="read")
        )
        try:
            yield Pool(executor, self.count)
        finally:
            executor.shutdown(wait=True, cancel_futures=True)


@dataclass(frozen=True)
class Pool:
    """Workers at work."""

    executor: Executor
    count: int

    def ahead(
        self, make: Callable[[Item], Result], items: Iterable[Item], *, beyond: int = 1
    ) -> Generator[Result, None, None]:
        """`make(item)` of each item, in order. An error comes when its item's turn comes, and ends the work.

        beyond: how many results at most wait in memory, beside one a worker. Where workers are processes, `make`, items
        and results must be such as can be sent there and back. Raises ResourceError where a process dies.
        """
        remaining = iter(items)
        waiting = deque(self.executor.submit(make, item) for item in islice(remaining, self.count + beyond))
        try:
            while waiting:
                result = waiting.popleft().result()
                waiting.extend(self.executor.submit(make, item) for item in islice(remaining, 1))
                yield result
        except BrokenProcessPool as error:
            raise process_died("samples ready") from error
        finally:
            for future in waiting:
                future.cancel()


def workers_for(jobs: int, device: str) -> Workers:
    """`jobs` workers, or one a processor for 0, ahead of networks on a device.

    They are processes where threads might not keep up with the networks: where those do not take the processors'
    time, and the threads would be more than `MOST_THREADS`.
    """
    count = worker_count(jobs)
    return Workers(count, processes=device != "cpu" and count > MOST_THREADS)


def worker_count(jobs: int) -> int:
    """How many workers `jobs` stands for; 0 is one a processor."""
    return jobs or os.cpu_count() or 1


def read_ahead(
    make: Callable[[Item], Result], items: Iterable[Item], jobs: int = 0, *, beyond: int = 1
) -> Generator[Result, None, None]:
    """As `Pool.ahead`, by `jobs` threads; 0 is one a processor."""
    with Workers(worker_count(jobs)).at_work() as pool:
        yield from pool.ahead(make, items, beyond=beyond)
