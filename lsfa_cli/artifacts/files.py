"""Files that appear whole or not at all, and the operating system's refusals in words."""

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from lsfa_cli.errors import ResourceError

_FULL = (errno.ENOSPC, errno.EDQUOT)
_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file in the folder of `path`, which takes its name when the block ends well.

    On any failure, an interrupt included, the old file or none is left, and nothing else. Raises ResourceError when
    the folder cannot be written or the disk is full.
    """
    with writing_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        os.close(handle)
    temporary = Path(name)
    try:
        with writing_errors(path):
            yield temporary
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _umask() -> int:
    """The process's umask, which mkstemp ignores: it makes private files."""
    current = os.umask(0)
    os.umask(current)
    return current


@contextlib.contextmanager
def writing_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals to write `path` into a ResourceError; HDF5 hides the number in its text."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL or "No space left" in str(error):
            raise _full(path) from error
        if error.errno in _REFUSED:
            raise ResourceError(
                f"cannot write {path}: {os.strerror(error.errno or 0)}",
                hint="Choose another folder with --work, or another --out.",
            ) from error
        raise
    except RuntimeError as error:
        # h5py raises this where HDF5 fails to flush a file
        if "No space left" in str(error):
            raise _full(path) from error
        raise


def _full(path: Path) -> ResourceError:
    return ResourceError(f"disk full while writing {path}", hint="Free some space or choose another folder.")
