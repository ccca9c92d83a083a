"""Worker processes, and what is said where one dies."""

import multiprocessing
import os
import signal
from concurrent.futures import ProcessPoolExecutor

from lsfa_cli.errors import ResourceError

_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def process_pool(count: int) -> ProcessPoolExecutor:
    """`count` worker processes of one thread each, which leave Ctrl-C to their parent."""
    # Spawned, not forked: a fork of a process with threads (BLAS, progress display) may hang.
    return ProcessPoolExecutor(count, mp_context=multiprocessing.get_context("spawn"), initializer=_start)


def process_died(made: str) -> ResourceError:
    """The error for a process that ended while it made something."""
    return ResourceError(
        f"a worker process that made {made} ended unexpectedly, probably for want of memory.",
        hint="Try again with fewer --jobs.",
    )


def _start() -> None:
    os.environ.update(_ONE_THREAD)  # the libraries that would take more are loaded later
    # Ctrl-C reaches every process of the terminal; only the parent acts on it and lets the workers finish.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
