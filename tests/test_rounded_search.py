"""The search by rounded products against all distances, and its way out where rounding hides what is near."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lsfa_cli import rounded_search
from lsfa_cli.nearest_entries import search_rows
from lsfa_cli.rounded_search import LEAST_ENTRIES, RoundedIndex, nearest_by_rounded


def random(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def index_of(bank: torch.Tensor, capacity: int | None = None) -> RoundedIndex:
    index = RoundedIndex(capacity or len(bank), bank.shape[1])
    index.put(slice(0, len(bank)), bank)
    return index


def searched_again(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many queries each call of the search in float32 gets."""
    numbers: list[int] = []
    original = rounded_search.nearest_entries

    def watched(queries, rows, hidden):
        numbers.append(sum(len(part) for part in queries))
        return original(queries, rows, hidden)

    monkeypatch.setattr(rounded_search, "nearest_entries", watched)
    return numbers


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 300), min_size=1, max_size=3),
    entries=st.integers(LEAST_ENTRIES, LEAST_ENTRIES + 200),
    dimension=st.integers(1, 40),
    spare=st.integers(0, 100),
    offset=st.sampled_from([0.0, 1.0, 300.0]),
    seed=st.integers(0, 99),
)
def test_equals_all_distances(sizes, entries, dimension, spare, offset, seed) -> None:
    bank = random(entries, dimension, seed=seed) + offset
    queries = [random(size, dimension, seed=1000 + seed + place) + offset for place, size in enumerate(sizes)]
    hidden = [[slice(10 * place, 10 * place + 30), slice(entries - 5, entries)] for place in range(len(sizes))]
    found = nearest_by_rounded(queries, search_rows(bank), index_of(bank, entries + spare), hidden)
    for part, ranges, index in zip(queries, hidden, found, strict=True):
        exact = torch.cdist(part.double(), bank.double(), compute_mode="donot_use_mm_for_euclid_dist")
        for own in ranges:
            exact[:, own] = torch.inf
        # Where the expansion in float32 has to decide, it is as good as float32 is for such lengths.
        rounding = 2e-6 * part.double().square().sum(dim=1) + 1e-6
        assert bool((exact.gather(1, index[:, None])[:, 0] ** 2 <= exact.amin(dim=1) ** 2 + rounding).all())


def test_most_queries_are_settled_by_their_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    again = searched_again(monkeypatch)
    bank, queries = random(3000, 64, seed=0), random(500, 64, seed=1)
    (found,) = nearest_by_rounded([queries], search_rows(bank), index_of(bank), [[]])
    assert torch.equal(found, torch.cdist(queries.double(), bank.double()).argmin(dim=1))
    assert sum(again) < 250


def test_far_from_the_origin_rounding_hides_everything_and_float32_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    """At 300 the numbers of bfloat16 are 2 apart, and entries differ by 1: candidates are any eight."""
    again = searched_again(monkeypatch)
    bank, queries = random(1000, 8, seed=0) + 300, random(20, 8, seed=1) + 300
    nearest_by_rounded([queries], search_rows(bank), index_of(bank), [[]])
    assert again == [20]


def test_features_that_are_not_finite_go_to_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    again = searched_again(monkeypatch)
    bank = random(1000, 8, seed=0)
    queries = torch.full((3, 8), torch.nan)
    (found,) = nearest_by_rounded([queries], search_rows(bank), index_of(bank), [[]])
    assert again == [3]
    assert bool((found < 1000).all())


def test_with_almost_everything_hidden_the_few_left_are_found() -> None:
    bank, queries = random(LEAST_ENTRIES, 4, seed=0), random(5, 4, seed=1)
    (found,) = nearest_by_rounded([queries], search_rows(bank), index_of(bank), [[slice(2, LEAST_ENTRIES)]])
    assert torch.equal(found, torch.cdist(queries, bank[:2]).argmin(dim=1))


def test_equally_near_entries_take_the_lowest_index() -> None:
    bank = random(LEAST_ENTRIES, 4, seed=0) + 5
    bank[[100, 300, 500]] = torch.tensor([0.5, 1.0, 1.5, 2.0])
    (found,) = nearest_by_rounded([torch.tensor([[0.5, 1.0, 1.5, 2.1]])], search_rows(bank), index_of(bank), [[]])
    assert found.tolist() == [100]


def test_slots_can_be_overwritten() -> None:
    bank = random(LEAST_ENTRIES, 4, seed=0)
    index = index_of(bank)
    bank[:50] = random(50, 4, seed=2)
    index.put(slice(0, 50), bank[:50])
    queries = random(30, 4, seed=3)
    (found,) = nearest_by_rounded([queries], search_rows(bank), index, [[]])
    assert torch.equal(found, torch.cdist(queries, bank).argmin(dim=1))
