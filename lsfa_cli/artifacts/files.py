"""Files that appear whole or not at all, and the operating system's refusals in words."""

import contextlib
import errno
import io
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

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


class PatientFile(io.RawIOBase):
    """A new file for HDF5 to write into, which keeps the first failure for later and goes on as if nothing happened.

    HDF5 cannot close a file that it failed to write: it crashes the process at the next opportunity. So after a
    failure (a full disk, Ctrl-C in the middle of a write) writes are dropped, and `check` raises what went wrong.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._file = path.open("w+b", buffering=0)
        self._error: BaseException | None = None

    def check(self) -> None:
        """Raise what went wrong so far."""
        if self._error is not None:
            raise self._error

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As every file."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """As every file."""
        return self._file.tell()

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer, with zeros where there is nothing (after a failure)."""
        view = memoryview(buffer).cast("B")
        count = self._file.readinto(view) or 0
        view[count:] = bytes(len(view) - count)
        return len(view)

    def write(self, data: Any) -> int:
        """Write all of the data, or remember why not."""
        view = memoryview(data).cast("B")
        self._attempt(lambda: self._write_all(view))
        return len(view)

    def _write_all(self, view: memoryview) -> None:
        done = 0
        while done < len(view):
            done += self._file.write(view[done:]) or 0

    def truncate(self, size: int | None = None) -> int:
        """Change the size, or remember why not."""
        self._attempt(lambda: self._file.truncate(size))
        return size or 0

    def flush(self) -> None:
        """Nothing is held back, so there is nothing to do."""

    @contextlib.contextmanager
    def syncing(self) -> Iterator[None]:
        """Let the disk take what was written while the block goes on, or remember why it does not."""
        thread = threading.Thread(target=self._attempt, args=(lambda: os.fsync(self._file.fileno()),))
        thread.start()
        try:
            yield
        finally:
            thread.join()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()

    def _attempt(self, work: Callable[[], object]) -> None:
        if self._error is None:
            try:
                work()
            except BaseException as error:
                self._error = error  # raised by `check`


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
    """Turn the operating system's refusals to write `path` into a ResourceError."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise _full(path) from error
        if error.errno in _REFUSED:
            raise ResourceError(
                f"cannot write {path}: {os.strerror(error.errno or 0)}",
                hint="Choose another folder with --work, or another --out.",
            ) from error
        raise


def _full(path: Path) -> ResourceError:
    return ResourceError(f"disk full while writing {path}", hint="Free some space or choose another folder.")
