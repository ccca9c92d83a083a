"""Rows arranged so that one product gives half their squared distances, in any floating-point type.

A row b becomes (b, |b|^2 / 2, 1) and a target a (-a, 1, |a|^2 / 2), so that their product is |a - b|^2 / 2. That is
small for near points, where the rounding of the result, which is relative, does least harm. In bfloat16 the half
squares take three numbers, which together hold as much as one of float32.
"""

import torch
from torch import Tensor

ROUNDED_PIECES = 3  # numbers of bfloat16 that hold one of float32


def pieces_of(kind: torch.dtype) -> int:
    """How many numbers of a type hold half a squared length."""
    return ROUNDED_PIECES if kind == torch.bfloat16 else 1


def half_squares(points: Tensor) -> Tensor:
    """(n, pieces) half the squared lengths of the rows of (n, D), in their type."""
    if points.dtype != torch.bfloat16:
        return points.square().sum(dim=1, keepdim=True) / 2
    rest = points.float().square().sum(dim=1) / 2
    pieces = []
    for _ in range(ROUNDED_PIECES):
        pieces.append(rest.bfloat16())
        rest = rest - pieces[-1].float()
    return torch.stack(pieces, dim=1)


def distance_rows(points: Tensor, out: Tensor | None = None) -> Tensor:
    """(n, D + 2 pieces) rows of a product, of (n, D) points in the type of the product; `out` where it is given."""
    halves = half_squares(points)
    return torch.cat([points, halves, torch.ones_like(halves)], dim=1, out=out)


def distance_targets(points: Tensor) -> Tensor:
    """(n, D + 2 pieces): the products of these with `distance_rows` are half the squared distances."""
    halves = half_squares(points)
    return torch.cat([-points, torch.ones_like(halves), halves], dim=1)
