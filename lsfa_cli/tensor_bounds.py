"""The bounds of `product_rounding` for tensors on any device, in float64."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from lsfa_cli.product_rounding import BFLOAT16_ROUNDING, FLOAT32_ROUNDING, FLOAT64_ROUNDING, ExpansionBound


@contextlib.contextmanager
def exact_products() -> Iterator[None]:
    """Products of float32 in float32, also where a program lets PyTorch take TF32 or bfloat16 for them."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@dataclass(frozen=True)
class TensorBound:
    """`ExpansionBound` for tensors; nothing goes back to the host.

    Products of bfloat16 are added up in float32 and then rounded: `result` is the largest relative error of that. The
    bounds are for the distances of the rounded points; how far those of the points are from them, their
    `rounding_residual` tells.
    """

    bound: ExpansionBound
    result: float = 0.0

    @classmethod
    def of(cls, dimension: int, kind: torch.dtype) -> "TensorBound":
        """For products of rows of so many values of a type, computed under `exact_products`."""
        if kind == torch.bfloat16:
            return cls(ExpansionBound(dimension, FLOAT32_ROUNDING), 2 * BFLOAT16_ROUNDING)
        return cls(ExpansionBound(dimension, FLOAT64_ROUNDING if kind == torch.float64 else FLOAT32_ROUNDING))

    def _absolute(self, norm: Tensor) -> Tensor:
        return 4 * self.bound.relative * norm.double() + self.bound.underflow

    def upper(self, approximate: Tensor, norm: Tensor) -> Tensor:
        """The largest true squared distance that can have given `approximate`, which may lie below 0."""
        product = approximate.to(torch.float64, copy=True).clamp_(min=0)
        return product.mul_(1 + self.result).add_(self._absolute(norm)).div_(1 - self.bound.relative)

    def highest_approximation(self, squared: Tensor, norm: Tensor) -> Tensor:
        """The largest value that a true squared distance of at most `squared` can give."""
        return (squared.double() * (1 + self.bound.relative) + self._absolute(norm)) * (1 + self.result)


def rounding_residual(points: Tensor, rounded: Tensor) -> Tensor:
    """At most how far (n,) each of the points (n, D), themselves rounded to float32, is from its row of bfloat16."""
    lost = torch.linalg.vector_norm(points - rounded, dim=1)
    length = torch.linalg.vector_norm(rounded, dim=1, dtype=lost.dtype)
    residual: Tensor = (1 + 2.0**-10) * lost + 2.0**-22 * length
    return residual
