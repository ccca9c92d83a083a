"""Memory banks against the reference, brute force in float64, and the ways in which a bank can be awkward."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsfa_cli import memory_bank
from lsfa_cli.errors import DataError, MissingDependencyError, UnknownNameError
from lsfa_cli.memory_bank import MemoryBank, image_score
from lsfa_cli.samples import PatchFeatures
from lsfa_cli.searches import Rows, Search, by_faiss, groups, on_device, pairs, search_of

MakeSearch = Callable[[Rows], Search]
# The search on a device is tried on the processor, where PyTorch's results are those of any device but for rounding.
SEARCHES_TRIED: dict[str, MakeSearch] = {
    "groups": groups.GroupSearch,
    "device": lambda rows: on_device.DeviceSearch(rows, "cpu"),
    "faiss": search_of("faiss", "cpu"),
}


@pytest.fixture(params=SEARCHES_TRIED)
def search(request: pytest.FixtureRequest) -> MakeSearch:
    return SEARCHES_TRIED[request.param]


def plain_search(
    entries: np.ndarray, queries: np.ndarray, exclude: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """All distances, by differences in float64; the lowest index of the least."""
    distance = np.linalg.norm(queries[:, None].astype(np.float64) - entries[None].astype(np.float64), axis=2)
    if exclude is not None:
        distance[:, exclude] = np.inf
    return distance.min(axis=1), distance.argmin(axis=1)


def plain_image_score(entries: np.ndarray, queries: np.ndarray, exclude: np.ndarray | None = None) -> float:
    """METHOD 4.4 word for word, for banks of three allowed entries or more."""
    distance, nearest = plain_search(entries, queries, exclude)
    worst = int(distance.argmax())
    entries = entries.astype(np.float64)
    to_nearest = np.linalg.norm(entries - entries[nearest[worst]], axis=1)
    to_nearest[nearest[worst]] = np.inf
    if exclude is not None:
        to_nearest[exclude] = np.inf
    following = np.argsort(to_nearest, kind="stable")[:2]
    root = np.sqrt(entries.shape[1])
    sums = np.exp(np.linalg.norm(entries[following] - queries[worst].astype(np.float64), axis=1) / root).sum()
    return float((1 - np.exp(distance[worst] / root) / sums) * distance[worst])


def full(values: np.ndarray) -> PatchFeatures:
    grid = int(len(values) ** 0.5)
    return PatchFeatures(values, np.ones(grid * grid, dtype=bool), grid)


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.fixture
def vectors(shared: Callable[[str], Path]) -> dict[str, np.ndarray]:
    with np.load(shared("vectors/patchcore_score.npz")) as stored:
        return dict(stored)


@pytest.mark.parametrize("image", range(4))
def test_scores_equal_the_reference(vectors: dict[str, np.ndarray], image: int) -> None:
    bank, queries = MemoryBank(vectors["bank"]), vectors["queries"][image]
    found = bank.search(queries)
    np.testing.assert_allclose(found.distance, vectors["min_distance"][image], atol=1e-6)
    np.testing.assert_array_equal(found.index, vectors["nearest"][image])
    score = bank.score(full(queries))
    np.testing.assert_allclose(score.patch_scores, vectors["min_distance"][image], atol=1e-6)
    assert score.patch_scores.max() == pytest.approx(vectors["s_star"][image], abs=1e-6)
    assert score.image_score == pytest.approx(vectors["image_score"][image], abs=1e-6)
    if image < 3:  # where all distances are 0, these are one choice of many
        assert score.worst_patch == vectors["patch"][image]
        assert score.nearest == vectors["m_star"][image]
        weight = image_score(1.0, vectors["two_next_distance"][image] - vectors["s_star"][image] + 1.0, 16)
        assert weight == pytest.approx(vectors["w"][image], abs=1e-6)


def test_search_equals_brute_force(search: MakeSearch) -> None:
    entries, queries = normal(0, 700, 24), normal(1, 300, 24)
    distance, index = plain_search(entries, queries)
    found = MemoryBank(entries, search).search(queries)
    np.testing.assert_array_equal(found.index, index)
    np.testing.assert_allclose(found.distance, distance, rtol=1e-6)
    assert found.distance.dtype == np.float32


def test_search_is_exact_far_from_the_origin(search: MakeSearch) -> None:
    # At 1000, products in float32 are off by more than these distances.
    entries, queries = 1000.0 + 0.01 * normal(2, 400, 16), 1000.0 + 0.01 * normal(3, 100, 16)
    far = np.full((1, 16), -5000.0, np.float32)
    entries = np.concatenate([entries, far])  # so that centring does not save the day
    distance, index = plain_search(entries, queries)
    found = MemoryBank(entries, search).search(queries)
    np.testing.assert_array_equal(found.index, index)
    np.testing.assert_allclose(found.distance, distance, rtol=1e-6)


def test_a_bank_row_is_at_distance_zero_and_ties_take_the_lowest_index(search: MakeSearch) -> None:
    entries = normal(4, 200, 8) + 100.0
    entries[100:] = entries[:100]
    entries[150:] = entries[7]  # 51 copies of row 7
    found = MemoryBank(entries, search).search(entries)
    np.testing.assert_array_equal(found.distance, 0.0)
    np.testing.assert_array_equal(found.index, np.r_[0:100, 0:50, [7] * 50])


def test_zero_has_no_sign() -> None:
    entries = np.array([[1.0, -0.0], [1.0, 0.0], [2.0, 2.0]], np.float32)
    assert MemoryBank(entries).search(np.array([[1.0, 0.0]])).index.tolist() == [0]


@settings(max_examples=100, deadline=None)
@given(
    st.integers(1, 60),
    st.integers(1, 40),
    st.integers(1, 3),
    st.integers(0, 2**32 - 1),
    st.booleans(),
    st.sampled_from([0.0, 512.0]),
)
def test_search_and_score_on_a_lattice(
    count: int, asked: int, dimension: int, seed: int, leave_out: bool, offset: float
) -> None:
    # Whole numbers: ties everywhere, and every distance is exact in both computations.
    rng = np.random.default_rng(seed)
    entries = (rng.integers(-2, 3, (count, dimension)) + offset).astype(np.float32)
    queries = (rng.integers(-3, 4, (asked * asked, dimension)) + offset).astype(np.float32)[: asked**2]
    exclude = rng.random(count) < 0.7 if leave_out else None
    if exclude is not None:
        exclude[rng.integers(count)] = False
    distance, index = plain_search(entries, queries, exclude)
    for name in SEARCHES_TRIED:
        bank = MemoryBank(entries, SEARCHES_TRIED[name])
        score = bank.score(full(queries), exclude)
        np.testing.assert_array_equal(score.patch_scores, distance.astype(np.float32))
        assert score.worst_patch == distance.argmax()
        assert score.nearest == index[score.worst_patch]
        usable = count if exclude is None else int(np.count_nonzero(~exclude))
        expected = plain_image_score(entries, queries, exclude) if usable > 2 else distance.max()
        assert score.image_score == pytest.approx(expected, rel=1e-12, abs=1e-12)
        if exclude is None:
            np.testing.assert_array_equal(bank.search(queries).index, index)


def test_score_equals_the_plain_twin(search: MakeSearch) -> None:
    entries, queries = normal(5, 500, 32), 1.5 * normal(6, 64, 32)
    score = MemoryBank(entries, search).score(full(queries))
    assert score.image_score == pytest.approx(plain_image_score(entries, queries), rel=1e-12)


def test_excluded_entries_are_no_neighbours(search: MakeSearch) -> None:
    # Most of the bank are near copies of the queries, and excluded.
    queries = normal(7, 49, 12)
    own = np.concatenate([queries + 1e-3 * normal(seed, 49, 12) for seed in range(20)])
    others = normal(99, 300, 12)
    entries = np.concatenate([own[:500], others, own[500:]])
    exclude = np.ones(len(entries), dtype=bool)
    exclude[500:800] = False
    score = MemoryBank(entries, search).score(full(queries), exclude)
    distance, index = plain_search(others, queries)
    np.testing.assert_allclose(score.patch_scores, distance, rtol=1e-6)
    assert score.nearest == 500 + index[score.worst_patch]
    assert score.image_score == pytest.approx(plain_image_score(others, queries), rel=1e-12)
    # Without the exclusion the sample would find itself.
    assert MemoryBank(entries, search).score(full(queries)).patch_scores.max() < 0.01


def test_an_excluded_copy_leaves_the_others(search: MakeSearch) -> None:
    entries = np.array([[0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [3.0, 0.0], [9.0, 0.0]], np.float32)
    query = PatchFeatures(np.array([[1.0, 0.0]], np.float32), np.array([True]), 1)
    bank = MemoryBank(entries, search)
    assert bank.score(query, np.array([True, False, False, False, False])).nearest == 1
    score = bank.score(query, np.array([True, True, True, False, False]))
    assert score.nearest == 3
    assert score.patch_scores.tolist() == [2.0]
    assert score.image_score == 2.0  # one other entry only
    with pytest.raises(DataError, match="no entry of the memory bank is left"):
        bank.score(query, np.ones(5, dtype=bool))
    with pytest.raises(ValueError, match="exclude must name all 5"):
        bank.score(query, np.ones(4, dtype=bool))


def test_invalid_patches_score_zero(search: MakeSearch) -> None:
    entries = normal(8, 50, 6)
    valid = np.array([False, True, False, False, True, False, False, False, False])
    values = normal(9, 2, 6)
    score = MemoryBank(entries, search).score(PatchFeatures(values, valid, 3))
    distance, index = plain_search(entries, values)
    np.testing.assert_array_equal(score.patch_scores[~valid], 0.0)
    np.testing.assert_allclose(score.patch_scores[valid], distance, rtol=1e-6)
    worst = int(distance.argmax())
    assert (score.worst_patch, score.nearest) == ((1, 4)[worst], index[worst])


def test_a_sample_without_a_valid_patch_scores_zero(search: MakeSearch) -> None:
    bank = MemoryBank(normal(10, 5, 4), search)
    score = bank.score(PatchFeatures(np.zeros((0, 4), np.float32), np.zeros(9, dtype=bool), 3))
    assert score.patch_scores.tolist() == [0.0] * 9
    assert score[1:] == (0.0, -1, -1)
    assert bank.search(np.zeros((0, 4))).index.shape == (0,)


@pytest.mark.parametrize("count", [1, 2])
def test_a_bank_of_fewer_than_three_entries_does_not_reweight(count: int) -> None:
    entries = np.array([[0.0, 0.0], [6.0, 8.0]], np.float32)[:count]
    score = MemoryBank(entries).score(PatchFeatures(np.array([[0.0, 2.0]], np.float32), np.array([True]), 1))
    assert score.image_score == 2.0
    assert score.patch_scores.tolist() == [2.0]


def test_three_entries_worked_by_hand(search: MakeSearch) -> None:
    entries = np.array([[0.0], [1.0], [5.0]], np.float32)
    score = MemoryBank(entries, search).score(PatchFeatures(np.array([[-2.0]], np.float32), np.array([True]), 1))
    assert score.image_score == pytest.approx(2.0 * (1 - np.exp(2.0) / (np.exp(3.0) + np.exp(7.0))))


def test_image_score_weighs_between_a_half_and_one() -> None:
    assert image_score(4.0, [4.0, 4.0], 16) == pytest.approx(2.0)
    assert image_score(4.0, [1e4, 1e5], 16) == 4.0
    assert image_score(0.0, [3.0, 3.0], 16) == 0.0


def test_image_score_does_not_overflow() -> None:
    # exp(3000 / 1) is beyond float64, but only differences count.
    assert image_score(3000.0, [3000.0, 3000.0 + np.log(3.0)], 1) == pytest.approx(3000.0 * 0.75)
    assert image_score(1e30, [1e30, 1e30], 1) == pytest.approx(5e29)
    assert image_score(0.0, [1e300, 1e300], 1) == 0.0
    assert image_score(2.0, [3.0, np.inf], 4) == 2.0
    assert image_score(2.0, [], 4) == image_score(2.0, [3.0], 4) == 2.0


def test_float16_and_non_contiguous_features() -> None:
    entries, queries = normal(11, 80, 10), normal(12, 25, 10)
    half = MemoryBank(entries.astype(np.float16)).search(queries.astype(np.float16))
    expected = plain_search(entries.astype(np.float16), queries.astype(np.float16))
    np.testing.assert_array_equal(half.index, expected[1])
    np.testing.assert_allclose(half.distance, expected[0], rtol=1e-6)
    strided = MemoryBank(np.asfortranarray(entries)).search(np.repeat(queries, 2, axis=1)[::-1, ::2])
    np.testing.assert_array_equal(strided.index, plain_search(entries, queries[::-1])[1])


def test_the_bank_keeps_its_entries_as_they_are() -> None:
    entries = normal(13, 30, 4)
    bank = MemoryBank(entries)
    np.testing.assert_array_equal(bank.entries, entries)
    assert (len(bank), bank.dimension) == (30, 4)


def test_bad_input_is_refused() -> None:
    entries = normal(14, 20, 4)
    for shape in ((0, 4), (4, 0)):
        with pytest.raises(ValueError, match="needs entries of shape"):
            MemoryBank(np.zeros(shape))
    with pytest.raises(ValueError, match=r"bank entries must have the shape \(n, D\)"):
        MemoryBank(np.zeros(4))
    bank = MemoryBank(entries)
    with pytest.raises(ValueError, match=r"queries must be \(N, 4\)"):
        bank.search(np.zeros((3, 5)))
    with pytest.raises(ValueError, match="2 patch features for 1 valid"):
        bank.score(PatchFeatures(entries[:2], np.array([True]), 1))
    for value in (np.nan, np.inf, -np.inf, 1e30):
        spoiled = entries.copy()
        spoiled[3, 2] = value
        with pytest.raises(ValueError, match="patch features hold NaN"):
            bank.search(spoiled)
        with pytest.raises(ValueError, match="bank entries hold NaN"):
            MemoryBank(spoiled)


def test_scikit_learn_and_torch_are_imported_only_when_needed() -> None:
    modules = "lsfa_cli.memory_bank, lsfa_cli.coreset, lsfa_cli.fusion, lsfa_cli.metrics, lsfa_cli.maps"
    code = f"import sys, {modules}; print([name for name in ('faiss', 'sklearn', 'torch') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_missing_faiss_names_both_packages_and_the_way_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingDependencyError) as caught:
        MemoryBank(np.zeros((2, 2)), search_of("faiss", "cpu"))
    for words in ("pip install faiss-cpu", "faiss-gpu", "--search own"):
        assert words in str(caught.value)


def test_an_unknown_search_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="faiss"):
        search_of("fais", "cpu")


def test_faiss_gets_the_kernels_of_this_processor() -> None:
    # Wheels of faiss bring an OpenBLAS that takes newer processors for very old ones, unless it is told.
    code = """
