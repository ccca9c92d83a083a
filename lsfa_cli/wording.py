"""Counts, lists, sizes and lengths as messages have them."""

from collections.abc import Sequence

NAMED = 5
"""Names that one message lists."""


def few(names: Sequence[str], most: int = NAMED) -> str:
    """The first names, and how many more there are."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


def counted(count: int, thing: str) -> str:
    """ "1 sample", "3 samples"."""
    return f"{count} {thing}{'' if count == 1 else 's'}"


def size_of(shape: Sequence[int]) -> str:
    """ "4 x 5 x 3", of an array."""
    return " x ".join(str(length) for length in shape)


def length(metres: float) -> str:
    """A length in the unit in which it has a number that people read easily."""
    if abs(metres) >= 1000:
        return f"{metres:,.0f} m"
    for unit, factor, least in (("m", 1.0, 1.0), ("mm", 1e3, 1e-4)):
        if abs(metres) >= least:
            return f"{metres * factor:.3g} {unit}"
    return f"{metres * 1e6:.3g} um"


def first_line(error: Exception) -> str:
    """What an error of another library says, in one line."""
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__


def duration(seconds: float) -> str:
    """A time as long as people say it: "20 s", "5 min", "2.5 h"."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def bytes_text(count: float) -> str:
    """A number of bytes as people read it."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
