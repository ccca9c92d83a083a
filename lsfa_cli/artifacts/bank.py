"""The bank artifact, as the stages see it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lsfa_cli.artifacts.adaptor import read_pair
from lsfa_cli.artifacts.store import Artifact, ArtifactWriter
from lsfa_cli.samples import MODALITIES, Modality


@dataclass(frozen=True)
class BankData:
    """The bank of one modality and its calibration.

    entries: (M, D) float32. indices: (M,), which training patches. standardisation, image_statistics,
    map_statistics: (mean, deviation) of training patches, of normal image scores and of normal map pixels (of clouds:
    of their groups' scores).
    """

    entries: NDArray[np.float32]
    indices: NDArray[np.int64]
    standardisation: tuple[float, float]
    image_statistics: tuple[float, float]
    map_statistics: tuple[float, float]


def write_bank(writer: ArtifactWriter, modality: str, bank: BankData) -> None:
    """Write one modality's bank, or that of the fused features."""
    writer.write(f"{modality}/entries", bank.entries)
    writer.write(f"{modality}/indices", bank.indices)
    writer.write(f"{modality}/standardisation", bank.standardisation)
    write_statistics(writer, modality, bank.image_statistics, bank.map_statistics)


def write_statistics(
    writer: ArtifactWriter, name: str, image: tuple[float, float], pixels: tuple[float, float]
) -> None:
    """Write (mean, deviation) of normal samples' image scores and of the pixels of their maps."""
    writer.write(f"{name}/image_statistics", image)
    writer.write(f"{name}/map_statistics", pixels)


def read_bank(artifact: Artifact, modality: str) -> BankData:
    """Read one modality's bank, or that of the fused features."""
    return BankData(
        artifact.read(f"{modality}/entries"),
        artifact.read(f"{modality}/indices"),
        read_pair(artifact, f"{modality}/standardisation"),
        read_pair(artifact, f"{modality}/image_statistics"),
        read_pair(artifact, f"{modality}/map_statistics"),
    )


def bank_modalities(artifact: Artifact) -> tuple[Modality, ...]:
    """The modalities that have a bank."""
    return tuple(modality for modality in MODALITIES if f"{modality}/entries" in artifact)


def write_normal(writer: ArtifactWriter, names: Sequence[str], image: Mapping[str, NDArray[np.floating]]) -> None:
    """Write the image scores of the normal samples (the same data sets in the bank and the scores artifact)."""
    writer.write("normal/names", names)
    for name, values in image.items():
        writer.write(f"normal/image/{name}", values)
