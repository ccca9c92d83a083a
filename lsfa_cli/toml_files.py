"""TOML that users write, within limits and with errors that name the file."""

import sys
from pathlib import Path
from typing import Any

from lsfa_cli.errors import DataError
from lsfa_cli.regular_files import content_of

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_MAX_BYTES = 2**16
# A key of many dots in one line would take memory and time by the square of their number.
_MAX_LINE = 2000


def read_toml(path: Path, hint: str) -> dict[str, Any]:
    """What a TOML file holds. `DataError` with the hint when it cannot be read, or is no TOML."""
    try:
        text = content_of(path, _MAX_BYTES, hint=hint).decode()
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not valid TOML: {error}.", hint=hint) from error
    return parse_toml(text, str(path), hint)


def parse_toml(text: str, name: str, hint: str) -> dict[str, Any]:
    """What a TOML text holds. `DataError` with the name and the hint when it is none."""
    try:
        if max(map(len, text.splitlines()), default=0) > _MAX_LINE:
            raise ValueError(f"it has a line of more than {_MAX_LINE} characters")
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # no TOML, or a number of too many digits, or nested too deep
        raise DataError(f"{name} is not valid TOML: {error}.", hint=hint) from error
