"""The adaptor artifact, as the stages see it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lsfa_cli.artifacts.store import Artifact, ArtifactWriter
from lsfa_cli.samples import MODALITIES, Modality

LSFA, CFM, UFF, BTF = "lsfa", "cfm", "uff", "btf"
OBJECTIVE_ADAPTORS = "lsfa"  # what LSFA trains: adaptors alone
_LENGTH = {LSFA: "steps", CFM: "cfm_epochs", UFF: "uff_epochs"}


def adaptor_method(artifact: Artifact) -> str:
    """The method that it belongs to. LSFA's adaptors do not say so, as there was no other one at first."""
    return str(artifact.settings.get("method", LSFA))


def is_trained(artifact: Artifact) -> bool:
    """Whether it was trained at all; if not, it is as it started, or there is nothing to train."""
    length = _LENGTH.get(adaptor_method(artifact))
    return length is not None and bool(artifact.settings.get(length, 0) > 0)


def has_adaptors(artifact: Artifact) -> bool:
    """Whether it holds LSFA's adaptors. Its objective may be discriminators of pasted defects instead, or nothing."""
    objective = str(artifact.settings.get("objective", OBJECTIVE_ADAPTORS))
    return adaptor_method(artifact) == LSFA and OBJECTIVE_ADAPTORS in objective.split("+")


def write_adaptor(
    writer: ArtifactWriter,
    parameters: Mapping[Modality, Mapping[str, NDArray[Any]]],
    standardisation: Mapping[Modality, tuple[float, float]],
    curves: Mapping[str, NDArray[Any]],
) -> None:
    """Write the trained parameters, (mean, deviation) a modality, and the curves of training."""
    for modality, pair in standardisation.items():
        writer.write(f"{modality}/standardisation", pair)
        for name, values in sorted(parameters.get(modality, {}).items()):
            writer.write(f"{modality}/parameters/{name}", values)
    for name, values in sorted(curves.items()):
        writer.write(f"curves/{name}", values)


def adaptor_modalities(artifact: Artifact) -> tuple[Modality, ...]:
    """The modalities that were adapted."""
    return tuple(modality for modality in MODALITIES if f"{modality}/standardisation" in artifact)


def read_parameters(artifact: Artifact, modality: Modality) -> dict[str, NDArray[np.float32]]:
    """Parameters of one modality's adaptor by name."""
    group = f"{modality}/parameters"
    return {name: artifact.read(f"{group}/{name}") for name in artifact.names(group)}


def read_pair(artifact: Artifact, path: str) -> tuple[float, float]:
    """A data set of a mean and a deviation."""
    mean, deviation = artifact.read(path)
    return float(mean), float(deviation)


def read_curves(artifact: Artifact, group: str = "curves") -> dict[str, NDArray[np.float64]]:
    """The curves of training by name. group: `DISCRIMINATOR_CURVES` for those of discriminators."""
    return {name: artifact.read(f"{group}/{name}") for name in artifact.names(group)}


DISCRIMINATOR_CURVES = "discriminator/curves"


def write_discriminator(
    writer: ArtifactWriter,
    modality: Modality,
    parameters: Mapping[str, NDArray[Any]],
    statistics: tuple[NDArray[Any], NDArray[Any]],
) -> None:
    """Write the discriminator of a modality: parameters by name, and mean and deviation (D,) of the channels."""
    writer.write(f"discriminator/{modality}/statistics", np.stack(statistics))
    for name, values in sorted(parameters.items()):
        writer.write(f"discriminator/{modality}/parameters/{name}", values)


def discriminator_modalities(artifact: Artifact) -> tuple[Modality, ...]:
    """The modalities that have a discriminator."""
    return tuple(modality for modality in MODALITIES if f"discriminator/{modality}/statistics" in artifact)


def read_discriminator(
    artifact: Artifact, modality: Modality
) -> tuple[dict[str, NDArray[np.float32]], NDArray[np.float32], NDArray[np.float32]]:
    """Parameters by name, and mean and deviation (D,) of the channels."""
    group = f"discriminator/{modality}/parameters"
    mean, deviation = artifact.read(f"discriminator/{modality}/statistics")
    return {name: artifact.read(f"{group}/{name}") for name in artifact.names(group)}, mean, deviation
