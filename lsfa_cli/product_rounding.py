"""What the rounding of matrix products leaves certain about distances."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lsfa_cli.samples import FloatArray

BFLOAT16_ROUNDING = 2.0**-9
FLOAT32_ROUNDING = 2.0**-24
FLOAT64_ROUNDING = 2.0**-53


@dataclass(frozen=True)
class ExpansionBound:
    """How far |a|^2 - 2 a.b + |b|^2, computed in floating point, can be from the true squared distance r^2 of a and b.

    A product of D terms errs by at most D units of rounding times |a||b|, the norms likewise, the sums and the
    rounding of the coordinates by a few more: the error is at most c (|a| + |b|)^2 with c = (D + 16) `rounding`, and
    some room. As |b| <= |a| + r, that is at most 8 c |a|^2 + 2 c r^2, which knows nothing of b. `norm` is |a|^2.
    """

    dimension: int
    rounding: float

    @property
    def relative(self) -> float:
        """2 c and some room: the part of the error that grows with r^2; with |a|^2 it grows by four times as much."""
        return 2.2 * (self.dimension + 16) * self.rounding

    @property
    def underflow(self) -> float:
        """What numbers too small for float32 add to the error."""
        return (self.dimension + 16) * 2.0**-120

    def _absolute(self, norm: FloatArray | np.floating) -> NDArray[np.float64]:
        return 4 * self.relative * np.asarray(norm, dtype=np.float64) + self.underflow

    def upper(self, approximate: FloatArray, norm: FloatArray | np.floating) -> NDArray[np.float64]:
        """The largest true squared distance that can have given `approximate`."""
        return np.asarray((approximate + self._absolute(norm)) / (1 - self.relative))

    def highest_approximation(self, squared: FloatArray, norm: FloatArray | np.floating) -> NDArray[np.float64]:
        """The largest value that a true squared distance of at most `squared` can give."""
        return np.asarray(squared * (1 + self.relative) + self._absolute(norm))


def squared_distances(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squared distances of rows (n, D) to rows (n, D), or to one row (D,), by differences: 0 for copies."""
    difference = left - right
    return np.asarray(np.einsum("ij,ij->i", difference, difference))
