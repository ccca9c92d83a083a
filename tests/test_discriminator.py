"""The discriminator of pasted defects: its parts beside plain twins, what it learns, and what it refuses."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lsfa_cli import discriminator
from lsfa_cli.discriminator import (
    ChannelStatistics,
    DiscriminatorNetwork,
    DiscriminatorOptions,
    channel_statistics,
    described,
    evidence,
    image_scores,
    least_touched,
    load_discriminator,
    neighbourhood_means,
    patch_labels,
    shuffled_places,
    train_discriminator,
)
from lsfa_cli.errors import DataError
from lsfa_cli.samples import Modality, PatchFeatures

GRID, DIMENSION = 8, 5
OPTIONS = DiscriminatorOptions(
    steps=150, batch_size=64, width=16, dropout=0.2, learning_rate=1e-2, shuffled=False, seed=3, device="cpu"
)


def patches(seed: int, *, grid: int = GRID, share_valid: float = 0.7) -> PatchFeatures:
    generator = np.random.default_rng(seed)
    valid = generator.random(grid * grid) < share_valid
    values = generator.standard_normal((int(valid.sum()), DIMENSION)) * [1, 2, 3, 0.1, 10] + [0, 5, -5, 0, 100]
    return PatchFeatures(values.astype(np.float16), valid, grid)


class Normal:
    """Training samples as they are."""

    def __init__(self, count: int = 4) -> None:
        self._samples = [patches(seed) for seed in range(count)]

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> Mapping[Modality, PatchFeatures]:
        return {"xyz": self._samples[index]}


class Pasted:
    """Samples with a square whose first channel is higher: a defect that is easily told."""

    def __init__(
        self, count: int = 6, *, shift: float = 4.0, touched: bool = True, untouched: bool = True, grid: int = GRID
    ) -> None:
        self._samples, self._shares = [], []
        self.part = np.ones((grid, grid), dtype=bool)
        for seed in range(count):
            generator = np.random.default_rng(100 + seed)
            shares = np.zeros((grid, grid))
            row, column = generator.integers(0, grid - 3, 2)
            if touched:
                shares[row : row + 3, column : column + 3] = 1.0
                shares[row, column] = 0.2  # neither touched nor untouched
            if not untouched:
                shares[shares == 0] = 0.1
            one = patches(100 + seed, grid=grid)
            values = one.values.astype(np.float32)
            values[:, 0] += shift * shares.reshape(-1)[one.valid]
            self._samples.append(PatchFeatures(values.astype(np.float16), one.valid, grid))
            self._shares.append(shares.reshape(-1))

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> PatchFeatures:
        return self._samples[index]

    def shares(self, index: int) -> np.ndarray:
        return self._shares[index]

    least_share = 0.3

    def on_part(self, index: int) -> np.ndarray:
        return self.part.reshape(-1)


def plain_means(one: PatchFeatures) -> np.ndarray:
    """The mean over valid neighbours, patch by patch."""
    places = {int(place): row for row, place in enumerate(np.flatnonzero(one.valid))}
    means = []
    for place in places:
        row, column = divmod(place, one.grid)
        around = [
            one.values[places[other]].astype(np.float64)
            for down in (-1, 0, 1)
            for across in (-1, 0, 1)
            if 0 <= row + down < one.grid and 0 <= column + across < one.grid
            for other in [(row + down) * one.grid + column + across]
            if other in places
        ]
        means.append(np.mean(around, axis=0))
    return np.array(means).reshape(-1, one.values.shape[1])


@given(seed=st.integers(0, 10_000), grid=st.integers(1, 9), share=st.floats(0, 1))
def test_neighbourhood_means_are_those_of_the_plain_twin(seed: int, grid: int, share: float) -> None:
    one = patches(seed, grid=grid, share_valid=share)
    assert np.allclose(neighbourhood_means(one), plain_means(one), rtol=1e-5, atol=1e-4)


def test_a_cloud_has_no_neighbourhood() -> None:
    with pytest.raises(ValueError, match="raster"):
        neighbourhood_means(PatchFeatures(np.ones((3, 2)), np.ones(3, dtype=bool), 0))


def test_labels_by_hand() -> None:
    shares = np.array([0.0, 1e-9, 0.2, 0.2999999, 0.3, 1.0])
    assert patch_labels(shares, 0.3).tolist() == [0, -1, -1, -1, 1, 1]


@pytest.mark.parametrize(
    ("size", "grid", "pixels"), [(224, 56, 5), (224, 28, 5), (112, 14, 5), (224, 14, 5), (224, 112, 2), (224, 224, 1)]
)
def test_as_many_pixels_touch_a_large_patch_as_a_small_one(size: int, grid: int, pixels: int) -> None:
    area = (size // grid) ** 2
    shares = np.arange(1, area + 1) / area
    assert patch_labels(shares, least_touched(size, grid)).tolist() == [-1] * (pixels - 1) + [1] * (area - pixels + 1)


def test_channel_statistics_are_those_of_all_patches_together() -> None:
    normal = Normal()
    together = np.concatenate([normal[index]["xyz"].values for index in range(len(normal))]).astype(np.float64)
    found = channel_statistics(normal, "xyz")
    assert np.allclose(found.mean, together.mean(axis=0), rtol=1e-6)
    assert np.allclose(found.deviation, together.std(axis=0), rtol=1e-6)


def test_a_channel_that_does_not_vary_is_only_centred() -> None:
    normal = Normal(1)
    normal[0]["xyz"].values[:, 2] = 7
    found = channel_statistics(normal, "xyz")
    assert (found.mean[2], found.deviation[2]) == (7, 1)
    assert np.isfinite(described(normal[0]["xyz"], found)).all()


def test_statistics_of_no_patches_are_refused() -> None:
    normal = Normal(1)
    normal._samples = [PatchFeatures(np.zeros((0, DIMENSION)), np.zeros(4, dtype=bool), 2)]
    with pytest.raises(DataError, match="no training sample has a valid xyz patch"):
        channel_statistics(normal, "xyz")


def test_it_learns_what_is_easily_told() -> None:
    steps: list[int] = []
    result = train_discriminator(Normal(), Pasted(), "xyz", OPTIONS, on_step=steps.append)
    assert steps == list(range(1, OPTIONS.steps + 1))
    assert result.curves["loss"][-20:].mean() < 0.2 < 0.6 < result.curves["loss"][0]
    assert result.curves["accuracy"][-20:].mean() > 0.93
    trained = load_discriminator(result.parameters, result.statistics)
    for seed_of_new in (0, 3):
        new = Pasted(8)
        logits = trained.logits(new[seed_of_new])
        shares = new.shares(seed_of_new)[new[seed_of_new].valid]
        assert logits[shares > 0.3].min() > np.median(logits[shares == 0])


def test_shuffled_masks_teach_nothing_of_the_defects() -> None:
    # On a grid so large that the mask of another sample hardly ever lies on a sample's own defect. What single controls
    # have learned is noise of either sign, so it is their mean that says something.
    learned, everything = Pasted(24, grid=24), Pasted(32, grid=24)

    def told(options: DiscriminatorOptions) -> float:
        result = train_discriminator(Normal(), learned, "xyz", options)
        trained = load_discriminator(result.parameters, result.statistics)
        shares = [everything.shares(index)[everything[index].valid] for index in range(24, 32)]
        logits = [trained.logits(everything[index]) for index in range(24, 32)]
        pairs = zip(logits, shares, strict=True)
        return float(np.mean([(one[share > 0.3][:, None] > one[share == 0]).mean() for one, share in pairs]))

    assert told(OPTIONS) > 0.95
    controls = [told(replace(OPTIONS, shuffled=True, seed=seed)) for seed in (3, 4, 5)]
    assert np.mean(controls) < 0.75


@given(count=st.integers(2, 60), seed=st.integers(0, 1000))
def test_shuffling_keeps_no_place(count: int, seed: int) -> None:
    places = shuffled_places(count, seed)
    assert sorted(places.tolist()) == list(range(count))
    assert (places != np.arange(count)).all()
    assert places.tolist() == shuffled_places(count, seed).tolist()


def test_one_mask_cannot_be_shuffled() -> None:
    with pytest.raises(DataError, match="single"):
        shuffled_places(1, 0)


def test_equal_seeds_give_equal_bytes_and_leave_the_global_generator_alone() -> None:
    before = torch.random.get_rng_state()
    first, second = (train_discriminator(Normal(), Pasted(), "xyz", OPTIONS) for _ in range(2))
    other = train_discriminator(
        Normal(), Pasted(), "xyz", DiscriminatorOptions(**{**vars(OPTIONS), "seed": OPTIONS.seed + 1})
    )
    assert torch.equal(torch.random.get_rng_state(), before)
    for name, values in first.parameters.items():
        assert values.tobytes() == second.parameters[name].tobytes()
        assert values.tobytes() != other.parameters[name].tobytes()
    assert first.curves["loss"].tobytes() == second.curves["loss"].tobytes()


def test_too_many_patches_are_drawn_from_by_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discriminator, "POOL_BYTES", 6 * 4 * 4 * DIMENSION * 2)
    statistics = channel_statistics(Normal(), "xyz")
    pool = discriminator._pool(Pasted(), statistics, OPTIONS)
    assert [len(patches) for patches in pool] == [6 * 2, 6 * 3, 0]
    half = Pasted()
    half.part[:, GRID // 2 :] = False
    pool = discriminator._pool(half, statistics, OPTIONS)
    assert [len(patches) for patches in pool] == [6 * 2, 6 * 3, 6 * 3]
    assert sum(patches.nbytes for patches in pool) <= discriminator.POOL_BYTES
    again = discriminator._pool(half, statistics, OPTIONS)
    assert all(np.array_equal(one, other) for one, other in zip(pool, again, strict=True))


@pytest.mark.parametrize(
    ("on_part", "beside", "expected"), [(9, 9, (5, 8, 7)), (9, 0, (5, 15, 0)), (0, 9, (5, 0, 15)), (1, 1, (5, 8, 7))]
)
def test_half_of_the_untouched_patches_of_a_batch_are_on_the_part(
    on_part: int, beside: int, expected: tuple[int, int, int]
) -> None:
    sizes = (4, on_part, beside)
    assert discriminator._Pool(*(np.zeros((size, 2), dtype=np.float16) for size in sizes)).counts(21) == expected


def test_untouched_patches_are_told_apart_by_the_part() -> None:
    statistics = channel_statistics(Normal(), "xyz")
    pasted = Pasted(1)
    pasted.part[:] = False
    pasted.part[:2] = True
    untouched = (pasted.shares(0) == 0)[pasted[0].valid]
    on_part = pasted.on_part(0)[pasted[0].valid]
    values = described(pasted[0], statistics).astype(np.float16)
    pool = discriminator._pool(pasted, statistics, OPTIONS)
    assert np.array_equal(pool.on_part, values[untouched & on_part])
    assert np.array_equal(pool.beside, values[untouched & ~on_part])


def test_batches_are_one_touched_patch_to_three_untouched(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[torch.Tensor] = []
    real = discriminator.functional.binary_cross_entropy_with_logits

    def loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        seen.append(labels)
        return real(logits, labels)

    monkeypatch.setattr(discriminator.functional, "binary_cross_entropy_with_logits", loss)
    train_discriminator(Normal(), Pasted(), "xyz", DiscriminatorOptions(**{**vars(OPTIONS), "steps": 2}))
    assert [(len(labels), int(labels.sum())) for labels in seen] == [(64, 16), (64, 16)]


def test_dropout_drops_while_training_alone() -> None:
    network = DiscriminatorNetwork(DIMENSION, 8, 0.5)
    rows = torch.ones(4, 2 * DIMENSION)
    assert torch.equal(network(rows), network(rows))
    generator = np.random.default_rng(0)
    assert not torch.equal(network(rows, generator), network(rows, generator))


@pytest.mark.parametrize(("missing", "what"), [("touched", "touched"), ("untouched", "untouched")])
def test_nothing_to_learn_from_is_told(missing: str, what: str) -> None:
    with pytest.raises(DataError, match=f"patch that is {what}"):
        train_discriminator(Normal(), Pasted(**{missing: False}), "xyz", OPTIONS)


def test_a_loss_that_is_not_finite_is_told() -> None:
    with pytest.raises(DataError, match="not finite at step"):
        train_discriminator(Normal(), Pasted(), "xyz", DiscriminatorOptions(**{**vars(OPTIONS), "learning_rate": 1e30}))


def test_evidence_by_hand() -> None:
    valid = np.array([True, False, True, False])
    scores = evidence([3.0, -1.0], valid, 1.0, 2.0)
    assert scores == pytest.approx([np.log1p(np.e), 0, np.log1p(np.exp(-1)), 0])
    assert evidence([3.0, -1.0], valid, 1.0, 0.0) == pytest.approx([np.log1p(np.exp(2)), 0, np.log1p(np.exp(-2)), 0])
    assert evidence([], np.zeros(4, dtype=bool), 1.0, 2.0).tolist() == [0.0] * 4


def test_evidence_far_from_normal_is_the_deviation_or_nothing() -> None:
    scores = evidence([1e4, -1e4, 0.0], np.ones(3, dtype=bool), 0.0, 1.0)
    assert scores == pytest.approx([1e4, 0.0, np.log(2)])


def test_image_scores_are_the_highest_values_of_maps() -> None:
    maps = np.array([[[0.0, 2.0], [1.0, -5.0]], [[-3.0, -2.0], [-1.0, -5.0]]], dtype=np.float32)
    assert image_scores(maps).tolist() == [2.0, -1.0]


def test_a_sample_without_patches_has_no_logits() -> None:
    result = train_discriminator(Normal(), Pasted(), "xyz", DiscriminatorOptions(**{**vars(OPTIONS), "steps": 1}))
    trained = load_discriminator(result.parameters, result.statistics)
    assert trained.logits(PatchFeatures(np.zeros((0, DIMENSION)), np.zeros(64, dtype=bool), GRID)).shape == (0,)


def test_parameters_that_do_not_fit_are_refused() -> None:
    statistics = ChannelStatistics(np.zeros(3, np.float32), np.ones(3, np.float32))
    with pytest.raises(ValueError, match=r"first\.weight is missing"):
        load_discriminator({"first.bias": np.zeros(4, np.float32)}, statistics)
