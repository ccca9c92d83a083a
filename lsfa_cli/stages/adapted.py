"""Adapted patches of a split, sample by sample: what the bank is built from and what is scored."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lsfa_cli.adaptors import FittedAdaptor, load_adaptor
from lsfa_cli.artifacts.adaptor import adaptor_modalities, has_adaptors, read_pair, read_parameters
from lsfa_cli.artifacts.features import NO_GRID, Features, SplitFeatures
from lsfa_cli.artifacts.lineage import command_for, require_made_from
from lsfa_cli.artifacts.store import Artifact, open_artifact
from lsfa_cli.errors import ArtifactError
from lsfa_cli.memory_bank import MemoryBank
from lsfa_cli.samples import BoolArray, Modality, PatchFeatures
from lsfa_cli.stages.progress import Advance
from lsfa_cli.standardisation import Standardisation, standardise


@contextlib.contextmanager
def open_adaptor(path: Path | None, features: Features) -> Iterator[Artifact | None]:
    """The adaptor artifact, which must have been trained on these features; None for the baseline."""
    if path is None:
        yield None
        return
    with open_artifact(path, "adaptor") as artifact:
        mend = command_for("adapt", features.dataset, features.category)
        require_made_from(artifact, "features", features.artifact, mend)
        yield artifact


class PatchSplit(Protocol):
    """One split's patches that go into a bank or are compared with it."""

    def __len__(self) -> int:
        """Number of samples."""
        ...

    def __getitem__(self, index: int) -> PatchFeatures:
        """The patches of one sample."""
        ...

    def counts(self) -> NDArray[np.int64]:
        """How many patches each sample gives."""
        ...


@dataclass(frozen=True)
class AdaptedSplit:
    """One split's patches of one modality after the adaptor.

    foreground: image patches only where they touch the part (needs the 3D scan's valid patches).
    """

    samples: SplitFeatures
    modality: Modality
    adaptor: FittedAdaptor
    foreground: bool = False

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> PatchFeatures:
        adapted = self.adaptor.adapt(self.samples.patches(index, self.modality))
        if not self.foreground or self.modality != "rgb":
            return adapted
        touched = touches_part(self.samples, index, "rgb")
        return PatchFeatures(adapted.values[touched[adapted.valid]], adapted.valid & touched, adapted.grid)

    def counts(self) -> NDArray[np.int64]:
        """How many patches each sample gives."""
        if self.foreground and self.modality == "rgb":
            touched = (touches_part(self.samples, index, "rgb").sum() for index in range(len(self)))
            return np.fromiter(touched, dtype=np.int64, count=len(self))
        return self.samples.counts(self.modality)


def touches_part(samples: SplitFeatures, index: int, modality: Modality) -> BoolArray:
    """(G * G,), which patches of a modality touch the part: where the scan has patches; without a scan, all."""
    grid = samples.grid(modality)
    if "xyz" not in samples.modalities:
        return np.ones(grid * grid, dtype=bool)
    return coarse_validity(samples.scan_valid(index), samples.grid("xyz"), grid)


def coarse_validity(valid: BoolArray, grid: int, target: int) -> BoolArray:
    """Which cells of a target x target raster share area with a valid cell of a grid x grid raster. (target**2,)."""
    counts = np.zeros((grid + 1, grid + 1), dtype=np.int64)  # of valid cells above and to the left
    counts[1:, 1:] = valid.reshape(grid, grid).cumsum(axis=0).cumsum(axis=1)
    cells = np.arange(target)
    first, last = cells * grid // target, -(-(cells + 1) * grid // target)
    within = counts[last][:, last] - counts[first][:, last] - counts[last][:, first] + counts[first][:, first]
    touched: BoolArray = (within > 0).reshape(-1)
    return touched


def fitted_adaptors(
    features: Features,
    adaptor: Artifact | None,
    modalities: Sequence[Modality],
    device: str,
    *,
    bank: Artifact | None = None,
) -> dict[Modality, FittedAdaptor]:
    """The adaptors to apply, on a device; without an adaptor artifact, or with M3DM's or BTF's, they standardise only.

    bank: where that standardisation is recorded; without one it is measured, which reads all training patches.
    """
    train = features.split("train")
    if adaptor is None and bank is not None:
        return {
            modality: FittedAdaptor(None, *read_pair(bank, f"{modality}/standardisation")) for modality in modalities
        }
    if adaptor is None:
        return {modality: FittedAdaptor(None, *standardise(train, modality)) for modality in modalities}
    missing = [modality for modality in modalities if modality not in adaptor_modalities(adaptor)]
    if missing:
        raise ArtifactError(
            f"{adaptor.path} has no {missing[0]} adaptor",
            hint=f"Use --modality {adaptor_modalities(adaptor)[0]}, or run: lsfa adapt --category {features.category}",
        )
    if not has_adaptors(adaptor):
        return {
            modality: FittedAdaptor(None, *read_pair(adaptor, f"{modality}/standardisation")) for modality in modalities
        }
    return {modality: _load(train, adaptor, modality, device) for modality in modalities}


def _load(train: SplitFeatures, adaptor: Artifact, modality: Modality, device: str) -> FittedAdaptor:
    try:
        return load_adaptor(
            str(adaptor.settings["adaptor"]),
            train.patches(0, modality).dimension,
            read_parameters(adaptor, modality),
            Standardisation(*read_pair(adaptor, f"{modality}/standardisation")),
            device=device,
        )
    except ValueError as error:
        raise ArtifactError(f"{adaptor.path}: {error}", hint="Run: lsfa adapt") from error


@dataclass(frozen=True)
class SplitScores:
    """Scores of one split and modality.

    image: (n,) float64. patches: for each sample (grid * grid,) float32, or (m,) where it is a cloud of m groups.
    valid: the same, which of them there are.
    """

    image: NDArray[np.float64]
    patches: Sequence[NDArray[np.float32]]
    valid: Sequence[BoolArray]

    def distances(self) -> NDArray[np.float32]:
        """(n, grid * grid), the distance of each patch to its nearest entry; NaN where there is no patch."""
        return np.where(np.stack(self.valid), np.stack(self.patches), np.float32(np.nan))


def score_split(
    samples: PatchSplit, bank: MemoryBank, advance: Advance, *, owners: NDArray[np.int64] | None = None
) -> SplitScores:
    """Score every sample of a split against a bank (METHOD 4, 3 and 4).

    The score of an unorganized cloud is the largest distance of its groups, as in Real3D-AD's protocol (reference
    notes 1.3), without the reweighting of images. That protocol squares the distances; no figure that depends on
    the order of the scores alone, as AUROC and AUPR do, can tell.
    owners: (M,), the sample that each bank entry comes from; a sample is then scored without its own entries.
    """
    image, patches, valid = np.zeros(len(samples), dtype=np.float64), [], []
    for index in range(len(samples)):
        adapted = samples[index]
        result = bank.score(adapted, None if owners is None else owners == index)
        is_cloud = adapted.grid == NO_GRID
        image[index] = result.patch_scores.max(initial=0.0) if is_cloud else result.image_score
        patches.append(result.patch_scores)
        valid.append(adapted.valid)
        advance(1)
    return SplitScores(image, patches, valid)
