"""Polygon files (.ply), read by plyfile: the vertices, and the grid of organized scans."""

import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lsfa_cli.datasets.point_files import (
    HEADER_BYTES,
    MAX_FILE_BYTES,
    MAX_POINTS,
    Grid,
    GriddedPoints,
    damaged,
    require_points,
)
from lsfa_cli.errors import DataError
from lsfa_cli.regular_files import length_of, unreadable
from lsfa_cli.wording import first_line

AXES = ("x", "y", "z")
RANGE_GRID = "range_grid"
# Lists (faces, grids) are read one by one, and each takes some hundred bytes of memory.
MAX_LISTS = 2**22
_BYTES = {
    **dict.fromkeys(("char", "uchar", "int8", "uint8"), 1),
    **dict.fromkeys(("short", "ushort", "int16", "uint16"), 2),
    **dict.fromkeys(("int", "uint", "float", "int32", "uint32", "float32"), 4),
    **dict.fromkeys(("double", "float64"), 8),
}


class _Element(NamedTuple):
    """What the header says about an element. shortest: bytes of its shortest row; values: numbers in it."""

    name: str
    rows: int
    shortest: int
    values: int
    lists: bool


def read_ply(path: Path) -> GriddedPoints:
    """The coordinates of the vertices of a .ply file, and its grid where it says one (`read_organized_points`)."""
    from plyfile import PlyData

    text = _check(path)
    try:
        # Mapped into memory, binary vertices are not read number by number.
        with path.open(encoding="ascii") if text else path.open("rb") as stream:
            data = PlyData.read(stream, mmap="r")
        vertices = data["vertex"]
        with np.errstate(over="ignore", invalid="ignore"):
            points = np.stack([np.asarray(vertices[axis]).astype(np.float32) for axis in AXES], axis=1)
        grid = _grid([*data.obj_info, *data.comments, *vertices.comments])
        indices = list(data[RANGE_GRID].data[data[RANGE_GRID].properties[0].name]) if RANGE_GRID in data else None
    except (MemoryError, DataError):
        raise
    except Exception as error:  # plyfile and numpy raise anything on damaged bytes
        raise damaged(path, first_line(error)) from error
    if grid is None:
        return GriddedPoints(points, None)
    if indices is not None:
        return GriddedPoints(_spread(path, points, indices, grid), grid)
    if grid.height * grid.width != len(points):
        raise damaged(path, f"it has {len(points)} vertices, num_cols {grid.width} x num_rows {grid.height}")
    return GriddedPoints(points, grid)


def _grid(lines: list[str]) -> Grid | None:
    """The grid that comments say, if any."""
    found: dict[str, int] = {}
    for line in lines:
        match = re.fullmatch(r"\s*(num_cols|num_rows)\s+(\d{1,9})\s*", line)
        if match is not None:
            found[match[1]] = int(match[2])
    if len(found) != 2 or min(found.values()) < 1:
        return None
    return Grid(found["num_rows"], found["num_cols"])


def _spread(path: Path, points: NDArray[np.float32], indices: list[Any], grid: Grid) -> NDArray[np.float32]:
    """Vertices at their pixels (H * W, 3), NaN at pixels whose list is empty."""
    require_points(path, grid.height * grid.width)
    if len(indices) != grid.height * grid.width:
        raise damaged(path, f"its range_grid has {len(indices)} entries, num_cols x num_rows are {grid}")
    pixels = np.array([position for position, entry in enumerate(indices) if len(entry)], dtype=np.int64)
    which = np.array([int(entry[0]) for entry in indices if len(entry)], dtype=np.int64)
    if len(which) and (which.min() < 0 or which.max() >= len(points)):
        raise damaged(path, "its range_grid names vertices that are not there")
    spread = np.full((len(indices), 3), np.nan, dtype=np.float32)
    spread[pixels] = points[which]
    return spread


def _check(path: Path) -> bool:
    """Refuse what is no cloud, or shorter than its header says, before memory is taken for it.

    Returns whether the file is text.
    """
    length = length_of(path, MAX_FILE_BYTES, hint="Thin the cloud, or store it in binary with x, y and z alone.")
    try:
        with path.open("rb") as stream:
            start = stream.read(HEADER_BYTES)
    except OSError as error:
        raise unreadable(path, error) from error
    match = re.match(rb"ply\s.*?^[ \t]*end_header[ \t]*(\r\n|\r|\n)", start.replace(b"\r", b"\n"), re.S | re.M)
    if match is None:
        raise damaged(path, "it has no header from ply to end_header")
    text, elements = _parse(path, match[0].decode("ascii", errors="replace"))
    vertices = [element for element in elements if element.name == "vertex"]
    if len(vertices) != 1 or vertices[0].rows < 1:
        raise DataError(f"{path}: it holds no vertices.", hint="Save the cloud with its points as element vertex.")
    left = length - match.end()
    for element in elements:
        limit = MAX_LISTS if element.lists else MAX_POINTS
        if not 0 <= element.rows <= limit:
            raise DataError(
                f"{path}: it says to hold {element.rows} of element {element.name}, at most {limit} are read.",
                hint="Save the points alone, without faces. The file may be damaged.",
            )
        left -= element.rows * (2 * element.values if text else element.shortest)
        if text and element.name == RANGE_GRID:
            raise DataError(f"{path}: a range_grid is read from binary files only.", hint="Save it as binary .ply.")
    if left < -1:  # the last separator of a text may be missing
        raise damaged(path, f"it is too short for {vertices[0].rows} vertices")
    return text


def _parse(path: Path, header: str) -> tuple[bool, list[_Element]]:
    """Whether the file is text, and its elements; only as far as their sizes need it, plyfile reads the rest."""
    text = False
    elements: list[_Element] = []
    for line in header.splitlines():
        match line.split():
            case ["format", kind, *_]:
                text = kind == "ascii"
            case ["element", name, count] if count.isdecimal() and len(count) < 19:
                elements.append(_Element(name, int(count), 0, 0, False))
            case ["property", "list", length, _, _] if elements and length in _BYTES:
                elements[-1] = _longer(elements[-1], _BYTES[length], lists=True)
            case ["property", kind, _] if elements and kind in _BYTES:
                elements[-1] = _longer(elements[-1], _BYTES[kind], lists=False)
            case ["ply" | "end_header"] | ["comment" | "obj_info", *_] | []:
                pass
            case _:
                raise damaged(path, f"its header has the line '{line.strip()[:80]}'")
    if any(element.values == 0 and element.rows for element in elements):
        raise damaged(path, "an element has no properties")
    return text, elements


def _longer(element: _Element, size: int, *, lists: bool) -> _Element:
    return element._replace(shortest=element.shortest + size, values=element.values + 1, lists=element.lists or lists)
