"""Half squared distances by products, in all types."""

import pytest
import torch

from lsfa_cli.half_distances import distance_rows, distance_targets, half_squares, pieces_of

KINDS = [torch.bfloat16, torch.float32, torch.float64]


def random(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("kind", KINDS)
def test_half_squares_are_exact_in_their_pieces(kind: torch.dtype) -> None:
    rounded = random(50, 700, seed=0).to(kind)
    pieces = half_squares(rounded)
    assert pieces.dtype == kind
    assert pieces.shape == (50, pieces_of(kind))
    exact = torch.promote_types(kind, torch.float32)  # in which squares are added up
    whole = rounded.to(exact).square().sum(dim=1)
    assert torch.equal(2 * pieces.double().sum(dim=1), whole.double())


@pytest.mark.parametrize("kind", KINDS)
def test_products_are_half_the_squared_distances(kind: torch.dtype) -> None:
    points, others = random(30, 90, seed=1).to(kind), random(40, 90, seed=2).to(kind)
    product = distance_targets(points) @ distance_rows(others).T
    exact = torch.cdist(points.double(), others.double()).square() / 2
    tolerance = {torch.bfloat16: 2.0**-8, torch.float32: 1e-5, torch.float64: 1e-13}[kind]
    torch.testing.assert_close(product.double(), exact, rtol=tolerance, atol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_written_where_they_are_asked_for(kind: torch.dtype) -> None:
    points = random(20, 8, seed=3).to(kind)
    held = torch.zeros(25, 8 + 2 * pieces_of(kind), dtype=kind)
    distance_rows(points, out=held[2:22])
    torch.testing.assert_close(held[2:22], distance_rows(points), rtol=0, atol=0)
    assert not held[:2].any()
    assert not held[22:].any()
