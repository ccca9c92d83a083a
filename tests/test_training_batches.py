"""Batches: epochs, padding, and where both modalities meet."""

import itertools

import numpy as np
import pytest
import torch

from lsfa_cli.adaptors import build_adaptor
from lsfa_cli.samples import PatchFeatures
from lsfa_cli.standardisation import Standardisation
from lsfa_cli.training_batches import LimitedPatches, adapt_patches, batches, epoch_length, read_batch, shared_rows
from tests.training_parts import XYZ_DIMENSION, SmallSource


@pytest.mark.parametrize(
    ("total", "size", "sizes"),
    [(26, 8, [7, 7, 6, 6]), (16, 8, [8, 8]), (3, 8, [3]), (1, 8, [1]), (9, 8, [5, 4]), (5, 1, [1, 1, 1, 1, 1])],
)
def test_epochs_hold_every_sample_once(total: int, size: int, sizes: list[int]) -> None:
    assert epoch_length(total, size) == len(sizes)
    drawn = batches(total, size, np.random.default_rng(0))
    for _ in range(3):
        epoch = list(itertools.islice(drawn, len(sizes)))
        assert [len(batch) for batch in epoch] == sizes
        assert sorted(itertools.chain(*epoch)) == list(range(total))


def test_epochs_are_seeded_and_differ_from_each_other() -> None:
    first, second, other = (list(itertools.islice(batches(9, 9, np.random.default_rng(s)), 2)) for s in (0, 0, 1))
    assert first == second != other
    assert first[0] != first[1]


def full(values: np.ndarray, valid: np.ndarray) -> PatchFeatures:
    return PatchFeatures(values[valid.ravel()], valid.ravel(), len(valid))


@pytest.mark.parametrize(("rgb_grid", "xyz_grid"), [(28, 56), (4, 8), (7, 56), (5, 8), (8, 4), (6, 6)])
def test_shared_rows_equal_plain_loops(rgb_grid: int, xyz_grid: int) -> None:
    generator = np.random.default_rng(0)
    rgb_valid = generator.random((rgb_grid, rgb_grid)) < 0.8
    xyz_valid = generator.random((xyz_grid, xyz_grid)) < 0.4
    # The value of a patch is its own position, so that rows can be followed.
    rgb = full(np.arange(rgb_grid**2)[:, None], rgb_valid)
    xyz = full(np.arange(xyz_grid**2)[:, None], xyz_valid)
    expected = []
    for row, column in itertools.product(range(xyz_grid), repeat=2):
        native = (row * rgb_grid // xyz_grid, column * rgb_grid // xyz_grid)
        if xyz_valid[row, column] and rgb_valid[native]:
            expected.append((native[0] * rgb_grid + native[1], row * xyz_grid + column))
    rgb_rows, xyz_rows = shared_rows(rgb, xyz)
    found = list(zip(rgb.values[rgb_rows, 0].tolist(), xyz.values[xyz_rows, 0].tolist(), strict=True))
    assert found == expected
    assert len(found) > 0


def test_read_batch_standardises_the_modalities_asked_for() -> None:
    source = SmallSource(4)
    both = read_batch(source, [2, 0], {"rgb": Standardisation(1.0, 2.0), "xyz": Standardisation(0.0, 1.0)}, "cpu")
    assert both.samples == (2, 0)
    expected = (source[2]["rgb"].values.astype(np.float32) - 1) / 2
    np.testing.assert_array_equal(both.patches["rgb"][0].numpy(), expected)
    assert [len(part) for part in both.patches["xyz"]] == [25, 15]
    assert [len(rows.rgb) for rows in both.shared] == [25, 15]
    alone = read_batch(source, [2, 0], {"xyz": Standardisation(0.0, 1.0)}, "cpu")
    assert alone.shared is None
    assert list(alone.patches) == ["xyz"]


@pytest.mark.parametrize("lengths", [(5, 3, 0), (4, 4), (0, 0), (6,)])
def test_padding_changes_nothing(lengths: tuple[int, ...]) -> None:
    adaptor = build_adaptor("encoder_1", 6, start="random", seed=0)
    parts = [torch.randn(length, 6, generator=torch.Generator().manual_seed(length)) for length in lengths]
    adapted = adapt_patches(adaptor, parts)
    assert [tuple(part.shape) for part in adapted] == [(length, 6) for length in lengths]
    for part, together in zip(parts, adapted, strict=True):
        if len(part) > 0:
            torch.testing.assert_close(together, adaptor(part[None])[0], rtol=1e-5, atol=1e-5)


def test_samples_of_one_modality_are_limited_to_a_seeded_subset() -> None:
    source = SmallSource(3)
    limited = LimitedPatches(source, ["xyz"], 10, seed=1)
    for index in range(3):
        whole, part, again = source[index]["xyz"], limited[index]["xyz"], limited[index]["xyz"]
        assert part.values.shape == (10, XYZ_DIMENSION)
        assert part.valid.sum() == 10
        assert not (part.valid & ~whole.valid).any()
        np.testing.assert_array_equal(part.values, whole.values[part.valid[whole.valid]])
        np.testing.assert_array_equal(part.values, again.values)
    assert limited.limited
    other = LimitedPatches(source, ["xyz"], 10, seed=2)
    assert any(not np.array_equal(other[index]["xyz"].valid, limited[index]["xyz"].valid) for index in range(3))


def test_small_samples_and_both_modalities_stay_whole() -> None:
    both = LimitedPatches(SmallSource(2), ["rgb", "xyz"], 10, seed=0)
    assert len(both[0]["xyz"].values) > 10
    alone = LimitedPatches(SmallSource(2), ["xyz"], 25, seed=0)
    np.testing.assert_array_equal(alone[0]["xyz"].values, SmallSource(2)[0]["xyz"].values)
    assert not both.limited
    assert not alone.limited
