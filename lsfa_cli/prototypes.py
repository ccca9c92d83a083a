"""Global features G of a sample: prototypes by k-means on its patches (METHOD 3, "Global features")."""

import numpy as np
import torch
from torch import Tensor

MOST_ROUNDS = 50


@torch.no_grad()
def cluster(patches: Tensor, count: int, seed: int) -> Tensor:
    """Seeded k-means (k-means++ start, Lloyd's rounds) of (n, D) patches: cluster (n,) of each, from 0.

    There are at most `count` clusters, fewer when there are fewer distinct patches, and none is empty.
    """
    centers = _spread_centers(patches, min(count, len(patches)), np.random.default_rng(seed))
    labels = _nearest_center(patches, centers)
    for _ in range(MOST_ROUNDS):
        previous = labels
        # An empty cluster is dropped.
        labels = _renumbered(labels)
        labels = _nearest_center(patches, _means(patches, labels))
        if torch.equal(labels, previous):
            break
    return _renumbered(labels)


def _renumbered(labels: Tensor) -> Tensor:
    """The labels numbered from 0 without gaps, in the same order."""
    numbered: Tensor = torch.unique(labels, return_inverse=True)[1]
    return numbered


def _spread_centers(patches: Tensor, count: int, generator: np.random.Generator) -> Tensor:
    """The k-means++ start: each next centre is drawn in proportion to its squared distance from the others."""
    chosen = [int(generator.integers(len(patches)))]
    remaining = (patches - patches[chosen[0]]).square().sum(dim=1)
    while len(chosen) < count:
        weights = remaining.cpu().numpy().astype(np.float64)
        if weights.sum() == 0:
            break
        chosen.append(int(generator.choice(len(weights), p=weights / weights.sum())))
        remaining = torch.minimum(remaining, (patches - patches[chosen[-1]]).square().sum(dim=1))
    return patches[chosen]


def _nearest_center(patches: Tensor, centers: Tensor) -> Tensor:
    distances = (centers.square().sum(dim=1) / 2).unsqueeze(0) - patches @ centers.T
    return distances.argmin(dim=1)


def _means(patches: Tensor, labels: Tensor) -> Tensor:
    """(k, D) mean of the patches of each label 0 to k - 1, none of them empty; differentiable in the patches."""
    member = (labels.unsqueeze(1) == torch.arange(int(labels.max()) + 1, device=labels.device)).to(patches.dtype)
    return (member / member.sum(dim=0)).T @ patches


def prototypes(patches: Tensor, labels: Tensor | None = None) -> Tensor:
    """(k, D) prototypes of (n, D) patches, n at least 1: the mean of each cluster, with gradient.

    labels: (n,) clusters from `cluster`. None is one cluster, where k-means is the mean and Eq. 3 reads as printed.
    """
    if labels is None:
        return patches.mean(dim=0, keepdim=True)
    return _means(patches, labels)


class SampleClusters:
    """The clusters of each training sample, found once, the first time the sample is seen."""

    def __init__(self, count: int, seed: int) -> None:
        self._count = count
        self._seed = seed
        self._labels: dict[int, Tensor] = {}

    def labels(self, sample: int, patches: Tensor) -> Tensor | None:
        """Clusters (n,) of a sample's standardised patches (n, D), both modalities' side by side; None when k is 1."""
        if self._count == 1:
            return None
        if sample not in self._labels:
            seed = int(np.random.SeedSequence([self._seed, sample]).generate_state(1)[0])
            self._labels[sample] = cluster(patches, self._count, seed)
        return self._labels[sample]
