"""What every refusal of raw data must be: exit code 3, a hint, three lines at most."""

from collections.abc import Callable
from pathlib import Path

import pytest

from lsfa_cli.errors import DataError


def failure(act: Callable[[], object], path: Path | None = None) -> DataError:
    """The error that `act` raises. path: the file that its message must name."""
    with pytest.raises(DataError) as caught:
        act()
    assert caught.value.exit_code == 3
    assert caught.value.hint
    assert len(str(caught.value).splitlines()) <= 3
    assert path is None or str(path) in caught.value.message
    return caught.value


def refusal(read: Callable[[Path], object], path: Path) -> str:
    """The text of the error that reading a file raises, which names the file."""
    return str(failure(lambda: read(path), path))
