"""Write and read artifacts: atomic, repeatable, strict.

Writing goes to a temporary file in the target's folder, which takes the target's name only when it is whole.
The same data sets and attributes, written in the same order, give the same bytes.
"""

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import ArrayLike, NDArray

from lsfa_cli import __version__
from lsfa_cli.artifacts.files import PatientFile, replacing
from lsfa_cli.artifacts.schema import ROOT_ATTRIBUTES, SCHEMAS, DataSet, Schema
from lsfa_cli.errors import ArtifactError

_TEXT = h5py.string_dtype("utf-8")
_HASH_BLOCK_BYTES = 8 * 1024 * 1024
_CHUNK_VALUES = 256 * 1024  # of a growing data set
_DEFLATE: Mapping[str, Any] = {"compression": "gzip", "compression_opts": 1, "shuffle": True}


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spare space: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


class ArtifactWriter:
    """One artifact being written. Use `create`, which makes it appear whole or not at all."""

    def __init__(self, file: h5py.File, schema: Schema, check: Callable[[], None]) -> None:
        self._file = file
        self._schema = schema
        self.check = check
        """Raises what went wrong while writing, such as a full disk; for long writing by rows."""

    def attribute(self, name: str, value: str | int) -> None:
        """Set an attribute of the root that the schema names."""
        if name not in self._schema.attributes:
            raise ValueError(f"schema {self._schema.name} has no attribute {name!r}")
        self._file.attrs[name] = value

    def write(self, path: str, values: ArrayLike, *, compress: bool = False) -> None:
        """Write a whole data set in the type that the schema gives it."""
        row = self._row(path)
        if row.kind == "text":
            self._file.create_dataset(path, data=np.asarray(values, dtype=object), dtype=_TEXT)
        else:
            array = np.asarray(values, dtype=row.kind)
            self._file.create_dataset(path, data=array, **_compression(array.shape, compress))
        self.check()

    def reserve(self, path: str, shape: tuple[int, ...], *, compress: bool = False) -> h5py.Dataset:
        """Make a data set of known shape that the caller fills by rows: `reserve(...)[i] = row`."""
        return self._file.create_dataset(path, shape=shape, dtype=self._row(path).kind, **_compression(shape, compress))

    def growing(self, path: str, width: int | None = None, *, compress: bool = False) -> "GrowingRows":
        """Make a data set of rows of `width` values, or of single values, whose number is not known yet."""
        rest = () if width is None else (width,)
        rows = max(1, _CHUNK_VALUES // max(1, width or 1))
        return GrowingRows(
            self._file.create_dataset(
                path,
                shape=(0, *rest),
                maxshape=(None, *rest),
                chunks=(rows, *rest),
                dtype=self._row(path).kind,
                **(_DEFLATE if compress else {}),
            )
        )

    def _row(self, path: str) -> DataSet:
        row = self._schema.find(path)
        if row is None:
            raise ValueError(f"schema {self._schema.name} has no data set {path!r}")
        return row


class GrowingRows:
    """A data set that grows along its first axis."""

    def __init__(self, dataset: h5py.Dataset) -> None:
        self._dataset = dataset

    def append(self, rows: NDArray[Any]) -> None:
        """Add rows at the end."""
        start = self._dataset.shape[0]
        self._dataset.resize(start + len(rows), axis=0)
        self._dataset[start:] = rows


def _compression(shape: tuple[int, ...], compress: bool) -> dict[str, Any]:
    """Masks, maps and pictures: one sample a chunk, deflate at its fastest; other data lies contiguous."""
    if not compress or 0 in shape or len(shape) < 2:
        return {}
    return {"chunks": (1, *shape[1:]), **_DEFLATE}


@contextlib.contextmanager
def create(
    path: Path, schema_name: str, *, settings: Mapping[str, Any], inputs: Mapping[str, str]
) -> Iterator[ArtifactWriter]:
    """Write the artifact `path`. On any failure, an interrupt included, the old file or none is left, and nothing else.

    settings: everything that can change the content. inputs: role -> content hash of what it is made from.
    Raises ResourceError when the folder cannot be written or the disk is full.
    """
    schema = SCHEMAS[schema_name]
    with (
        replacing(path) as temporary,
        PatientFile(temporary) as disk,
        h5py.File(disk, "w") as file,
    ):
        file.attrs["schema"] = schema.name
        file.attrs["schema_version"] = schema.version
        file.attrs["lsfa_version"] = __version__
        file.attrs["settings"] = canonical_json(settings)
        file.attrs["inputs"] = canonical_json(inputs)
        yield ArtifactWriter(file, schema, disk.check)
        file.flush()
        disk.check()
        _check(data_sets(file), schema, path)
        with disk.syncing():
            digest = content_hash(file)
        file.attrs["content_hash"] = digest
        file.flush()
        disk.check()


def content_hash(file: h5py.File) -> str:
    """SHA-256 over the root's attributes and over name, shape, type and bytes of all data sets, in sorted order."""
    digest = hashlib.sha256()
    with ThreadPoolExecutor(1, thread_name_prefix="hash") as pool:  # digests a piece while the next one is read
        digested: Future[None] | None = None
        for piece in _content(file):
            if digested is not None:
                digested.result()
            digested = pool.submit(digest.update, piece)
    return digest.hexdigest()


def _content(file: h5py.File) -> Iterator[bytes | memoryview]:
    """What is hashed, in pieces that are never large."""
    attributes = {name: _plain(value) for name, value in file.attrs.items() if name != "content_hash"}
    yield canonical_json(attributes).encode()
    for path, dataset in sorted(data_sets(file).items()):
        text = h5py.check_string_dtype(dataset.dtype) is not None
        kind = "text" if text else dataset.dtype.str
        yield canonical_json([path, list(dataset.shape), kind]).encode()
        if text:
            yield canonical_json([value.decode() for value in dataset[()]]).encode()
            continue
        for block in _blocks(dataset):
            yield np.ascontiguousarray(block).data


def _blocks(dataset: h5py.Dataset) -> Iterator[NDArray[Any]]:
    """The data set in slices along its first axis, so that no large one is held whole."""
    if dataset.size == 0:
        return
    if dataset.ndim == 0:
        yield np.asarray(dataset[()])
        return
    rows = max(1, _HASH_BLOCK_BYTES // max(1, dataset.nbytes // dataset.shape[0]))
    for start in range(0, dataset.shape[0], rows):
        yield dataset[start : start + rows]


def data_sets(file: h5py.File) -> dict[str, h5py.Dataset]:
    """All data sets of a file by their paths."""
    found: dict[str, h5py.Dataset] = {}

    def visit(name: str, thing: object) -> None:
        if isinstance(thing, h5py.Dataset):
            found[name] = thing

    file.visititems(visit)
    return found


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


class Artifact:
    """An artifact open for reading. Its header is checked; data sets are read when asked for, by slices if wished."""

    def __init__(
        self,
        path: Path,
        file: h5py.File,
        schema: Schema,
        attributes: Mapping[str, Any],
        datasets: Mapping[str, h5py.Dataset],
    ) -> None:
        """attributes, datasets: of the file, by their names and paths; to look one up in it takes longer than a row."""
        self.path = path
        self.schema = schema
        self.attributes = attributes
        self._file = file
        self._datasets = datasets

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that could change the content, as recorded."""
        return dict(json.loads(self.attributes["settings"]))

    @property
    def inputs(self) -> dict[str, str]:
        """Role -> content hash of what the artifact was made from."""
        return dict(json.loads(self.attributes["inputs"]))

    @property
    def content_hash(self) -> str:
        """The recorded hash of the content."""
        return str(self.attributes["content_hash"])

    def __contains__(self, path: str) -> bool:
        return path in self._datasets or path in self._file

    def offsets(self, group: str, samples: int, columns: Sequence[str]) -> NDArray[np.int64]:
        """(samples + 1,), where the rows of each sample begin in the data sets `columns` of a group.

        Raises ArtifactError when they do not fit.
        """
        found: NDArray[np.int64] = self.read(f"{group}/offsets")
        rows = {len(self.dataset(f"{group}/{name}")) for name in columns}
        if len(found) != samples + 1 or found[0] != 0 or rows != {int(found[-1])} or (np.diff(found) < 0).any():
            raise ArtifactError(f"{self.path}: '{group}/offsets' does not fit the points")
        return found

    def names(self, group: str) -> list[str]:
        """The names inside a group, sorted; none when the group is absent."""
        return sorted(self._file[group]) if group in self._file else []

    def dataset(self, path: str) -> h5py.Dataset:
        """The data set itself, for reading slices."""
        if path not in self._datasets:
            raise ArtifactError(f"{self.path} has no data set '{path}'")
        return self._datasets[path]

    def read(self, path: str) -> NDArray[Any]:
        """A whole data set as an array."""
        return self.rows(path, slice(None))

    def rows(self, path: str, where: int | slice) -> NDArray[Any]:
        """Some rows of a data set. Raises ArtifactError where the file is damaged there."""
        dataset = self.dataset(path)
        try:
            return np.asarray(dataset[where])
        except (OSError, RuntimeError) as error:
            raise damaged(self.path, str(error)) from error

    def text(self, path: str) -> list[str]:
        """A data set of text as strings."""
        return [value.decode() for value in self.read(path)]

    def paths(self) -> list[str]:
        """The paths of all data sets, sorted."""
        return sorted(self._datasets)


@contextlib.contextmanager
def open_artifact(path: Path, schema_name: str | None = None) -> Iterator[Artifact]:
    """Open an artifact for reading, of the schema that is expected (None: of any).

    Raises ArtifactError when the file is missing, no artifact, damaged, of another schema or of a newer version.
    """
    if not path.is_file():
        what = f"no {schema_name} artifact" if schema_name else "no artifact"
        raise ArtifactError(f"{what} at {path}", hint=_how_to_make(schema_name))
    try:
        # Without HDF5's own cache of chunks: rows are read once, and would be copied twice.
        file = h5py.File(path, "r", rdcc_nbytes=0)
    except OSError as error:
        raise damaged(path, str(error)) from error
    with file:
        attributes = {name: _plain(value) for name, value in file.attrs.items()}
        schema = _schema_of(attributes, path, schema_name)
        datasets = data_sets(file)
        _check(datasets, schema, path)
        yield Artifact(path, file, schema, attributes, datasets)


def _schema_of(attributes: Mapping[str, Any], path: Path, expected: str | None) -> Schema:
    missing = [name for name in ROOT_ATTRIBUTES if name not in attributes]
    if missing:
        raise ArtifactError(f"{path} is no artifact of lsfa: it lacks the attribute '{missing[0]}'")
    name, version = str(attributes["schema"]), int(attributes["schema_version"])
    if name not in SCHEMAS:
        raise ArtifactError(f"{path} has the unknown schema '{name}'", hint=f"Known: {', '.join(sorted(SCHEMAS))}.")
    if expected is not None and name != expected:
        raise ArtifactError(f"{path} holds {name}, but {expected} was expected", hint="Is it the right file?")
    if version > SCHEMAS[name].version:
        raise ArtifactError(
            f"{path} has {name} version {version}; this lsfa reads up to {SCHEMAS[name].version}",
            hint=f"It was written by lsfa {attributes['lsfa_version']}. Update lsfa to read it.",
        )
    return SCHEMAS[name]


def _check(present: Mapping[str, h5py.Dataset], schema: Schema, path: Path) -> None:
    """Every data set is one the schema knows, with its type and number of axes; none that it requires is missing."""
    rows = {name: schema.find(name) for name in present}
    found = set(rows.values())
    for row in schema.data_sets:
        if row.required and row not in found:
            raise ArtifactError(f"{path} lacks the data set '{row.path}' of schema {schema.name}")
    for name, dataset in present.items():
        known = rows[name]
        if known is None:
            raise ArtifactError(f"{path} has the data set '{name}', which schema {schema.name} does not know")
        _check_data_set(dataset, name, known, path)


def _check_data_set(dataset: h5py.Dataset, name: str, row: DataSet, path: Path) -> None:
    kind = "text" if h5py.check_string_dtype(dataset.dtype) is not None else dataset.dtype.name
    if kind != row.kind:
        raise ArtifactError(f"{path}: '{name}' is {kind}, expected {row.kind}")
    if row.shape != ("any",) and dataset.ndim != len(row.shape):
        expected = ", ".join(row.shape)
        raise ArtifactError(f"{path}: '{name}' has shape {dataset.shape}, expected ({expected})")


def damaged(path: Path, reason: str) -> ArtifactError:
    """The error for a file that HDF5 cannot read."""
    return ArtifactError(
        f"{path} cannot be read: truncated, damaged or no HDF5 file ({reason.splitlines()[0][:120]})",
        hint="Delete it and run its stage again.",
    )


def verify(path: Path) -> bool:
    """Whether the content still has the hash that was recorded."""
    with open_artifact(path) as artifact:
        try:
            return content_hash(artifact._file) == artifact.content_hash
        except (OSError, RuntimeError) as error:
            raise damaged(path, str(error)) from error


_STAGE_OF = {"finetuned": "finetune", "features": "extract", "adaptor": "adapt", "bank": "bank", "scores": "score"}


def _how_to_make(schema_name: str | None) -> str | None:
    return f"Make it with: lsfa {_STAGE_OF[schema_name]}" if schema_name in _STAGE_OF else None
