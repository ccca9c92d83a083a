"""Unorganized clouds as several stages take them."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lsfa_cli.errors import DataError
from lsfa_cli.pointcloud import MOST_CELLS, thin
from lsfa_cli.samples import FloatArray, SampleRecord


def thinned_cloud(record: SampleRecord, points: FloatArray, spacing: float) -> NDArray[np.float32]:
    """Points (N, 3) of a sample thinned to `spacing`, metres (`pointcloud.thin`).

    `DataError` for a cloud that no grid of this spacing holds: its unit is wrong.
    """
    reach = float(np.abs(points).max())
    if spacing > 0 and reach / spacing >= MOST_CELLS:
        raise DataError(
            f"{file_of(record)}: the cloud reaches {reach:.3g} m from its middle.", hint="Check the unit of the file."
        )
    return thin(points, spacing)


def file_of(record: SampleRecord) -> Path:
    """The file that the points of a cloud come from."""
    return record.files.get("labels", record.files["xyz"])
