"""What a method trained, to the adaptor artifact and back."""

import json
from collections.abc import Mapping
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from lsfa_cli.artifacts.adaptor import read_pair, read_parameters, write_adaptor
from lsfa_cli.artifacts.features import Features
from lsfa_cli.artifacts.store import Artifact, ArtifactWriter
from lsfa_cli.samples import MODALITIES, Modality
from lsfa_cli.stages.progress import Progress
from lsfa_cli.standardisation import Standardisation
from lsfa_cli.training import FINISHED

Parameters = Mapping[Modality, Mapping[str, NDArray[np.float32]]]


class Trained(Protocol):
    """What every training returns; the meaning is that of `training.TrainingResult`."""

    @property
    def parameters(self) -> Parameters:
        """Parameters by modality and name."""
        ...

    @property
    def standardisation(self) -> Mapping[Modality, Standardisation]:
        """Mean and deviation applied before, by modality."""
        ...

    @property
    def curves(self) -> Mapping[str, NDArray[np.float64]]:
        """Curves of training by name."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What training could not do as asked."""
        ...


def write_trained(
    writer: ArtifactWriter, features: Features, result: Trained, progress: Progress, *, stopped: str = FINISHED
) -> None:
    """Write what was trained as the adaptor, and tell its notes. stopped: what ended the training."""
    writer.attribute("category", features.category)
    writer.attribute("stopped", stopped)
    writer.attribute("notes", json.dumps(list(result.notes)))
    write_adaptor(writer, result.parameters, result.standardisation, result.curves)
    for note in result.notes:
        progress.warn(note)


class SavedPair(NamedTuple):
    """Two networks as an artifact keeps them, one a modality. dimensions: values of a patch of each modality."""

    parameters: Parameters
    standardisation: Mapping[Modality, Standardisation]
    dimensions: Mapping[Modality, int]


def read_trained_pair(features: Features, adaptor: Artifact) -> SavedPair:
    """What was trained on both modalities of these features."""
    train = features.split("train")
    return SavedPair(
        {modality: read_parameters(adaptor, modality) for modality in MODALITIES},
        {modality: Standardisation(*read_pair(adaptor, f"{modality}/standardisation")) for modality in MODALITIES},
        {modality: train.patches(0, modality).dimension for modality in MODALITIES},
    )
