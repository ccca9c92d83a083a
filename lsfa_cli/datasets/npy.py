"""Reading of arrays that numpy saved, of any plain numbers."""

import io
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lsfa_cli.datasets.files import require_size
from lsfa_cli.errors import DataError
from lsfa_cli.regular_files import COPY_AGAIN
from lsfa_cli.wording import size_of

SIGNATURE = b"\x93NUMPY"


def read_npy(path: Path, content: bytes) -> NDArray[Any]:
    """The array (H, W) or (H, W, C) of a .npy file's content. The header is compared with the length first."""
    stream = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(stream)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read_header(stream)
    except Exception as error:  # numpy raises anything on a damaged header
        raise DataError(f"{path}: damaged or cut off .npy file ({error}).", hint=COPY_AGAIN) from error
    if dtype.kind not in "fiub" or len(shape) not in (2, 3):
        message = f"{path}: expected an array of numbers (H x W), found {size_of(shape)} {dtype}."
        raise DataError(message, hint=COPY_AGAIN)
    require_size(path, shape[0], shape[1])
    if math.prod(shape) * dtype.itemsize != len(content) - stream.tell():
        raise DataError(f"{path}: damaged or cut off .npy file (its length is not what it says).", hint=COPY_AGAIN)
    stream.seek(0)
    array: NDArray[Any] = np.load(stream, allow_pickle=False)
    return array
