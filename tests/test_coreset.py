"""Greedy k-centre against the reference, and against the plain float64 loop where rounding is cruel."""

import itertools
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.random_projection import SparseRandomProjection
from torch.utils._python_dispatch import TorchDispatchMode

from lsfa_cli import greedy_blocks
from lsfa_cli.coreset import coreset_count, greedy_coreset, random_coreset, random_projection
from lsfa_cli.greedy_blocks import GreedyBlocks
from lsfa_cli.half_distances import distance_rows, distance_targets
from lsfa_cli.product_rounding import FLOAT32_ROUNDING, FLOAT64_ROUNDING, ExpansionBound, squared_distances
from lsfa_cli.tensor_bounds import TensorBound, rounding_residual


def plain_greedy(points: np.ndarray, count: int, start: int = 0) -> np.ndarray:
    """The definition: one pick, one pass over all points, distances by differences in float64."""
    points = points.astype(np.float64)
    picks = [start]
    nearest = np.full(len(points), np.inf)
    difference = np.empty_like(points)
    while len(picks) < count:
        np.subtract(points, points[picks[-1]], out=difference)
        nearest = np.minimum(nearest, np.einsum("ij,ij->i", difference, difference))
        farthest = int(np.argmax(nearest))
        if nearest[farthest] == 0:
            break
        picks.append(farthest)
    return np.array(picks)