import os
from threadpoolctl import threadpool_info
def cores(): return {library["architecture"] for library in threadpool_info() if library["internal_api"] == "openblas"}
import numpy
before = cores()
from lsfa_cli.memory_bank import MemoryBank
from lsfa_cli.searches import search_of
MemoryBank(numpy.zeros((2, 2)), search_of("faiss", "cpu"))
print("OPENBLAS_CORETYPE" in os.environ, "Prescott" in cores() - before)
"""
    environment = {name: value for name, value in os.environ.items() if name != "OPENBLAS_CORETYPE"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.split() == ["False", "False"]


def test_a_kernel_that_the_user_chose_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    with by_faiss._openblas_told_the_processor():
        assert os.environ["OPENBLAS_CORETYPE"] == "Haswell"
    assert os.environ["OPENBLAS_CORETYPE"] == "Haswell"


def test_all_searches_give_the_same_bytes(search: MakeSearch) -> None:
    entries, queries = normal(22, 900, 40), normal(23, 256, 40)
    exclude = np.random.default_rng(24).random(900) < 0.2
    expected, found = (MemoryBank(entries, one).score(full(queries), exclude) for one in (groups.GroupSearch, search))
    assert found.patch_scores.tobytes() == expected.patch_scores.tobytes()
    assert found[2:] == expected[2:]
    assert found.image_score == pytest.approx(expected.image_score, rel=1e-14)


def test_rows_of_one_fingerprint_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = normal(17, 300, 5)
    entries[200:] = entries[:100]
    expected = MemoryBank(entries).search(entries)
    monkeypatch.setattr(memory_bank, "_fingerprints", lambda words: words[:, 0] % np.uint64(3))
    found = MemoryBank(entries).search(entries)
    np.testing.assert_array_equal(found.index, expected.index)
    np.testing.assert_array_equal(found.index, np.r_[0:200, 0:100])


def test_more_entries_than_a_group_and_a_block(search: MakeSearch) -> None:
    entries, queries = normal(18, 5000, 12), normal(19, 70, 12)
    exclude = np.random.default_rng(20).random(5000) < 0.4
    distance, index = plain_search(entries, queries, exclude)
    bank = MemoryBank(entries, search)
    squared, found = bank._nearest(queries, exclude)
    np.testing.assert_array_equal(found, index)
    np.testing.assert_allclose(np.sqrt(squared), distance, rtol=1e-12)


@pytest.mark.parametrize("candidates", [0, 1, 64])
def test_what_rounding_leaves_open_is_settled_in_float64(
    candidates: int, search: MakeSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Narrow clusters far from the centre: float32 products cannot tell their points apart.
    rng = np.random.default_rng(21)
    centers = 100.0 * rng.standard_normal((8, 20))
    points = (centers[rng.integers(0, 8, 1100)] + 1e-2 * rng.standard_normal((1100, 20))).astype(np.float32)
    entries, queries = points[:1000], points[1000:]
    for module in (groups, on_device, by_faiss):
        monkeypatch.setattr(module, "CANDIDATES", max(candidates, 1 if module is not groups else 0))
    distance, index = plain_search(entries, queries)
    found = MemoryBank(entries, search).search(queries)
    np.testing.assert_array_equal(found.index, index)
    np.testing.assert_allclose(found.distance, distance, rtol=1e-6)


def test_queries_in_pieces_equal_queries_at_once(search: MakeSearch, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = np.random.default_rng(15).integers(-1, 2, (300, 5)).astype(np.float32) + 64.0
    queries = np.random.default_rng(16).integers(-2, 3, (400, 5)).astype(np.float32) + 64.0
    monkeypatch.setattr(memory_bank, "EXACT_QUERY_ROWS", 7)
    monkeypatch.setattr(memory_bank, "ROWS", 13)
    monkeypatch.setattr(pairs, "PAIR_ROWS", 11)
    for module in (groups, on_device):
        monkeypatch.setattr(module, "QUERY_ROWS", 37)
        monkeypatch.setattr(module, "GROUP_ROWS", 12)
    monkeypatch.setattr(groups, "BLOCK_ROWS", 48)
    found = MemoryBank(entries, search).search(queries)
    distance, index = plain_search(entries, queries)
    np.testing.assert_array_equal(found.index, index)
    np.testing.assert_array_equal(found.distance, distance.astype(np.float32))
