"""The search of a whole batch against all distances, one sample at a time."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lsfa_cli import nearest_entries as search
from lsfa_cli.nearest_entries import nearest_entries, search_rows


def random(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@st.composite
def hidden_ranges(draw: st.DrawFn, entries: int) -> list[slice]:
    """Up to three ranges of entries, in order and apart, that leave one at least."""
    edges = sorted(draw(st.sets(st.integers(0, entries), max_size=6)))
    ranges = [slice(first, last) for first, last in zip(edges[::2], edges[1::2], strict=False)]
    return [] if sum(part.stop - part.start for part in ranges) == entries else ranges


@settings(max_examples=60, deadline=None)
@given(
    data=st.data(),
    sizes=st.lists(st.integers(0, 9), min_size=1, max_size=5),
    entries=st.integers(1, 30),
    block=st.tuples(st.integers(1, 7), st.integers(1, 9)),
    seed=st.integers(0, 99),
)
def test_equals_all_distances_without_the_hidden_entries(data, sizes, entries, block, seed) -> None:
    bank = random(entries, 3, seed=seed)
    queries = [random(size, 3, seed=1000 * seed + place) for place, size in enumerate(sizes)]
    hidden = [data.draw(hidden_ranges(entries)) for _ in sizes]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "SEARCH_QUERIES", block[0])
        patch.setattr(search, "SEARCH_ENTRIES", block[1])
        found = nearest_entries(queries, search_rows(bank), hidden)
    for part, ranges, index in zip(queries, hidden, found, strict=True):
        distances = torch.cdist(part, bank)
        for own in ranges:
            distances[:, own] = math.inf
        assert torch.equal(index, distances.argmin(dim=1))


def test_ties_take_the_lowest_index_within_and_across_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "SEARCH_ENTRIES", 3)
    bank = torch.tensor([[9.0], [2.0], [2.0], [2.0], [-2.0], [2.0]])
    (found,) = nearest_entries([torch.tensor([[2.0], [-2.0], [0.0]])], search_rows(bank), [[slice(1, 2)]])
    assert found.tolist() == [2, 4, 2]


def test_rows_hold_half_the_squared_length() -> None:
    assert search_rows(torch.tensor([[3.0, 4.0], [0.0, 1.0]])).tolist() == [[3, 4, 12.5], [0, 1, 0.5]]
