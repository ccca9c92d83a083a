"""What the readers of point files share: limits that are checked before memory is taken, and their errors."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lsfa_cli.errors import DataError
from lsfa_cli.regular_files import COPY_AGAIN

# Six times the largest cloud of Real3D-AD, and the pixels of a 4096 x 4096 scan.
MAX_POINTS = 2**24
MAX_FILE_BYTES = 2**29
# A header is some hundred bytes; comments may make it longer.
HEADER_BYTES = 2**16


class Grid(NamedTuple):
    """Rows and columns of an organized cloud."""

    height: int
    width: int


class GriddedPoints(NamedTuple):
    """Points (N, 3) float32 in the file's order; with a grid N = H * W, row by row, NaN where there is no point."""

    points: NDArray[np.float32]
    grid: Grid | None


def damaged(path: Path, reason: str) -> DataError:
    """The error for a file that is not what its suffix says."""
    return DataError(f"{path}: damaged or cut off {path.suffix} file ({reason}).", hint=COPY_AGAIN)


def require_points(path: Path, count: int) -> None:
    """Refuse a number of points that only a damaged header can have."""
    if count > MAX_POINTS:
        raise DataError(
            f"{path}: it says to hold {count} points, at most {MAX_POINTS} are read.",
            hint=f"The file is probably damaged. {COPY_AGAIN}",
        )
