"""Point clouds of the Point Cloud Library (.pcd), read by pypcd4: ascii, binary and binary_compressed."""

import io
import re
import struct
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from lsfa_cli.datasets.point_files import (
    HEADER_BYTES,
    MAX_FILE_BYTES,
    Grid,
    GriddedPoints,
    damaged,
    require_points,
)
from lsfa_cli.errors import DataError
from lsfa_cli.regular_files import content_of
from lsfa_cli.wording import first_line

if TYPE_CHECKING:
    from pypcd4.pypcd4 import MetaData

AXES = ("x", "y", "z")
_ENTRIES = 10  # of a header
_UNTIDY = re.compile(rb"[ \t]{2,}|\t|[ \t]+\r?\n")


def read_pcd(path: Path) -> GriddedPoints:
    """The coordinates of a .pcd file, and its grid where HEIGHT is above 1.

    Other fields are left out, also padding fields `_` of any count.
    """
    # Imported here: `datasets` is imported by every command, and reading .pcd files is rare.
    from pypcd4.pypcd4 import PointCloud

    content = content_of(path, MAX_FILE_BYTES)
    header, start = _header(path, content)
    _check(path, header, content, start)
    try:
        if header.data.value == "ascii":
            content = content[:start] + _tidy(content[start:])
        with np.errstate(over="ignore", invalid="ignore"):
            data = np.atleast_1d(PointCloud.from_fileobj(cast(io.BufferedReader, io.BytesIO(content))).pc_data)
            points = np.stack([data[axis].astype(np.float32) for axis in AXES], axis=1)
    except MemoryError:
        raise
    except Exception as error:  # pypcd4, numpy and LZF raise anything on damaged bytes
        raise damaged(path, first_line(error)) from error
    if len(points) != header.points:
        raise damaged(path, f"{len(points)} of {header.points} points are there")
    return GriddedPoints(points, Grid(header.height, header.width) if header.height > 1 else None)


def _header(path: Path, content: bytes) -> tuple["MetaData", int]:
    """pypcd4's `MetaData`, and where the points begin; found as pypcd4 does, but within a limit."""
    from pypcd4.pypcd4 import MetaData

    stream = io.BytesIO(content[:HEADER_BYTES])
    lines: list[str] = []
    try:
        for raw in stream:
            line = raw.decode().strip()
            if line and not line.startswith("#"):
                lines.append(line)
            if line.startswith("DATA"):
                return MetaData.parse_header(lines), stream.tell()
            if len(lines) >= _ENTRIES:
                break
    except Exception as error:  # not text, or pydantic's refusal
        raise damaged(path, "its header cannot be read") from error
    raise damaged(path, "it has no line DATA in its header")


def _check(path: Path, header: "MetaData", content: bytes, start: int) -> None:
    """Refuse what is no cloud, or shorter than its header says, before memory is taken for it."""
    fields, sizes, counts = header.fields, header.size, header.count
    if len({len(fields), len(sizes), len(counts), len(header.type)}) != 1:
        raise damaged(path, "FIELDS, SIZE, TYPE and COUNT of its header do not fit each other")
    lengths = dict(zip(fields, counts, strict=True))
    if any(lengths.get(axis) != 1 for axis in AXES):
        raise DataError(f"{path}: it has no fields x, y and z.", hint="This is no point cloud with coordinates.")
    require_points(path, header.points)
    if header.points < 1:
        raise DataError(f"{path}: it holds no points.", hint="Copy or record this cloud again.")
    if header.width * header.height != header.points:
        raise damaged(path, f"WIDTH {header.width} x HEIGHT {header.height} is not POINTS {header.points}")
    record = sum(size * count for size, count in zip(sizes, counts, strict=True))
    if record * header.points > MAX_FILE_BYTES:
        raise DataError(
            f"{path}: its header says {record * header.points} bytes, at most {MAX_FILE_BYTES} are read.",
            hint="Store x, y and z alone.",
        )
    left = len(content) - start
    if header.data.value == "ascii":
        shortest = 2 * sum(counts) * header.points - 1  # a digit and a separator each
        enough = left >= shortest
    elif header.data.value == "binary":
        enough = left >= record * header.points
    else:
        enough = left >= 8 and _fits(content, start, record * header.points)
    if not enough:
        raise damaged(path, f"it is too short for {header.points} points")


def _fits(content: bytes, start: int, size: int) -> bool:
    """Whether the two lengths in front of compressed points are those of the file and of `size` bytes."""
    compressed, plain = struct.unpack_from("<II", content, start)
    return bool(compressed <= len(content) - start - 8 and plain == size)


def _tidy(text: bytes) -> bytes:
    """Numbers with one space between them, as pypcd4 wants them."""
    if not text.strip() or text.lstrip()[:1] == b"#":
        raise ValueError("there are no numbers")  # numpy would only warn
    if not _UNTIDY.search(text):
        return text
    return b"\n".join(b" ".join(line.split()) for line in text.splitlines())
