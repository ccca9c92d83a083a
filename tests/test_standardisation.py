"""One mean and one deviation a modality, streamed."""

from collections.abc import Mapping

import numpy as np
import pytest

from lsfa_cli.errors import DataError
from lsfa_cli.samples import Modality, PatchFeatures
from lsfa_cli.standardisation import Standardisation, standardise


class Listed:
    """Training samples with the given xyz values, everything valid on a grid just large enough."""

    def __init__(self, values: list[np.ndarray]) -> None:
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: int) -> Mapping[Modality, PatchFeatures]:
        values = self.values[index]
        grid = int(np.ceil(np.sqrt(max(1, len(values)))))
        return {"xyz": PatchFeatures(values, np.arange(grid * grid) < len(values), grid)}


def test_by_hand() -> None:
    # 1, 3 and 5, 7, 9: mean 25 / 5 = 5; squares 16 + 4 + 0 + 4 + 16 = 40, over 5 is 8.
    source = Listed([np.array([[1.0], [3.0]]), np.array([[5.0], [7.0], [9.0]])])
    assert standardise(source, "xyz") == pytest.approx((5.0, np.sqrt(8)), rel=1e-15)


def test_streaming_equals_all_at_once_in_float64() -> None:
    generator = np.random.default_rng(0)
    # A large offset over a small deviation is where the difference of mean square and squared mean fails.
    values = [generator.normal(3000, 0.5, (count, 7)).astype(np.float32) for count in (1, 50, 3, 0, 200)]
    everything = np.concatenate([part.ravel() for part in values]).astype(np.float64)
    found = standardise(Listed(values), "xyz")
    assert found.mean == pytest.approx(everything.mean(), rel=1e-14)
    assert found.deviation == pytest.approx(everything.std(), rel=1e-10)


def test_half_precision_is_summed_in_double() -> None:
    values = np.full((3000, 40), 2.0, np.float16)
    values[0, 0] = 1.0
    count = values.size
    found = standardise(Listed([values]), "xyz")
    assert found.mean == pytest.approx((2 * count - 1) / count, rel=1e-14)
    assert found.deviation == pytest.approx(np.sqrt((1 / count) * (1 - 1 / count)), rel=1e-12)


def test_apply_is_float32() -> None:
    applied = Standardisation(1.0, 2.0).apply(np.array([[1, 5]], np.float16))
    assert applied.dtype == np.float32
    np.testing.assert_array_equal(applied, [[0, 2]])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([np.ones((4, 2))], "equal"),
        ([np.zeros((0, 2)), np.zeros((0, 2))], "no training sample has a valid xyz patch"),
        ([np.ones((4, 2)), np.array([[np.nan, 1.0]])], "sample 1"),
        ([np.array([[np.inf, 1.0]])], "not finite"),
    ],
)
def test_features_without_a_scale_are_refused(values: list[np.ndarray], message: str) -> None:
    with pytest.raises(DataError, match=message):
        standardise(Listed(values), "xyz")
