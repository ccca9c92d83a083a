"""M3DM's fused features in the stages: what makes a third bank beside those of the two modalities."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lsfa_cli.adaptors import FittedAdaptor
from lsfa_cli.artifacts.adaptor import UFF, adaptor_method, read_pair, read_parameters, write_adaptor
from lsfa_cli.artifacts.features import Features, SplitFeatures
from lsfa_cli.artifacts.store import Artifact, ArtifactWriter
from lsfa_cli.errors import ArtifactError
from lsfa_cli.fused_features import FittedFusion, FusionOptions, load_fusion, train_fusion
from lsfa_cli.samples import MODALITIES, Modality, PatchFeatures
from lsfa_cli.settings import AdaptSettings
from lsfa_cli.stages.adapted import AdaptedSplit, PatchSplit
from lsfa_cli.stages.progress import Progress
from lsfa_cli.stages.recorded import device_of
from lsfa_cli.standardisation import Standardisation


def write_fusion(features: Features, settings: AdaptSettings, writer: ArtifactWriter, progress: Progress) -> str:
    """Train M3DM's fused features and write their blocks as the adaptor."""
    options = FusionOptions(
        epochs=settings.uff_epochs,
        batch_size=settings.uff_batch_size,
        learning_rate=settings.uff_learning_rate,
        seed=settings.seed,
        device=device_of(settings.device),
    )
    train = features.split("train")
    steps = options.epochs * -(-len(train) // options.batch_size)
    with progress.track(f"adapt {features.category}", steps) as advance:
        result = train_fusion(train, options, on_step=lambda step, total: advance(1))
    writer.attribute("category", features.category)
    writer.attribute("stopped", "finished")
    writer.attribute("notes", json.dumps(list(result.notes)))
    write_adaptor(writer, result.parameters, result.standardisation, result.curves)
    for note in result.notes:
        progress.warn(note)
    return f"M3DM's fused features, {options.epochs} epochs"


def fitted_fusion(features: Features, adaptor: Artifact | None, device: str) -> FittedFusion | None:
    """The trained blocks of an adaptor artifact, on a device; None where it is not M3DM's."""
    if adaptor is None or adaptor_method(adaptor) != UFF:
        return None
    train = features.split("train")
    try:
        return load_fusion(
            {modality: read_parameters(adaptor, modality) for modality in MODALITIES},
            {modality: Standardisation(*read_pair(adaptor, f"{modality}/standardisation")) for modality in MODALITIES},
            {modality: train.patches(0, modality).dimension for modality in MODALITIES},
            device=device,
        )
    except ValueError as error:
        raise ArtifactError(f"{adaptor.path}: {error}", hint="Run: lsfa adapt --method uff") from error


@dataclass(frozen=True)
class FusedSplit:
    """One split's fused patches, on the 3D grid."""

    samples: SplitFeatures
    fusion: FittedFusion

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> PatchFeatures:
        return self.fusion.fuse(self.samples.patches(index, "rgb"), self.samples.patches(index, "xyz"))

    def counts(self) -> NDArray[np.int64]:
        """How many patches each sample gives: all of the scan's, since every image patch has features."""
        return self.samples.counts("xyz")


def bank_splits(
    samples: SplitFeatures,
    adaptors: Mapping[Modality, FittedAdaptor],
    fusion: FittedFusion | None,
    *,
    foreground: bool,
) -> dict[str, PatchSplit]:
    """What goes into each bank or is compared with it, by the bank's name: the modalities, and M3DM's fused features.

    foreground: as of `AdaptedSplit`.
    """
    splits: dict[str, PatchSplit] = {
        modality: AdaptedSplit(samples, modality, adaptor, foreground) for modality, adaptor in adaptors.items()
    }
    return splits if fusion is None else {**splits, UFF: FusedSplit(samples, fusion)}
