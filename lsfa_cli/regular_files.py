"""Files that are read whole: looked at before they are opened, with errors that name them."""

import stat
from pathlib import Path

from lsfa_cli.errors import DataError

MAX_BYTES = 2**30
"""Larger files are not read: a file is held in memory as a whole, beside what is made of it."""
COPY_AGAIN = "Copy or unpack this file again."


def length_of(path: Path, limit: int | None = MAX_BYTES, *, hint: str = COPY_AGAIN) -> int:
    """A file's length in bytes. `DataError` when it is not there, is no regular file or is longer than `limit`."""
    try:
        status = path.stat()
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist.", hint=hint) from error
    except OSError as error:
        raise unreadable(path, error) from error
    if stat.S_ISDIR(status.st_mode):
        raise folder_instead(path)
    if not stat.S_ISREG(status.st_mode):  # a pipe would wait for ever, a device never end
        raise DataError(f"{path} is a pipe or a device, expected a file.", hint=hint)
    if limit is not None and status.st_size > limit:
        raise DataError(
            f"{path} has {status.st_size} bytes, at most {limit} are read.", hint=f"Is it this file? {hint}"
        )
    return status.st_size


def content_of(path: Path, limit: int = MAX_BYTES, *, hint: str = COPY_AGAIN) -> bytes:
    """A file's bytes. `DataError` as `length_of`, and when it cannot be read."""
    length_of(path, limit, hint=hint)
    try:
        return path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error


def folder_instead(path: Path) -> DataError:
    """The error for a folder whose name is that of a file."""
    return DataError(f"{path} is a folder, expected a file.", hint="Put the file itself in its place.")


def unreadable(path: Path, error: OSError) -> DataError:
    """The error for a file or folder that the system does not let us read."""
    return DataError(f"{path} cannot be read: {error.strerror}.", hint="Check its permissions.")
