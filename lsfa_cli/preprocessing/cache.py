"""Prepared samples on disk, so that a second `extract` neither reads nor preprocesses raw files.

An entry's name is a hash of everything its content depends on, so entries are never out of date; deleting the folder
at any moment only costs time, and so does a folder that cannot be written.
"""

import contextlib
import dataclasses
import functools
import hashlib
import io
import json
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from numpy.typing import NDArray

from lsfa_cli.preprocessing import PREPROCESSING_VERSION, PreprocessOptions, to_float
from lsfa_cli.preprocessing.digests import DigestMemo, dataset_digest
from lsfa_cli.samples import BoolArray, PreparedSample, SampleRecord

__all__ = ["SampleCache", "dataset_digest"]


class SampleCache:
    """Prepared samples in a folder, one file each. May be used by threads and processes at the same time.

    `digests` remembers the digests of raw files in the same folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.digests = DigestMemo(folder / "digests.sqlite3")
        self._warning: str | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """A worker process has one of its own for all that it does, which tells nobody its warnings."""
        return _cache_in, (self.folder,)

    @property
    def warnings(self) -> list[str]:
        """Why the folder cannot be used, at most one line for samples and one for digests; empty when it can."""
        return [warning for warning in (self._warning, self.digests.warning) if warning is not None]

    def key(self, record: SampleRecord, options: PreprocessOptions, reader: str) -> str:
        """The entry's name: a hash of the raw files' content, what else reading them depends on, and the options."""
        content = {
            "version": PREPROCESSING_VERSION,
            # Their rounding is part of the result.
            "libraries": {"numpy": np.__version__, "pillow": PIL.__version__},
            "reader": reader,
            "label": record.label,
            "options": dataclasses.asdict(options),
            "files": {role: self.digests.digest(path) for role, path in record.files.items()},
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def holds(self, key: str) -> bool:
        """Whether there is an entry called `key`; it may still prove damaged."""
        return self._file(key).is_file()

    def fetch(self, key: str, record: SampleRecord, make: Callable[[], PreparedSample]) -> PreparedSample:
        """The entry called `key`, as `record`; where there is none or a damaged one, `make()`, which is then kept."""
        file = self._file(key)
        sample = _load(file, record)
        if sample is None:
            sample = make()
            self._save(file, _pack(sample))
        return sample

    def fetch_numbers(self, key: str, count: int, make: Callable[[], NDArray[np.float64]]) -> NDArray[np.float64]:
        """The `count` numbers called `key`; where there are none or damaged ones, `make()`, which are then kept."""
        file = self._file(key)
        try:
            with file.open("rb") as stream, np.load(stream, allow_pickle=False) as entry:
                return _checked(entry["numbers"], np.float64, (count,))
        except Exception:  # the archive has checksums, and a damaged one raises anything
            numbers = make()
        self._save(file, {"numbers": numbers})
        return numbers

    def try_folder(self) -> None:
        """Find out whether samples can be kept; `warnings` says so if they cannot."""
        probe = self.folder / f"probe-{secrets.token_hex(8)}"
        self._save(probe, {})
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)

    def _file(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.npz"

    def _save(self, file: Path, arrays: Mapping[str, Any]) -> None:
        """Write an entry beside its place and move it there, so that no one ever sees half of it."""
        if self._warning is not None:
            return
        content = io.BytesIO()
        np.savez(content, **arrays)
        temporary = file.with_name(f".{file.stem}.{secrets.token_hex(8)}.tmp")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            try:
                with temporary.open("xb") as stream:
                    stream.write(content.getbuffer())
                temporary.replace(file)
            finally:
                temporary.unlink(missing_ok=True)
        except OSError as error:
            self._warning = f"prepared samples are not kept in {self.folder} ({error}); this only costs time"


@functools.lru_cache
def _cache_in(folder: Path) -> SampleCache:
    return SampleCache(folder)


def _pack(sample: PreparedSample) -> dict[str, Any]:
    """A prepared sample as small arrays, from which `_unpack` makes the same bits. What it lacks has no entry."""
    arrays: dict[str, Any] = {"notes": np.frombuffer(json.dumps(sample.notes).encode(), dtype=np.uint8)}
    rasters = (sample.rgb, sample.valid, sample.mask)
    size = max(0 if raster is None else raster.shape[-1] for raster in rasters)
    # Which there are is written down: an entry that lost one to damage must not pass for a sample without it.
    fine_size = 0 if sample.rgb_fine is None else sample.rgb_fine.shape[-1]
    arrays["layout"] = np.array([size, *(raster is not None for raster in rasters), fine_size], dtype=np.int64)
    for name, image in (("rgb", sample.rgb), ("rgb_fine", sample.rgb_fine)):
        if image is not None:
            arrays[name] = np.rint(image * 255).astype(np.uint8)
            if not np.array_equal(to_float(arrays[name]), image):
                raise ValueError(f"the prepared image of {sample.record.name} is no 8-bit image divided by 255")
    if sample.xyz is not None and sample.valid is not None:
        arrays["points"] = sample.xyz[:, sample.valid]
        arrays["valid"] = np.packbits(sample.valid)
    if sample.mask is not None:
        arrays["mask"] = np.packbits(sample.mask)
    return arrays


def _unpack(arrays: Mapping[str, NDArray[Any]], record: SampleRecord) -> PreparedSample:
    """The sample that `_pack` was given; ValueError when the arrays do not fit each other."""
    size, has_rgb, has_xyz, has_mask, fine = (int(value) for value in _checked(arrays["layout"], np.int64, (5,)))
    rgb = xyz = valid = mask = rgb_fine = None
    if has_rgb:
        rgb = to_float(_checked(arrays["rgb"], np.uint8, (3, size, size)))
    if fine:
        rgb_fine = to_float(_checked(arrays["rgb_fine"], np.uint8, (3, fine, fine)))
    if has_xyz:
        valid = _unpack_mask(arrays["valid"], size)
        xyz = np.zeros((3, size, size), dtype=np.float32)
        xyz[:, valid] = _checked(arrays["points"], np.float32, (3, int(valid.sum())))
    if has_mask:
        mask = _unpack_mask(arrays["mask"], size)
    return PreparedSample(record, rgb, xyz, valid, mask, tuple(json.loads(arrays["notes"].tobytes())), rgb_fine)


def _unpack_mask(bits: NDArray[Any], size: int) -> BoolArray:
    packed = _checked(bits, np.uint8, (-(-size * size // 8),))
    return np.unpackbits(packed, count=size * size).astype(bool).reshape(size, size)


def _checked(array: NDArray[Any], kind: type[np.generic], shape: tuple[int, ...]) -> NDArray[Any]:
    if array.dtype != kind or array.shape != shape:
        raise ValueError(f"expected {shape} {kind.__name__}, found {array.shape} {array.dtype}")
    return array


def _load(file: Path, record: SampleRecord) -> PreparedSample | None:
    """An entry, or None when there is none that can be read: it will be made again."""
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as entry:
            return _unpack(entry, record)
    except Exception:  # the archive has checksums, and a damaged one raises anything
        return None
