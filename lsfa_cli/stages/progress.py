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
