"""Prepared samples on disk, so that a second `extract` neither reads nor preprocesses raw files.

An entry's name is a hash of everything its content depends on, so entries are never out of date; deleting the folder
at any moment only costs time, and so does a folder that cannot be written.
"""

import dataclasses
import hashlib
import json
import os
import secrets
import zipfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from numpy.typing import NDArray

from lsfa_cli.preprocessing import PREPROCESSING_VERSION, PreprocessOptions, to_float
from lsfa_cli.preprocessing.digests import DigestMemo, file_digest
from lsfa_cli.samples import BoolArray, PreparedSample, SampleRecord


class SampleCache:
    """Prepared samples in a folder, one file each. May be used by threads and processes at the same time.

    `warnings` holds at most one line on entries and one on remembered digests, when the folder could not be used.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.digests = DigestMemo(folder / "digests.sqlite3")
        self._warning: str | None = None

    @property
    def warnings(self) -> list[str]:
        """What kept the cache from saving time, in whole sentences; empty when nothing did."""
        return [warning for warning in (self._warning, self.digests.warning) if warning is not None]

    def key(self, record: SampleRecord, options: PreprocessOptions, reader: str) -> str:
        """The entry's name: a hash of the raw files' content, the data set that reads them, and the options."""
        content = {
            "version": PREPROCESSING_VERSION,
            # Their rounding is part of the result.
            "libraries": {"numpy": np.__version__, "pillow": PIL.__version__},
            "reader": reader,
            "options": dataclasses.asdict(options),
            "files": {role: self.digests.digest(path) for role, path in record.files.items()},
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def fetch(self, key: str, record: SampleRecord, make: Callable[[], PreparedSample]) -> PreparedSample:
        """The entry called `key`, with `record`; where there is none or a damaged one, `make()`, which is then kept."""
        file = self.folder / key[:2] / f"{key}.npz"
        sample = _load(file, record)
        if sample is None:
            sample = make()
            self._save(file, sample)
        return sample

    def _save(self, file: Path, sample: PreparedSample) -> None:
        """Write an entry beside its place and move it there, so that no one ever sees half of it."""
        if self._warning is not None:
            return
        arrays = _pack(sample)
        temporary = file.with_name(f".{file.stem}.{secrets.token_hex(8)}.tmp")
        try:
            try:
                file.parent.mkdir(parents=True, exist_ok=True)
                with temporary.open("xb") as stream:
                    np.savez(stream, **arrays)
                os.replace(temporary, file)  # noqa: PTH105 - patched by name in tests
            finally:
                temporary.unlink(missing_ok=True)
        except OSError as error:
            self._warning = f"prepared samples are not kept in {self.folder} ({error}); this only costs time"


def dataset_digest(records: Iterable[SampleRecord], digest: Callable[[Path], str] = file_digest) -> str:
    """SHA-256 over the names, defects, splits, roles and contents of samples, in hexadecimal.

    Neither the order of the records nor the place of the files matters. `SampleCache.digests.digest` as `digest`
    reads only files that changed.
    """
    rows = sorted(
        (record.name, record.defect, record.split, role, digest(path))
        for record in records
        for role, path in record.files.items()
    )
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def _pack(sample: PreparedSample) -> dict[str, Any]:
    """A prepared sample as small arrays, from which `_unpack` makes the same bits."""
    rgb = np.rint(sample.rgb * 255).astype(np.uint8)
    if not np.array_equal(to_float(rgb), sample.rgb):
        raise ValueError(f"the prepared image of {sample.record.name} is no 8-bit image divided by 255")
    return {
        "size": np.array(sample.valid.shape[0]),
        "rgb": rgb,
        "points": sample.xyz[:, sample.valid],
        "valid": np.packbits(sample.valid),
        "mask": np.packbits(sample.mask),
        "notes": np.frombuffer(json.dumps(sample.notes).encode(), dtype=np.uint8),
    }


def _unpack(arrays: dict[str, NDArray[Any]], record: SampleRecord) -> PreparedSample:
    size = int(arrays["size"])
    valid, mask = _unpack_bits(arrays["valid"], size), _unpack_bits(arrays["mask"], size)
    if arrays["rgb"].shape != (3, size, size) or arrays["rgb"].dtype != np.uint8:
        raise ValueError("misshapen image")
    xyz = np.zeros((3, size, size), dtype=np.float32)
    xyz[:, valid] = arrays["points"]
    notes = tuple(json.loads(arrays["notes"].tobytes()))
    return PreparedSample(record, to_float(arrays["rgb"]), xyz, valid, mask, notes)


def _unpack_bits(bits: NDArray[np.uint8], size: int) -> BoolArray:
    return np.unpackbits(bits, count=size * size).astype(bool).reshape(size, size)


def _load(file: Path, record: SampleRecord) -> PreparedSample | None:
    """An entry, or None when there is none that can be read: it will be made again."""
    try:
        with np.load(file, allow_pickle=False) as entry:
            return _unpack(dict(entry), record)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
