"""Features must fit into the artifact's float16."""

import numpy as np

from lsfa_cli.errors import DataError
from lsfa_cli.samples import FloatArray, Modality, SampleRecord


def require_finite(record: SampleRecord, modality: Modality, values: FloatArray) -> None:
    """Features are stored as float16; one that is beyond its range would poison every distance."""
    with np.errstate(over="ignore"):
        finite = np.isfinite(values.astype(np.float16)).all()
    if not finite:
        raise DataError(
            f"{record.name}: the {modality} backbone gives features that are not finite or beyond {65504}",
            hint="Check the backbone's weights and its mean and std.",
        )
