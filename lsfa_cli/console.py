"""What a person sees: results on stdout, everything else on stderr, progress on a terminal only."""

import contextlib
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator

from lsfa_cli.wording import duration

QUIET, NORMAL, VERBOSE, DEBUG = -1, 0, 1, 2


class Console:
    """Speaks for the commands. `level` is QUIET (results, warnings and errors only) to DEBUG."""

    def __init__(self, level: int = NORMAL) -> None:
        self.level = level
        self._terminal = sys.stderr.isatty()

    def result(self, text: str) -> None:
        """The answer that was asked for, on stdout."""
        sys.stdout.write(text if text.endswith("\n") else text + "\n")
        sys.stdout.flush()

    def say(self, text: str) -> None:
        """Detail, shown with -v."""
        if self.level >= VERBOSE:
            self._line(text)

    def info(self, text: str) -> None:
        """What is going on, unless quiet."""
        if self.level >= NORMAL:
            self._line(text)

    def warn(self, text: str) -> None:
        """Something that the user should know."""
        self._line(f"warning: {text}")

    def error(self, text: str) -> None:
        """What went wrong."""
        self._line(f"error: {text}")

    @contextlib.contextmanager
    def track(self, what: str, total: int) -> Iterator[Callable[[int], None]]:
        """A progress bar on a terminal; with -v a plain line now and then where there is no terminal."""
        if self.level < NORMAL or (not self._terminal and self.level < VERBOSE):
            yield lambda done: None
        elif self._terminal:
            with self._bar(what, total) as advance:
                yield advance
        else:
            yield self._lines(what, total)

    @contextlib.contextmanager
    def _bar(self, what: str, total: int) -> Iterator[Callable[[int], None]]:
        from rich import progress
        from rich.console import Console as RichConsole

        columns = (
            progress.TextColumn("{task.description}"),
            progress.BarColumn(bar_width=None),
            progress.MofNCompleteColumn(),
            progress.TimeRemainingColumn(compact=True),
        )
        with progress.Progress(*columns, console=RichConsole(stderr=True), transient=True) as bar:
            task = bar.add_task(what, total=total)
            yield lambda done: bar.advance(task, done)

    def _lines(self, what: str, total: int) -> Callable[[int], None]:
        """A line every ten seconds: for logs. The time left follows from the last ten lines, as pieces differ."""
        told: deque[tuple[float, int]] = deque([(time.monotonic(), 0)], maxlen=10)
        done = 0

        def advance(count: int) -> None:
            nonlocal done
            done += count
            now, (then, before) = time.monotonic(), told[0]
            if now - told[-1][0] > 10:
                left = (total - done) * (now - then) / max(1, done - before)
                told.append((now, done))
                self._line(f"{what}: {done} of {total}" + (f", about {duration(left)} left" if done < total else ""))

        return advance

    def _line(self, text: str) -> None:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
