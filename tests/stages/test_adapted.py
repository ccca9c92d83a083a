"""Patches as the bank and the scores take them: foreground, leave-own-out."""

import numpy as np
import pytest

from lsfa_cli.adaptors import ADAPTORS, FittedAdaptor, build_adaptor
from lsfa_cli.maps import score_maps
from lsfa_cli.memory_bank import MemoryBank
from lsfa_cli.projection import repeat_index
from lsfa_cli.samples import Modality, PatchFeatures
from lsfa_cli.stages.adapted import AdaptedSplit, coarse_validity, score_split, touches_part


class Samples:
    """Stands for a split of a features artifact."""

    def __init__(self, rgb: np.ndarray, valid: np.ndarray) -> None:
        self._rgb, self._valid = rgb, valid

    def __len__(self) -> int:
        return len(self._rgb)

    def patches(self, index: int, modality: Modality) -> PatchFeatures:
        valid = self._valid[index]
        if modality == "rgb":
            values = self._rgb[index]
            return PatchFeatures(values, np.ones(len(values), dtype=bool), self.grid("rgb"))
        return PatchFeatures(np.zeros((valid.sum(), 2)), valid, self.grid("xyz"))

    modalities = ("rgb", "xyz")

    def scan_valid(self, index: int) -> np.ndarray:
        return self._valid[index]

    def grid(self, modality: Modality) -> int:
        return int((self._rgb if modality == "rgb" else self._valid).shape[1] ** 0.5)

    def counts(self, modality: Modality) -> np.ndarray:
        return np.full(len(self), self._rgb.shape[1])


def raster(*cells: tuple[int, int], grid: int) -> np.ndarray:
    valid = np.zeros((grid, grid), dtype=bool)
    for cell in cells:
        valid[cell] = True
    return valid.reshape(-1)


@pytest.mark.parametrize(
    ("cells", "grid", "target", "expected"),
    [
        ([(0, 0), (3, 2)], 4, 2, [(0, 0), (1, 1)]),
        ([(1, 0)], 2, 4, [(2, 0), (2, 1), (3, 0), (3, 1)]),
        ([(1, 1)], 3, 2, [(0, 0), (0, 1), (1, 0), (1, 1)]),
        ([(2, 0)], 3, 2, [(1, 0)]),
        ([], 4, 2, []),
    ],
)
def test_coarse_validity(cells: list, grid: int, target: int, expected: list) -> None:
    found = coarse_validity(raster(*cells, grid=grid), grid, target)
    np.testing.assert_array_equal(found, raster(*expected, grid=target))


def test_without_a_scan_every_patch_may_be_the_part() -> None:
    samples = Samples(np.zeros((1, 4, 3), dtype=np.float32), np.zeros((1, 16), dtype=bool))
    assert not touches_part(samples, 0, "rgb").any()
    samples.modalities = ("rgb",)
    assert touches_part(samples, 0, "rgb").tolist() == [True] * 4


def test_foreground_keeps_the_patches_that_touch_the_part() -> None:
    rgb = np.arange(2 * 4 * 3, dtype=np.float32).reshape(2, 4, 3)
    valid = np.stack([raster((0, 0), grid=4), raster((0, 0), (3, 3), grid=4)])
    split = AdaptedSplit(Samples(rgb, valid), "rgb", FittedAdaptor(None, 0.0, 1.0), foreground=True)
    np.testing.assert_array_equal(split.counts(), [1, 2])
    np.testing.assert_array_equal(split[0].values, rgb[0, [0]])
    np.testing.assert_array_equal(split[1].values, rgb[1, [0, 3]])
    np.testing.assert_array_equal(split[1].valid, [True, False, False, True])


def test_a_sample_is_scored_without_its_own_entries() -> None:
    rng = np.random.default_rng(0)
    rgb = rng.normal(size=(3, 16, 5)).astype(np.float32)
    samples = AdaptedSplit(Samples(rgb, np.ones((3, 16), dtype=bool)), "rgb", FittedAdaptor(None, 0.0, 1.0))
    owners = np.repeat(np.arange(3), 16)
    advanced = []
    scores = score_split(samples, MemoryBank(rgb.reshape(-1, 5)), advanced.append, owners=owners)
    assert advanced == [1, 1, 1]
    for index in range(3):
        others = rgb[np.arange(3) != index].reshape(-1, 5)
        distance = np.linalg.norm(rgb[index][:, None] - others[None], axis=2).min(axis=1)
        np.testing.assert_allclose(scores.patches[index], distance, rtol=1e-5)
    with_own = score_split(samples, MemoryBank(rgb.reshape(-1, 5)), advanced.append)
    np.testing.assert_allclose(with_own.patches, 0, atol=1e-6)


@pytest.mark.parametrize("name", sorted(ADAPTORS))
def test_the_native_image_grid_scores_as_its_56_by_56_duplicates(name: str) -> None:
    """METHOD 2: each 28 x 28 patch repeated 2 x 2 gives the same adapted features, scores and map."""
    rng = np.random.default_rng(1)
    train, test = rng.normal(size=(2, 28 * 28, 24)).astype(np.float32)
    adaptor = FittedAdaptor(build_adaptor(name, 24, start="random", seed=0).eval(), 0.1, 1.2)
    index = repeat_index(28, 56)
    native = adaptor.adapt(PatchFeatures(test, np.ones(784, dtype=bool), 28))
    repeated = adaptor.adapt(PatchFeatures(test[index], np.ones(3136, dtype=bool), 56))
    np.testing.assert_allclose(repeated.values, native.values[index], atol=2e-5)
    bank = MemoryBank(adaptor.adapt(PatchFeatures(train, np.ones(784, dtype=bool), 28)).values)
    one, many = bank.score(native), bank.score(repeated)
    assert many.image_score == pytest.approx(one.image_score, abs=1e-4)
    np.testing.assert_allclose(many.patch_scores, one.patch_scores[index], atol=1e-4)
    np.testing.assert_allclose(score_maps(many.patch_scores[None]), score_maps(one.patch_scores[None]), atol=1e-4)
