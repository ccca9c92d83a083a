"""What a stage tells while it works. Stages print nothing themselves."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Protocol

Advance = Callable[[int], None]


class Progress(Protocol):
    """Somebody who listens to a stage."""

    def track(self, what: str, total: int) -> contextlib.AbstractContextManager[Advance]:
        """Announce `total` pieces of work; the callable that comes back is told how many more are done."""

    def say(self, text: str) -> None:
        """A remark for those who asked for detail."""

    def warn(self, text: str) -> None:
        """Something the user should know; it is kept in the run's record."""


def so_far(advance: Advance) -> Callable[[int, int], None]:
    """A listener for work that tells (done so far, total) instead of what is new."""
    last = 0

    def told(done: int, total: int) -> None:
        nonlocal last
        advance(done - last)
        last = done

    return told


class NoProgress:
    """Nobody listens: for libraries and tests. Warnings are kept in `warnings`."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    @contextlib.contextmanager
    def track(self, what: str, total: int) -> Iterator[Advance]:
        """Count nothing."""
        yield lambda done: None

    def say(self, text: str) -> None:
        """Say nothing."""

    def warn(self, text: str) -> None:
        """Keep the warning."""
        self.warnings.append(text)


class Quiet(NoProgress):
    """Passes remarks and warnings on, each warning once, and shows no progress of its own inside the listener's."""

    def __init__(self, listener: Progress) -> None:
        super().__init__()
        self._listener = listener

    def say(self, text: str) -> None:
        """Pass detail on."""
        self._listener.say(text)

    def warn(self, text: str) -> None:
        """Pass a warning on the first time it is given."""
        if text not in self.warnings:
            super().warn(text)
            self._listener.warn(text)
