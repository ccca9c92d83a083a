"""The collapse guard: training may not end at the one point where compactness is 0 (METHOD 3)."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lsfa_cli.learners import Learner
from lsfa_cli.samples import Modality
from lsfa_cli.standardisation import PatchSource, Standardisation
from lsfa_cli.training_batches import read_batch

GUARD_SAMPLES = 4
GUARD_PATCHES = 512


class GuardMeasures(NamedTuple):
    """How spread out features are.

    effective_rank: between 1 and min(n, D), 0 when all features are 0. mean_norm: in standard deviations of
    the features before the adaptor. neighbor_distance: mean distance to the nearest other feature over the
    mean norm; NaN for a single feature.
    """

    effective_rank: float
    mean_norm: float
    neighbor_distance: float


def effective_rank(features: Tensor) -> float:
    """Exponential of the entropy of the normalised singular values of (n, D) features, not centred.

    Features that are all the same point have rank 1, all 0 have rank 0. NaN when a feature is not finite.
    """
    if not bool(torch.isfinite(features).all()):
        return math.nan
    values = torch.linalg.svdvals(features.double())
    total = float(values.sum())
    if total == 0:
        return 0.0
    return math.exp(float(torch.special.entr(values / total).sum()))


def measure(features: Tensor) -> GuardMeasures:
    """The guard's quantities for (n, D) features, n at least 1."""
    features = features.double()
    norm = float(torch.linalg.vector_norm(features, dim=1).mean())
    distances = torch.cdist(features, features, compute_mode="donot_use_mm_for_euclid_dist")
    distances.fill_diagonal_(math.inf)
    nearest = float(distances.min(dim=1).values.mean()) if len(features) > 1 else math.nan
    return GuardMeasures(effective_rank(features), norm, nearest / norm if norm > 0 else math.nan)


class GuardPatches:
    """The fixed, seeded training patches that the guard looks at: up to 512 a modality, of up to 4 samples."""

    def __init__(
        self, source: PatchSource, standardisation: Mapping[Modality, Standardisation], seed: int, device: str
    ) -> None:
        generator = np.random.default_rng(seed)
        self._inputs: dict[Modality, dict[int, Tensor]] = {}
        self._rows: dict[Modality, Tensor] = {}
        order = generator.permutation(len(source))
        for modality, scale in standardisation.items():
            self._inputs[modality] = self._fetch(source, [int(sample) for sample in order], modality, scale, device)
            total = sum(len(part) for part in self._inputs[modality].values())
            rows = np.sort(generator.permutation(total)[:GUARD_PATCHES])
            self._rows[modality] = torch.from_numpy(rows).to(device)

    @staticmethod
    def _fetch(
        source: PatchSource, order: list[int], modality: Modality, scale: Standardisation, device: str
    ) -> dict[int, Tensor]:
        """The first samples in `order` that have valid patches, by their number."""
        found: dict[int, Tensor] = {}
        for sample in order:
            patches = read_batch(source, [sample], {modality: scale}, device).patches[modality][0]
            if len(patches) > 0:
                found[sample] = patches
            if len(found) == GUARD_SAMPLES:
                break
        return found

    @torch.no_grad()
    def measure(self, learners: Mapping[Modality, Learner]) -> dict[Modality, GuardMeasures]:
        """The quantities of the features that the learners give for these patches, by modality."""
        result: dict[Modality, GuardMeasures] = {}
        for modality, inputs in self._inputs.items():
            adapted = torch.cat(learners[modality].features(tuple(inputs), tuple(inputs.values())))
            result[modality] = measure(adapted[self._rows[modality]])
        return result


class CollapseGuard:
    """Says when features have collapsed: the effective rank is not finite or below `rank_ratio` of its start."""

    def __init__(self, start: Mapping[Modality, GuardMeasures], rank_ratio: float) -> None:
        self._start = dict(start)
        self._rank_ratio = rank_ratio

    def reason(self, measures: Mapping[Modality, GuardMeasures]) -> str | None:
        """What is wrong with the features, None when nothing is."""
        for modality, now in measures.items():
            start = self._start[modality].effective_rank
            if not math.isfinite(now.effective_rank):
                return f"{modality} features are not finite"
            if now.effective_rank < self._rank_ratio * start:
                return f"effective rank of {modality} fell from {start:.4g} to {now.effective_rank:.4g}"
        return None

    def shrinking(self, measures: Mapping[Modality, GuardMeasures]) -> list[str]:
        """What the effective rank, which has no scale, does not see: norms or distances below the same share.

        Not a reason to stop, since compactness is meant to shorten distances, but worth a note.
        """
        notes: list[str] = []
        for modality, now in measures.items():
            start = self._start[modality]
            if now.mean_norm < self._rank_ratio * start.mean_norm:
                notes.append(f"{modality} features shrank: mean norm from {start.mean_norm:.3g} to {now.mean_norm:.3g}")
            if now.neighbor_distance < self._rank_ratio * start.neighbor_distance:
                notes.append(
                    f"{modality} features drew together: mean neighbour distance over mean norm from "
                    f"{start.neighbor_distance:.3g} to {now.neighbor_distance:.3g}"
                )
        return notes
