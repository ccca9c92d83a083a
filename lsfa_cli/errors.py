"""Every error a user can meet, with the exit code of its kind.

A message says what is wrong, in which file, and what to do next, in one to three lines.
Only these classes are turned into messages; any other exception is a bug and is reported as one.
"""

import difflib
from collections.abc import Iterable
from typing import Any


class LsfaError(Exception):
    """A failure whose message is meant for the user. `hint` says what to do next."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}\n{self.hint}"

    def __reduce__(self) -> tuple[Any, ...]:
        """So that a worker process can send it, whatever the class asks of its constructor."""
        return _received, (type(self), self.message, self.hint)


def _received(kind: type[LsfaError], message: str, hint: str | None) -> LsfaError:
    error = kind.__new__(kind)
    LsfaError.__init__(error, message, hint=hint)
    return error


class MissingDependencyError(LsfaError):
    """A package or system library that the requested work needs is not installed."""


class PartialFailureError(LsfaError):
    """Some categories failed; the others were finished."""


class UsageError(LsfaError):
    """The command, an option or a setting is wrong."""

    exit_code = 2


class UnknownNameError(UsageError):
    """A name that is in no table: says which names exist and which one is nearest.

    `kind` is what the name should have been ("backbone", "setting", ...), `known` the names that exist.
    `most`: how many of them are listed; None lists all.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str], *, most: int | None = None) -> None:
        names = sorted(known)
        nearest = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        question = f" Did you mean '{nearest[0]}'?" if nearest else ""
        shown = ", ".join(names[:most])
        if most is not None and len(names) > most:
            shown += f" and {len(names) - most} more"
        super().__init__(f"unknown {kind} '{name}'.{question}", hint=f"Known: {shown or 'none'}.")


class DataError(LsfaError):
    """Raw data is missing, unreadable, or cannot be used."""

    exit_code = 3


class WeightsError(DataError):
    """Weights of a backbone are missing, of another model, or refused."""


class UndefinedMetricError(DataError):
    """A figure does not exist for this data: no good samples, or no defect to find."""


class ArtifactError(LsfaError):
    """An artifact is missing, damaged, of another schema or of a newer version."""

    exit_code = 4


class StaleArtifactError(ArtifactError):
    """Artifacts that do not belong together: one was made from another version of its input."""

    exit_code = 5


class ResourceError(LsfaError):
    """Out of memory, out of disk, or the output cannot be written."""

    exit_code = 6
