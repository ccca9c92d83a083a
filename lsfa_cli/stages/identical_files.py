"""Which files of a data set have the same content, found with as little reading as possible."""

import hashlib
import stat
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from lsfa_cli.errors import DataError
from lsfa_cli.preprocessing.digests import file_digest

Key = TypeVar("Key", bound=Hashable)

_PIECES, _PIECE = 8, 2048


def identical_files(paths: Iterable[Path]) -> Mapping[Path, str]:
    """Path -> SHA-256, of the files whose content some other of `paths` has too.

    Files of a size of their own, or that differ in a few pieces, are not read further. Files that cannot be read, and
    what is no regular file, are left out: whoever reads the samples reports them. A file given twice is one file.
    """
    same_size = _groups(sorted(set(paths)), _size).values()
    same_pieces = [group for paths in same_size for group in _groups(paths, _pieces).values()]
    same = [_groups(paths, _digest) for paths in same_pieces]
    return {path: digest for groups in same for digest, group in groups.items() for path in group}


def _groups(paths: Sequence[Path], key: Callable[[Path], Key | None]) -> dict[Key, list[Path]]:
    """The files by a key that equal files share; those alone with theirs, or without one, are left out."""
    found: dict[Key, list[Path]] = defaultdict(list)
    for path in paths:
        value = key(path)
        if value is not None:
            found[value].append(path)
    return {value: group for value, group in found.items() if len(group) > 1}


def _size(path: Path) -> int | None:
    try:
        status = path.stat()
    except OSError:
        return None
    # An empty file equals every other one, and is reported as damaged.
    return status.st_size if stat.S_ISREG(status.st_mode) and status.st_size else None


def _pieces(path: Path) -> bytes | None:
    """A digest of the size and of pieces spread over the file, ends included."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            last = max(0, path.stat().st_size - _PIECE)
            for number in range(_PIECES):
                file.seek(last * number // (_PIECES - 1))
                digest.update(file.read(_PIECE))
    except OSError:
        return None
    return digest.digest()


def _digest(path: Path) -> str | None:
    try:
        return file_digest(path)
    except DataError:
        return None
