"""The bounds of `product_rounding` for tensors on any device, in float64."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from lsfa_cli.product_rounding import FLOAT32_ROUNDING, FLOAT64_ROUNDING, ExpansionBound


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
    """`ExpansionBound` for tensors; nothing goes back to the host."""

    bound: ExpansionBound

    @classmethod
    def of(cls, dimension: int, kind: torch.dtype) -> "TensorBound":
        """For products of rows of so many values of a type, computed under `exact_products`."""
        rounding = FLOAT64_ROUNDING if kind == torch.float64 else FLOAT32_ROUNDING
        return cls(ExpansionBound(dimension, rounding))

    def _absolute(self, norm: Tensor) -> Tensor:
        return 4 * self.bound.relative * norm.double() + self.bound.underflow

    def lower(self, approximate: Tensor, norm: Tensor) -> Tensor:
        """The least true squared distance that can have given `approximate`."""
        return (approximate.double() - self._absolute(norm)) / (1 + self.bound.relative)

    def upper(self, approximate: Tensor, norm: Tensor) -> Tensor:
        """The largest true squared distance that can have given `approximate`."""
        return (approximate.double() + self._absolute(norm)) / (1 - self.bound.relative)

    def highest_approximation(self, squared: Tensor, norm: Tensor) -> Tensor:
        """The largest value that a true squared distance of at most `squared` can give."""
        return squared.double() * (1 + self.bound.relative) + self._absolute(norm)
