"""Reading of point files: .pcd, .ply, .npy, and the labelled text files of Real3D-AD, with errors that name the file.

Coordinates are float32 as stored; the caller knows their unit. Nothing here takes memory for more points than
`MAX_POINTS`, or before the size that a header claims is compared with the file's length.
"""

import io
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lsfa_cli.datasets.files import require_size
from lsfa_cli.datasets.npy import read_npy
from lsfa_cli.datasets.pcd import read_pcd
from lsfa_cli.datasets.ply import read_ply
from lsfa_cli.datasets.point_files import MAX_FILE_BYTES, MAX_POINTS, Grid, damaged, require_points
from lsfa_cli.errors import DataError
from lsfa_cli.regular_files import COPY_AGAIN, content_of
from lsfa_cli.samples import BoolArray
from lsfa_cli.wording import first_line, size_of

SUFFIXES = (".pcd", ".ply", ".npy")
_COLUMNS = 4  # x y z label


class OrganizedPoints(NamedTuple):
    """An organized cloud. xyz: (H, W, 3) float32, 0 where there is no point; valid: (H, W)."""

    xyz: NDArray[np.float32]
    valid: BoolArray


class LabelledPoints(NamedTuple):
    """Points (N, 3) float32 and which of them are on a defect (N,)."""

    points: NDArray[np.float32]
    defect: BoolArray


def read_points(path: Path) -> NDArray[np.float32]:
    """The points (N, 3) of a .pcd, .ply or .npy file in the file's order, without those that are not finite."""
    points = read_all_points(path)
    return points[_finite(path, points)]


def read_all_points(path: Path) -> NDArray[np.float32]:
    """The points (N, 3) of a .pcd, .ply or .npy file in the file's order, also those that are not finite."""
    return _read(path).points


def read_organized_points(path: Path, width: int | None = None) -> OrganizedPoints:
    """An organized cloud from a .pcd with HEIGHT > 1, a .ply with a grid, or a .npy of shape (H, W, 3).

    A .ply says its grid by `obj_info` or `comment` lines `num_cols W` and `num_rows H` (as Stanford's range grids do):
    either it has W * H vertices row by row, or an element `range_grid` with one list for each pixel, empty or with
    the number of its vertex. width: pixels a row, for files that hold a full grid and do not say how wide it is.

    A pixel has a point when its coordinates are finite and not all 0. `DataError` for a file without a grid.
    """
    points, grid = _read(path)
    if grid is None and width is not None and width > 1 and len(points) % width == 0:
        grid = Grid(len(points) // width, width)
    if grid is None:
        raise DataError(
            f"{path}: its {len(points)} points are not organized in rows and columns.",
            hint="Does it hold every pixel, row by row? Set [cloud] width in lsfa-part.toml. Else save the scan "
            "organized: a .pcd with HEIGHT > 1, a .ply with num_cols and num_rows, or a .npy of H x W x 3. "
            "Unorganized clouds are for --data real3d_ad and its layout.",
        )
    require_size(path, grid.height, grid.width)
    xyz = points.reshape(grid.height, grid.width, 3).copy()
    valid: BoolArray = np.all(np.isfinite(xyz), axis=2) & np.any(xyz != 0, axis=2)
    if not valid.any():
        raise DataError(f"{path}: the cloud has no valid point, all are 0 or not finite.", hint=COPY_AGAIN)
    xyz[~valid] = 0
    return OrganizedPoints(xyz, valid)


def read_labelled_points(path: Path) -> LabelledPoints:
    """A text file with one point a line, `x y z label` (Real3D-AD's gt), without points that are not finite.

    The label is 0, or another number on a defect.
    """
    content = content_of(path, MAX_FILE_BYTES)
    require_points(path, content.count(b"\n"))
    if not content.strip():
        raise damaged(path, "it is empty")
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            rows = np.loadtxt(io.BytesIO(content), dtype=np.float64, ndmin=2, comments=None)
            points = rows[:, :3].astype(np.float32)
    except MemoryError:
        raise
    except Exception as error:  # not text, not numbers, rows of different lengths
        raise damaged(path, first_line(error)) from error
    if rows.shape[1] != _COLUMNS:
        raise DataError(
            f"{path}: expected x y z label in each line, found {rows.shape[1]} numbers.",
            hint="This is no label file as Real3D-AD has it.",
        )
    labels = rows[:, 3]
    if not np.isfinite(labels).all():
        raise damaged(path, "a label is not finite")
    kept = _finite(path, points)
    return LabelledPoints(points[kept], labels[kept] != 0)


class _Points(NamedTuple):
    points: NDArray[np.float32]
    grid: Grid | None


def _read(path: Path) -> _Points:
    suffix = path.suffix.lower()
    if suffix == ".pcd":
        return _Points(*read_pcd(path))
    if suffix == ".ply":
        return _Points(*read_ply(path))
    if suffix == ".npy":
        return _read_npy(path)
    raise DataError(f"{path}: points are read from {', '.join(SUFFIXES)}.", hint="Convert it to one of these.")


def _read_npy(path: Path) -> _Points:
    """Numbers (N, 3) or (H, W, 3) as numpy saves them."""
    array = read_npy(path, content_of(path, MAX_FILE_BYTES))
    if array.shape[-1] != 3:
        raise DataError(
            f"{path}: expected N x 3 or H x W x 3 numbers (x, y, z), found {size_of(array.shape)}.",
            hint="Save the coordinates alone: numpy.save(FILE, xyz).",
        )
    require_points(path, array.size // 3)
    with np.errstate(over="ignore", invalid="ignore"):
        points = np.ascontiguousarray(array, dtype=np.float32).reshape(-1, 3)
    return _Points(points, Grid(*array.shape[:2]) if array.ndim == 3 else None)


def _finite(path: Path, points: NDArray[np.float32]) -> BoolArray:
    finite: BoolArray = np.all(np.isfinite(points), axis=1)
    if not finite.any():
        raise DataError(f"{path}: none of its {len(points)} points is finite.", hint=COPY_AGAIN)
    return finite


__all__ = [
    "MAX_POINTS",
    "SUFFIXES",
    "LabelledPoints",
    "OrganizedPoints",
    "read_all_points",
    "read_labelled_points",
    "read_organized_points",
    "read_points",
]
