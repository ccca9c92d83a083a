"""Global features: k-means prototypes, with gradient to the patches."""

import numpy as np
import pytest
import torch

from lsfa_cli.prototypes import SampleClusters, cluster, prototypes


def blobs(count: int = 30) -> tuple[torch.Tensor, torch.Tensor]:
    """Patches around three far corners and the corner of each, mixed."""
    truth = torch.arange(count) % 3
    corners = torch.tensor([[0.0, 0.0], [50.0, 0.0], [0.0, 80.0]])
    return corners[truth] + torch.randn(count, 2, generator=torch.Generator().manual_seed(0)), truth


def same_partition(first: torch.Tensor, second: torch.Tensor) -> bool:
    return torch.equal(first[:, None] == first, second[:, None] == second)


@pytest.mark.parametrize("seed", range(8))
def test_clear_clusters_are_found_from_every_seed(seed: int) -> None:
    patches, truth = blobs()
    labels = cluster(patches, 3, seed)
    assert same_partition(labels, truth)
    assert sorted(set(labels.tolist())) == [0, 1, 2]


def test_a_fixed_point_of_lloyds_rounds() -> None:
    patches = torch.randn(60, 4, generator=torch.Generator().manual_seed(1))
    labels = cluster(patches, 5, 0)
    centers = np.stack([patches[labels == label].double().mean(0).numpy() for label in range(int(labels.max()) + 1)])
    distances = np.linalg.norm(patches.double().numpy()[:, None] - centers, axis=2)
    np.testing.assert_array_equal(distances.argmin(axis=1), labels.numpy())


def test_equal_seeds_equal_clusters() -> None:
    patches = torch.randn(60, 4, generator=torch.Generator().manual_seed(1))
    assert torch.equal(cluster(patches, 5, 3), cluster(patches, 5, 3))
    assert len({tuple(cluster(patches, 5, seed).tolist()) for seed in range(5)}) > 1


def test_fewer_distinct_patches_than_clusters() -> None:
    patches = torch.tensor([[1.0, 1.0], [2.0, 2.0], [1.0, 1.0], [2.0, 2.0]])
    assert same_partition(cluster(patches, 3, 0), torch.tensor([0, 1, 0, 1]))
    assert cluster(torch.zeros(4, 2), 3, 0).tolist() == [0, 0, 0, 0]
    assert cluster(torch.zeros(1, 2), 3, 0).tolist() == [0]


def test_one_prototype_is_the_mean() -> None:
    assert prototypes(torch.tensor([[1.0, 2.0], [3.0, 6.0]])).tolist() == [[2, 4]]


def test_prototypes_by_hand_with_gradient() -> None:
    patches = torch.tensor([[1.0], [5.0], [3.0], [7.0]], requires_grad=True)
    found = prototypes(patches, torch.tensor([0, 1, 0, 0]))
    assert found.tolist() == [[pytest.approx(11 / 3)], [5]]
    (found * torch.tensor([[3.0], [10.0]])).sum().backward()
    assert patches.grad.flatten().tolist() == pytest.approx([1, 10, 1, 1])


def test_clusters_of_a_sample_are_found_once() -> None:
    patches, truth = blobs()
    clusters = SampleClusters(3, seed=0)
    first = clusters.labels(4, patches)
    assert same_partition(first, truth)
    assert clusters.labels(4, torch.zeros_like(patches)) is first
    assert not torch.equal(clusters.labels(5, torch.zeros_like(patches)), first)
    assert SampleClusters(1, seed=0).labels(4, patches) is None
