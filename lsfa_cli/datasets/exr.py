"""Depth in OpenEXR files, read with the OpenEXR package, which is an extra of ours."""

import io
import threading
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lsfa_cli.datasets.files import require_size
from lsfa_cli.datasets.point_files import MAX_POINTS
from lsfa_cli.errors import DataError, MissingDependencyError
from lsfa_cli.regular_files import COPY_AGAIN

SIGNATURE = b"\x76\x2f\x31\x01"
_PRINTING = threading.Lock()  # standard output is one for all threads


def read_exr(path: Path) -> NDArray[np.floating]:
    """The depth channel (H, W) of an OpenEXR file: its only channel, or the one called Z (also LAYER.Z)."""
    try:
        import OpenEXR
    except ImportError as error:
        raise MissingDependencyError(
            f"{path}: reading .exr needs the package OpenEXR.", hint='Install it: pip install "openexr>=3.4"'
        ) from error
    try:
        with OpenEXR.File(str(path), separate_channels=True, header_only=True) as file:
            _require_plain(path, file.header(), len(file.parts))
        # Of pixels that are missing it tells on standard output, which is for our results, before it fails on them.
        with _PRINTING, redirect_stdout(io.StringIO()), OpenEXR.File(str(path), separate_channels=True) as file:
            pixels = {name: channel.pixels for name, channel in file.channels().items()}
    except (MemoryError, DataError):
        raise
    except Exception as error:  # the decoder raises anything on damaged bytes
        raise DataError(f"{path}: damaged or cut off OpenEXR file ({error}).", hint=COPY_AGAIN) from error
    return np.asarray(pixels[_depth_channel(path, list(pixels))])


def _require_plain(path: Path, header: dict[str, Any], parts: int) -> None:
    """Refuse what is no single flat image, and sizes that only a damaged header can have."""
    low, high = header["dataWindow"]
    require_size(path, int(high[1]) - int(low[1]) + 1, int(high[0]) - int(low[0]) + 1, MAX_POINTS)
    kind = str(header["type"])
    if parts != 1 or "deep" in kind or any(c.xSampling != 1 or c.ySampling != 1 for c in header["channels"]):
        raise DataError(f"{path}: expected one flat image, found {kind}.", hint="Save the depth as one flat channel.")


def _depth_channel(path: Path, names: list[str]) -> str:
    found = names if len(names) == 1 else [name for name in names if name.rpartition(".")[2] == "Z"]
    if len(found) != 1:
        raise DataError(
            f"{path}: expected one channel, or one called Z, found {', '.join(sorted(names))}.",
            hint="Save the depth as the channel Z.",
        )
    return found[0]
