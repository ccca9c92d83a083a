"""The figures artifact: what one cell of a study measured, and the sums that resampling takes."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from lsfa_cli.artifacts.store import Artifact, ArtifactWriter

Arrays = Mapping[str, NDArray[np.float64]]


def write_figure(writer: ArtifactWriter, modality: str, metric: str, value: float, sums: Arrays) -> None:
    """Write one figure and its sums by name."""
    writer.write(f"{modality}/{metric}/value", [value])
    for name, array in sums.items():
        writer.write(f"{modality}/{metric}/{name}", array)


def figure_names(artifact: Artifact) -> list[tuple[str, str]]:
    """The (modality, metric) pairs that were measured."""
    rows = [path.split("/") for path in artifact.paths() if path.endswith("/value")]
    return [(modality, metric) for modality, metric, _ in rows]


def read_figure(artifact: Artifact, modality: str, metric: str) -> tuple[float, dict[str, NDArray[np.float64]]]:
    """One figure and its sums by name."""
    group = f"{modality}/{metric}"
    names = [name for name in artifact.names(group) if name != "value"]
    return float(artifact.read(f"{group}/value")[0]), {name: artifact.read(f"{group}/{name}") for name in names}