def random_points(total: int, dimension: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((total, dimension)).astype(np.float32)


def clustered_points(total: int, dimension: int) -> np.ndarray:
    """Clusters of very different width, and a fifth of the rows copies of others."""
    rng = np.random.default_rng(1)
    centres = 5.0 * rng.standard_normal((60, dimension))
    width = 10.0 ** rng.uniform(-4, 0, (60, 1))
    cluster = rng.integers(0, 60, total)
    points = (centres[cluster] + width[cluster] * rng.standard_normal((total, dimension))).astype(np.float32)
    copies = rng.choice(total, total // 5, replace=False)
    points[copies] = points[rng.integers(0, total, len(copies))]
    return points


def go(way: str, patch: pytest.MonkeyPatch) -> None:
    """Make the picks on the host with products in one type or the other at first, or as on a device."""
    patch.setattr(greedy_blocks, "multiplies_bfloat16", lambda _: way == "bf16")
    if way == "device":  # which is the processor, by another name
        patch.setattr(greedy_blocks, "GreedyBlocks", lambda features, count, _: GreedyBlocks(features, count, "cpu:0"))


WAYS = ("fp32", "bf16", "device")


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """All ways of making the picks."""
    go(request.param, monkeypatch)
    return str(request.param)


@pytest.fixture
def vectors(shared: Callable[[str], Path]) -> dict[str, np.ndarray]:
    with np.load(shared("vectors/coreset.npz")) as stored:
        return dict(stored)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(("name", "asked"), [("random", 200), ("duplicates", 200), ("exhausted", 100)])
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_order_and_distances_equal_the_reference(
    vectors: dict[str, np.ndarray], name: str, asked: int, offset: float
) -> None:
    points, order = vectors[f"{name}.points"], vectors[f"{name}.order"]
    picks = greedy_coreset(points.astype(np.float64) + offset if offset else points, asked)
    np.testing.assert_array_equal(picks, order)
    distance = np.full(len(points), np.inf)
    for step, pick in enumerate(picks):
        assert distance[pick] == pytest.approx(vectors[f"{name}.min_distance"][step], rel=1e-5)
        distance = np.minimum(distance, np.linalg.norm(points - points[pick], axis=1))
    assert distance.max() == pytest.approx(float(vectors[f"{name}.covering_radius"]), rel=1e-5)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("make", [random_points, clustered_points])
def test_equals_the_plain_loop_on_20000_points(make: Callable[[int, int], np.ndarray]) -> None:
    points = make(20_000, 64)
    np.testing.assert_array_equal(greedy_coreset(points, 400), plain_greedy(points, 400))


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("make", [random_points, clustered_points])
def test_equals_the_plain_loop_on_4000_points(make: Callable[[int, int], np.ndarray]) -> None:
    points = make(4000, 16)
    np.testing.assert_array_equal(greedy_coreset(points, 250), plain_greedy(points, 250))


@pytest.mark.usefixtures("way")
def test_a_large_offset_changes_nothing() -> None:
    # Whole numbers, so that the moved points differ by exactly as much as the others.
    points = np.random.default_rng(2).integers(-50, 50, (3000, 12)).astype(np.float64)
    points[1000:1500] = points[:500]
    expected = plain_greedy(points, 400)
    np.testing.assert_array_equal(greedy_coreset(points, 400), expected)
    np.testing.assert_array_equal(greedy_coreset((points + 2.0**17).astype(np.float32), 400), expected)
    np.testing.assert_array_equal(greedy_coreset(points + 2.0**45, 400), expected)


@pytest.mark.usefixtures("way")
def test_stops_when_only_copies_are_left() -> None:
    distinct = np.random.default_rng(3).standard_normal((40, 16))
    copies = np.concatenate([np.arange(40), np.random.default_rng(4).integers(0, 40, 2960)])
    for offset in (0.0, 3e4, 1e9):
        points = (distinct + offset)[copies]
        picks = greedy_coreset(points, 3000)
        assert len(picks) == 40
        np.testing.assert_array_equal(picks, plain_greedy(points, 3000))


@pytest.mark.usefixtures("way")
def test_clusters_far_narrower_than_float32_products_can_see() -> None:
    rng = np.random.default_rng(5)
    points = np.concatenate([centre + 1e-5 * rng.standard_normal((500, 8)) for centre in (-100.0, 0.0, 100.0)])
    np.testing.assert_array_equal(greedy_coreset(points, 300), plain_greedy(points, 300))


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("scale", [1e-200, 1e-30, 1e30, 1e200])
def test_the_unit_does_not_matter(scale: float) -> None:
    points = random_points(1500, 5).astype(np.float64)
    np.testing.assert_array_equal(greedy_coreset(points * scale, 100), plain_greedy(points, 100))


@settings(max_examples=150, deadline=None)
@given(
    st.integers(1, 60),
    st.integers(1, 4),
    st.integers(1, 4),
    st.integers(0, 2**32 - 1),
    st.sampled_from([0, 1000]),
    st.data(),
)
def test_ties_take_the_lowest_index(
    total: int, dimension: int, spread: int, seed: int, offset: int, data: st.DataObject
) -> None:
    # A small lattice: ties at every pick, copies everywhere; blocks and chunks small enough to cross their borders.
    points = np.random.default_rng(seed).integers(-spread, spread + 1, (total, dimension)).astype(np.float64) + offset
    start, count = data.draw(st.integers(0, total - 1)), data.draw(st.integers(1, total))
    expected = plain_greedy(points, count, start)
    for way, sizes in itertools.product(WAYS, ((1, 2, 7, 4), (4, 9, 5, 40), (16, 16, 5, 1), (512, 4096, 4096, 2**20))):
        with pytest.MonkeyPatch.context() as patch:
            for name, size in zip(("BLOCK_SIZE", "POOL_SIZE", "CHUNK_ROWS", "PRODUCTS"), sizes, strict=True):
                patch.setattr(greedy_blocks, name, size)
            patch.setattr(greedy_blocks, "PICKS_TOGETHER", 3)
            go(way, patch)
            np.testing.assert_array_equal(greedy_coreset(points, count, start=start), expected)


@pytest.mark.usefixtures("way")
def test_more_tied_points_than_a_block_holds() -> None:
    # The 800 ends of a cross, all at the same distance from the start and nearly all from each other.
    assert greedy_blocks.BLOCK_SIZE < 800
    points = np.concatenate([np.zeros((1, 400)), np.eye(400), -np.eye(400)[::-1]]).astype(np.float32)
    np.testing.assert_array_equal(greedy_coreset(points, 801), plain_greedy(points, 801))


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("make", [random_points, clustered_points])
def test_input_is_taken_as_it_comes(make: Callable[[int, int], np.ndarray]) -> None:
    points = make(700, 6)
    wide = np.repeat(points, 2, axis=1)
    np.testing.assert_array_equal(greedy_coreset(wide[:, ::2], 60), greedy_coreset(points, 60))
    half = points.astype(np.float16)
    np.testing.assert_array_equal(greedy_coreset(half, 60), plain_greedy(half, 60))
    np.testing.assert_array_equal(greedy_coreset(points, 60, start=41), plain_greedy(points, 60, 41))


@pytest.mark.usefixtures("way")
def test_all_points_and_one_point() -> None:
    points = random_points(600, 3)
    assert sorted(greedy_coreset(points, 600)) == list(range(600))
    assert greedy_coreset(points, 1, start=7).tolist() == [7]
    assert greedy_coreset(np.zeros((5, 2)), 5, start=3).tolist() == [3]
    assert greedy_coreset(points, 4).dtype == np.int64


@pytest.mark.usefixtures("way")
def test_the_smallest_number_is_not_nothing() -> None:
    assert greedy_coreset(np.array([[0.0], [5e-324], [0.0]]), 3).tolist() == [0, 1]
    assert greedy_coreset(np.array([[-1.7e308], [1.7e308], [0.0]]), 3).tolist() == [0, 1, 2]


def test_points_below_the_rounding_of_products_are_told_apart_by_finer_ones(way: str) -> None:
    # A wide part and a noise floor, as a coreset of images with a dark background has: picks end in the noise.
    rng = np.random.default_rng(6)
    points = np.concatenate([rng.standard_normal((150, 16)), 3.0 + 1e-4 * rng.standard_normal((2000, 16))])
    kinds: list[torch.dtype] = []
    compute_in = GreedyBlocks._compute_in

    def recorded(greedy: GreedyBlocks, kind: torch.dtype) -> None:
        kinds.append(kind)
        compute_in(greedy, kind)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GreedyBlocks, "_compute_in", recorded)
        picks = greedy_coreset(points, 400)
    assert kinds == [*([torch.bfloat16] if way == "bf16" else []), torch.float32, torch.float64]
    np.testing.assert_array_equal(picks, plain_greedy(points, 400))


@pytest.mark.usefixtures("way")
def test_wide_points_and_a_noise_floor() -> None:
    rng = np.random.default_rng(7)
    points = np.concatenate([rng.standard_normal((150, 16)), 3.0 + 1e-4 * rng.standard_normal((2000, 16))])
    np.testing.assert_array_equal(greedy_coreset(points, 400), plain_greedy(points, 400))


class Looks(TorchDispatchMode):
    """Counts what makes the host wait for a device: values that it reads, sizes that depend on values."""

    WAITING = (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default)

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += function in self.WAITING
        return function(*args, **(kwargs or {}))


def test_the_host_looks_once_in_many_choices(monkeypatch: pytest.MonkeyPatch) -> None:
    transfers: list[int] = []
    go("device", monkeypatch)
    tolist = torch.Tensor.tolist
    monkeypatch.setattr(torch.Tensor, "tolist", lambda choices: transfers.append(len(choices)) or tolist(choices))
    points = random_points(2000, 8)
    with Looks() as looks:
        picks = greedy_coreset(points, 300)
    np.testing.assert_array_equal(picks, plain_greedy(points, 300))
    assert 0 < looks.count + len(transfers) < 40
    with Looks() as counted:
        int(torch.arange(3)[torch.tensor(1)])  # a tensor of one value as an index, and a value read
    assert counted.count == 2


def test_progress_rises_to_the_count() -> None:
    calls: list[tuple[int, int]] = []
    greedy_coreset(random_points(3000, 4), 500, progress=lambda made, count: calls.append((made, count)))
    made = [call[0] for call in calls]
    assert made == sorted(set(made))
    assert calls[0] == (1, 500)
    assert calls[-1] == (500, 500)
    assert len(calls) > 2


class Held(TorchDispatchMode):
    """Notes the most bytes that tensors made in it hold at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self.known: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = function(*args, **(kwargs or {}))
        for one in made if isinstance(made, tuple | list) else [made]:
            if isinstance(one, torch.Tensor) and one.untyped_storage() not in self.known:
                storage = one.untyped_storage()
                self.known.add(storage)
                self.now += storage.nbytes()
                self.peak = max(self.peak, self.now)
                weakref.finalize(storage, self.release, storage.nbytes())
        return made

    def release(self, count: int) -> None:
        self.now -= count


@pytest.mark.parametrize("way", ["fp32", "bf16"], indirect=True)
@pytest.mark.usefixtures("way")
def test_memory_is_a_few_copies_of_the_points() -> None:
    points = random_points(20_000, 32)
    with Held() as held:
        greedy_coreset(points, 300)
    # One copy for products, some arrays of one value a point, and the buffers of a block; N x N would be 1.6 GB.
    assert 0 < held.peak < 2 * points.nbytes + 40 * len(points) + 4 * 512 * (4 * 4096)


def test_bad_input_is_refused() -> None:
    points = random_points(10, 3)
    for count in (0, -1, 11):
        with pytest.raises(ValueError, match=f"cannot choose {count} points"):
            greedy_coreset(points, count)
    for start in (-1, 10):
        with pytest.raises(ValueError, match=f"start {start} is not"):
            greedy_coreset(points, 2, start=start)
    with pytest.raises(ValueError, match="cannot choose"):
        greedy_coreset(points.ravel(), 2)
    with pytest.raises(ValueError, match="cannot choose"):
        greedy_coreset(np.zeros((0, 3)), 1)
    for value in (np.nan, np.inf, -np.inf):
        spoiled = points.copy()
        spoiled[7, 1] = value
        with pytest.raises(ValueError, match="NaN or infinite"):
            greedy_coreset(spoiled, 2)


@pytest.mark.parametrize("dimension", [1, 33, 1152])
@pytest.mark.parametrize("offset", [0.0, 1.0, 100.0])
@pytest.mark.parametrize(("kind", "rounding"), [(np.float32, FLOAT32_ROUNDING), (np.float64, FLOAT64_ROUNDING)])
def test_the_bounds_hold_for_products(dimension: int, offset: float, kind: type, rounding: float) -> None:
    rng = np.random.default_rng(dimension)
    exact = rng.standard_normal((200, dimension)) * 10.0 ** rng.uniform(-3, 1, (200, 1)) + offset
    rounded = exact.astype(kind)
    norm = np.einsum("ij,ij->i", rounded, rounded)
    approximate = norm[:, None] - 2 * (rounded @ rounded.T) + norm
    true = np.stack([squared_distances(exact, row) for row in exact])
    bound = ExpansionBound(dimension, rounding)
    for own in (norm[:, None], norm[None, :]):  # the norm of either point will do
        assert (bound.upper(approximate, own) >= true).all()
        assert (bound.highest_approximation(true, own) >= approximate).all()
    assert bound.upper(approximate, norm).max() < 1.01 * true.max() + 0.01 * norm.max()  # and are not idle


@pytest.mark.parametrize("dimension", [1, 33, 1152])
@pytest.mark.parametrize("offset", [0.0, 1.0, 100.0])
@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float32, torch.float64])
def test_the_bounds_hold_for_half_distances(dimension: int, offset: float, kind: torch.dtype) -> None:
    rng = np.random.default_rng(dimension)
    exact = rng.standard_normal((200, dimension)) * 10.0 ** rng.uniform(-3, 1, (200, 1)) + offset
    exact = exact.astype(np.float32).astype(np.float64)
    points = torch.from_numpy(exact)
    rounded = points.to(kind)
    rows = distance_rows(rounded)
    approximate = 2 * (distance_targets(rounded) @ rows.T).double()
    true = torch.from_numpy(np.stack([squared_distances(exact, row) for row in exact]))
    norm = rounded.double().square().sum(dim=1)
    residual = rounding_residual(points, rounded) if kind == torch.bfloat16 else torch.zeros(200)
    lost = residual[:, None] + residual
    bound = TensorBound.of(dimension, kind)
    for own in (norm[:, None], norm[None, :]):  # the norm of either point will do
        assert bool((bound.upper(approximate, own).clamp(min=0).sqrt() + lost >= true.sqrt()).all())
        of_rounded = torch.cdist(rounded.double(), rounded.double(), compute_mode="donot_use_mm_for_euclid_dist")
        assert bool((bound.highest_approximation(of_rounded.square(), own) >= approximate).all())
    assert bound.upper(approximate, norm).max() < 1.01 * true.max() + 0.01 * norm.max()  # and are not idle


def test_squared_distances_of_rows_and_of_one_row() -> None:
    rows = np.array([[0.0, 0.0], [3.0, 4.0]])
    np.testing.assert_array_equal(squared_distances(rows, np.array([[0.0, 1.0], [3.0, 4.0]])), [1.0, 0.0])
    np.testing.assert_array_equal(squared_distances(rows, rows[1]), [25.0, 0.0])


def test_random_coreset_is_a_seeded_draw_without_repetition() -> None:
    picks = random_coreset(1000, 100, seed=5)
    assert len(set(picks.tolist())) == 100
    assert picks.min() >= 0
    assert picks.max() < 1000
    assert picks.dtype == np.int64
    np.testing.assert_array_equal(picks, random_coreset(1000, 100, seed=5))
    assert picks.tolist() != random_coreset(1000, 100, seed=6).tolist()
    np.testing.assert_array_equal(picks[:10], random_coreset(1000, 10, seed=5))  # a smaller one begins a larger one
    assert sorted(random_coreset(9, 9, seed=0)) == list(range(9))
    for count in (0, 10):
        with pytest.raises(ValueError, match=f"cannot choose {count} of 9"):
            random_coreset(9, count, seed=0)


@pytest.mark.parametrize(
    ("total", "ratio", "count"), [(1000, 0.1, 100), (100, 0.29, 29), (999, 0.1, 99), (3, 0.1, 1), (7, 1.0, 7)]
)
def test_coreset_count(total: int, ratio: float, count: int) -> None:
    assert coreset_count(total, ratio) == count


@pytest.mark.parametrize(("total", "ratio"), [(0, 0.1), (10, 0.0), (10, 1.5), (10, -0.1), (10, float("nan"))])
def test_coreset_count_refuses(total: int, ratio: float) -> None:
    with pytest.raises(ValueError, match=r"ratio in \(0, 1\]"):
        coreset_count(total, ratio)


def test_projection_equals_scikit_learn() -> None:
    features = random_points(9000, 400)  # more rows than a chunk
    expected = SparseRandomProjection(eps=0.9, random_state=3).fit_transform(features)
    assert expected.shape[1] < 400
    project = random_projection(9000, 400, seed=3)
    reduced = project(features)
    assert reduced.dtype == np.float32
    np.testing.assert_array_equal(reduced, expected)
    np.testing.assert_array_equal(
        project(features[50:60].astype(np.float16)), project(features[50:60].astype(np.float16).astype(np.float32))
    )
    np.testing.assert_array_equal(project(features[50:60]), reduced[50:60])


def test_projection_that_would_not_shrink_returns_the_input() -> None:
    for total, dimension in ((1000, 33), (1, 50), (2, 3)):
        features = random_points(total, dimension)
        np.testing.assert_array_equal(random_projection(total, dimension, seed=0)(features), features)
    assert random_projection(5, 3, seed=0)(random_points(5, 3).astype(np.float64)).dtype == np.float32
