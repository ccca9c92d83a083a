"""The finetuned artifact, as the stages see it: what training changed in the weights of backbones."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lsfa_cli.artifacts.store import Artifact, ArtifactWriter
from lsfa_cli.samples import MODALITIES, Modality

Arrays = Mapping[str, NDArray[np.float32]]


def write_changes(
    writer: ArtifactWriter,
    modality: Modality,
    weights: Arrays,
    left: Arrays,
    right: Arrays,
    identity: Mapping[str, Any],
) -> None:
    """Write what changed in the backbone of a modality: new weights, and factors, by the name of a parameter."""
    writer.write(f"{modality}/identity", [json.dumps(dict(identity), sort_keys=True)])
    for kind, arrays in (("weights", weights), ("left", left), ("right", right)):
        for name, values in sorted(arrays.items()):
            writer.write(f"{modality}/{kind}/{name}", values)


def finetuned_modalities(artifact: Artifact) -> tuple[Modality, ...]:
    """The modalities whose backbone was trained."""
    return tuple(modality for modality in MODALITIES if f"{modality}/identity" in artifact)


def read_identity(artifact: Artifact, modality: Modality) -> dict[str, Any]:
    """What the backbone of a modality was before training."""
    identity: dict[str, Any] = json.loads(artifact.text(f"{modality}/identity")[0])
    return identity


def read_changes(artifact: Artifact, modality: Modality, kind: str) -> dict[str, NDArray[np.float32]]:
    """The arrays of a kind ("weights", "left", "right") by the name of a parameter."""
    group = f"{modality}/{kind}"
    return {name: artifact.read(f"{group}/{name}") for name in artifact.names(group)}
