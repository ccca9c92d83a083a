"""SHA-256 of files and of data sets; those of files are remembered, so that an unchanged file is read once."""

import contextlib
import hashlib
import json
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from pathlib import Path

from lsfa_cli.regular_files import length_of, unreadable
from lsfa_cli.samples import SampleRecord

_BLOCK = 2**20
# A change within the clock's resolution of the hashing leaves no trace in the file's times. FAT has 2 seconds.
_SETTLED_NS = 2 * 10**9
_BUSY_SECONDS = 10.0

_Row = tuple[str, ...]
_Stamp = tuple[int, int, int, int, int]


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal. `DataError` when it cannot be read."""
    digest = hashlib.sha256()
    length_of(path, limit=None)
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    except OSError as error:
        raise unreadable(path, error) from error
    return digest.hexdigest()


def dataset_digest(records: Iterable[SampleRecord], digest: Callable[[Path], str] = file_digest) -> str:
    """SHA-256 over the names, defects, splits, roles and contents of samples, in hexadecimal.

    Neither the order of the records nor the place of the files matters. With `DigestMemo.digest` as `digest` only
    files that changed are read. `DataError` when a file cannot be read.
    """
    rows = sorted(
        (record.name, record.defect, record.split, role, digest(path))
        for record in records
        for role, path in record.files.items()
    )
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


class DigestMemo:
    """Digests of files, kept in a small SQLite database beside the cache.

    An entry holds as long as the file's device, inode, size and times are the same. It is only made when the file was
    left alone for 2 seconds before it was hashed, since a later change could otherwise go unseen. May be used by
    threads and processes at the same time. A database that cannot be used only costs time: `warning` says why.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.warning: str | None = None
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._finalizer: weakref.finalize[..., DigestMemo] | None = None

    def digest(self, path: Path) -> str:
        """SHA-256 of a file's content, in hexadecimal. `DataError` when it cannot be read."""
        name, before = str(path.absolute()), _stamp(path)
        if before is None:
            return file_digest(path)
        row = self._execute("SELECT digest FROM digests WHERE path = ? AND stamp = ?", (name, repr(before)))
        if row is not None:
            return row[0]
        started = time.time_ns()
        digest = file_digest(path)
        if before == _stamp(path) and started - max(before[3:]) > _SETTLED_NS:
            self._execute("INSERT OR REPLACE INTO digests VALUES (?, ?, ?)", (name, repr(before), digest))
        return digest

    def close(self) -> None:
        """Close the database; the next use opens it again."""
        with self._lock:
            self._disconnect()

    def _execute(self, statement: str, values: _Row) -> _Row | None:
        """The first row of a statement's result; None also when the database cannot be used."""
        with self._lock:
            if self.warning is not None:
                return None
            try:
                return self._run_or_start_anew(statement, values)
            except (sqlite3.Error, OSError) as error:
                self._disconnect()
                self.warning = f"digests of files are not remembered in {self.file} ({error}); this only costs time"
                return None

    def _run_or_start_anew(self, statement: str, values: _Row) -> _Row | None:
        """Run a statement; on a damaged database, delete it first, for all it holds can be made again."""
        try:
            return self._run(statement, values)
        except sqlite3.OperationalError:  # locked, no permission, disk full: not damaged
            raise
        except sqlite3.DatabaseError:
            self._disconnect()
            self.file.unlink()
            return self._run(statement, values)

    def _run(self, statement: str, values: _Row) -> _Row | None:
        if self._connection is None:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            # Shared by threads under the lock. Every statement is its own transaction.
            self._connection = sqlite3.connect(
                self.file, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            # Closes it when the memo goes, for whoever did not call close().
            self._finalizer = weakref.finalize(self, self._connection.close)
            self._connection.execute("PRAGMA synchronous = OFF")
            self._connection.execute(
                "CREATE TABLE IF NOT EXISTS digests (path TEXT PRIMARY KEY, stamp TEXT NOT NULL, digest TEXT NOT NULL)"
            )
        row: _Row | None = self._connection.execute(statement, values).fetchone()
        return row

    def _disconnect(self) -> None:
        if self._finalizer is not None:
            with contextlib.suppress(sqlite3.Error):  # closing what cannot be used anyway
                self._finalizer()
        self._connection = self._finalizer = None


def _stamp(path: Path) -> _Stamp | None:
    """Device, inode, size, and times of modification and status change in nanoseconds; None without a file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
