"""Work on samples by threads, ahead of the one who takes the results."""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def threads_of(jobs: int) -> int:
    """How many threads `jobs` stands for; 0 is one a processor."""
    return jobs or os.cpu_count() or 1


def read_ahead(
    make: Callable[[Item], Result], items: Iterable[Item], jobs: int = 0, *, beyond: int = 1
) -> Generator[Result, None, None]:
    """`make(item)` of each item, in order. An error comes when its item's turn comes, and ends the work.

    jobs: threads; 0 is one a processor. beyond: how many results at most wait in memory, beside one a thread.
    """
    threads = threads_of(jobs)
    with ThreadPoolExecutor(threads, thread_name_prefix="read") as pool:
        remaining = iter(items)
        waiting = deque(pool.submit(make, item) for item in islice(remaining, threads + beyond))
        try:
            while waiting:
                result = waiting.popleft().result()
                waiting.extend(pool.submit(make, item) for item in islice(remaining, 1))
                yield result
        finally:
            for future in waiting:
                future.cancel()
