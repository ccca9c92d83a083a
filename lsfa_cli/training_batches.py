"""Batches of training: which samples, their standardised patches, and where both modalities meet."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lsfa_cli.projection import repeat_index
from lsfa_cli.samples import MODALITIES, Modality, PatchFeatures
from lsfa_cli.standardisation import PatchSource, Standardisation


class SharedRows(NamedTuple):
    """Where both modalities of a sample meet: row j of `rgb` and row j of `xyz` are at the same position.

    Both (m,) int64, rows of the valid patches of that modality. An image patch on a coarser grid stands at
    several positions, so its row occurs as often.
    """

    rgb: Tensor
    xyz: Tensor


@dataclass(frozen=True)
class Batch:
    """Some training samples: standardised valid patches (n_i, D) of each, and the rows that both modalities share.

    `shared` is None with one modality.
    """

    samples: tuple[int, ...]
    patches: Mapping[Modality, list[Tensor]]
    shared: list[SharedRows] | None


def shared_rows(rgb: PatchFeatures, xyz: PatchFeatures) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of the valid patches of both modalities at the positions valid in 3D, RGB repeated to the 3D grid.

    Positions whose image patch is invalid are left out.
    """
    native = repeat_index(rgb.grid, xyz.grid)
    both = shared_positions(rgb, xyz)
    rgb_row = np.cumsum(rgb.valid) - 1
    xyz_row = np.cumsum(xyz.valid) - 1
    return rgb_row[native[both]].astype(np.int64), xyz_row[both].astype(np.int64)


def shared_positions(rgb: PatchFeatures, xyz: PatchFeatures) -> NDArray[np.int64]:
    """The positions of the 3D grid, in raster order, whose patches `shared_rows` names."""
    return np.flatnonzero(xyz.valid & rgb.valid[repeat_index(rgb.grid, xyz.grid)])


class LimitedPatches:
    """A source for training on one modality: of a sample of more than `limit` patches a seeded subset.

    Attention grows with the square of the patches, and an unorganized cloud can have tens of thousands. The subset of
    a sample is the same in every step. With both modalities their patches belong together, and samples stay whole.
    """

    def __init__(self, source: PatchSource, modalities: Sequence[Modality], limit: int, seed: int) -> None:
        self._source, self._modalities, self._limit, self._seed = source, modalities, limit, seed
        self.limited = False

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> Mapping[Modality, PatchFeatures]:
        """One sample's patches, or its subset."""
        sample = self._source[index]
        if len(self._modalities) > 1:
            return sample
        return {modality: self._subset(index, sample[modality]) for modality in self._modalities}

    def _subset(self, index: int, patches: PatchFeatures) -> PatchFeatures:
        if len(patches.values) <= self._limit:
            return patches
        self.limited = True
        generator = np.random.default_rng([self._seed, index])
        rows = np.sort(generator.choice(len(patches.values), self._limit, replace=False))
        valid = np.zeros_like(patches.valid)
        valid[np.flatnonzero(patches.valid)[rows]] = True
        return PatchFeatures(patches.values[rows], valid, patches.grid)


def read_batch(
    source: PatchSource,
    samples: Sequence[int],
    standardisation: Mapping[Modality, Standardisation],
    device: str,
) -> Batch:
    """Fetch, standardise and move the samples; the modalities are those of `standardisation`."""
    patches: dict[Modality, list[Tensor]] = {modality: [] for modality in standardisation}
    shared: list[SharedRows] | None = [] if len(standardisation) > 1 else None
    for sample in samples:
        features = source[int(sample)]
        for modality, scale in standardisation.items():
            patches[modality].append(torch.from_numpy(scale.apply(features[modality].values)).to(device))
        if shared is not None:
            rows = shared_rows(features["rgb"], features["xyz"])
            shared.append(SharedRows(*(torch.from_numpy(row).to(device) for row in rows)))
    return Batch(tuple(int(sample) for sample in samples), patches, shared)


def patches_together(batch: Batch) -> dict[Modality, Tensor]:
    """The patches of all samples of a batch at their shared positions, (N, D) each, row by row at the same place."""
    shared = batch.shared or []
    return {
        modality: torch.cat([part[rows[place]] for part, rows in zip(batch.patches[modality], shared, strict=True)])
        for place, modality in enumerate(MODALITIES)
    }


def adapt_patches(adaptor: nn.Module, patches: Sequence[Tensor]) -> list[Tensor]:
    """Adapt the (n_i, D) valid patches of several samples at once, padded to the longest of them."""
    longest = max(1, *(len(part) for part in patches))
    if all(len(part) == longest for part in patches):
        return list(adaptor(torch.stack(list(patches))).unbind(0))
    padded = patches[0].new_zeros((len(patches), longest, patches[0].shape[1]))
    valid = torch.zeros((len(patches), longest), dtype=torch.bool, device=padded.device)
    for row, part in enumerate(patches):
        padded[row, : len(part)] = part
        valid[row, : len(part)] = True
    adapted = adaptor(padded, valid)
    # Unbound first: the gradient of a part is then padded to one sample, not to the whole batch.
    return [whole[: len(part)] for whole, part in zip(adapted.unbind(0), patches, strict=True)]


def epoch_length(total: int, batch_size: int) -> int:
    """Steps of an epoch over `total` samples."""
    return math.ceil(total / batch_size)


def batches(total: int, batch_size: int, generator: np.random.Generator) -> Iterator[list[int]]:
    """Endless batches of at most `batch_size` of `total` samples: epochs in seeded order, without replacement.

    An epoch is cut into batches of nearly equal size: a small remainder would leave L_GA little to contrast.
    """
    while True:
        order = generator.permutation(total)
        for part in np.array_split(order, epoch_length(total, batch_size)):
            yield [int(sample) for sample in part]
