"""A third bank beside those of the two modalities: of M3DM's fused features, or of BTF's concatenated ones."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lsfa_cli.adaptors import FittedAdaptor
from lsfa_cli.artifacts.adaptor import BTF, UFF, adaptor_method, write_adaptor
from lsfa_cli.artifacts.features import Features, SplitFeatures
from lsfa_cli.artifacts.store import Artifact, ArtifactWriter
from lsfa_cli.concatenation import concatenate
from lsfa_cli.errors import ArtifactError
from lsfa_cli.fused_features import FittedFusion, FusionOptions, load_fusion, train_fusion
from lsfa_cli.samples import MODALITIES, Modality, PatchFeatures
from lsfa_cli.settings import AdaptSettings
from lsfa_cli.stages.adapted import AdaptedSplit, PatchSplit
from lsfa_cli.stages.progress import Progress
from lsfa_cli.stages.recorded import device_of
from lsfa_cli.stages.trained import read_trained_pair, write_trained
from lsfa_cli.standardisation import standardise
from lsfa_cli.training import FINISHED
from lsfa_cli.training_batches import epoch_length


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
    steps = options.epochs * epoch_length(len(train), options.batch_size)
    with progress.track(f"adapt {features.category}", steps) as advance:
        result = train_fusion(train, options, on_step=lambda step, total: advance(1))
    write_trained(writer, features, result, progress)
    return f"M3DM's fused features, {options.epochs} epochs"


def write_nothing_trained(features: Features, writer: ArtifactWriter) -> str:
    """BTF's adaptor: what its banks of single modalities are standardised by, and nothing else."""
    train = features.split("train")
    writer.attribute("category", features.category)
    writer.attribute("stopped", FINISHED)
    writer.attribute("notes", json.dumps([]))
    write_adaptor(writer, {}, {modality: standardise(train, modality) for modality in MODALITIES}, {})
    return "BTF, nothing to train"


class ThirdBank(NamedTuple):
    """The name of a third bank, and how image and 3D patches of a sample become what goes into it.

    everywhere: at all positions of the 3D grid, not only where the scan has points.
    """

    name: str
    fuse: Callable[[PatchFeatures, PatchFeatures], PatchFeatures]
    everywhere: bool


def third_bank(features: Features, adaptor: Artifact | None, device: str) -> ThirdBank | None:
    """The third bank that the adaptor's method has, if any."""
    method = None if adaptor is None else adaptor_method(adaptor)
    if adaptor is not None and method == UFF:
        return ThirdBank(UFF, fitted_fusion(features, adaptor, device).fuse, everywhere=False)
    return ThirdBank(BTF, concatenate, everywhere=True) if method == BTF else None


def fitted_fusion(features: Features, adaptor: Artifact, device: str) -> FittedFusion:
    """The trained blocks of M3DM's adaptor artifact, on a device."""
    try:
        return load_fusion(*read_trained_pair(features, adaptor), device=device)
    except ValueError as error:
        raise ArtifactError(f"{adaptor.path}: {error}", hint="Run: lsfa adapt --method uff") from error


@dataclass(frozen=True)
class FusedSplit:
    """What goes into a third bank or is compared with it, of one split, on the 3D grid."""

    samples: SplitFeatures
    third: ThirdBank

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> PatchFeatures:
        return self.third.fuse(self.samples.patches(index, "rgb"), self.samples.patches(index, "xyz"))

    def counts(self) -> NDArray[np.int64]:
        """How many patches each sample gives; every image patch has features, so the scan's decide."""
        if self.third.everywhere:
            return np.full(len(self), self.samples.patches(0, "xyz").valid.size, dtype=np.int64)
        return self.samples.counts("xyz")


def bank_splits(
    samples: SplitFeatures,
    adaptors: Mapping[Modality, FittedAdaptor],
    third: ThirdBank | None,
    *,
    foreground: bool,
) -> dict[str, PatchSplit]:
    """What goes into each bank or is compared with it, by the bank's name.

    foreground: as of `AdaptedSplit`.
    """
    splits: dict[str, PatchSplit] = {
        modality: AdaptedSplit(samples, modality, adaptor, foreground) for modality, adaptor in adaptors.items()
    }
    return splits if third is None else {**splits, third.name: FusedSplit(samples, third)}
