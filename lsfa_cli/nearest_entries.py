"""The search for nearest bank entries in training (Eq. 5 and 6), for all samples of a batch together.

||q - b||^2 / 2 = ||q||^2 / 2 + (||b||^2 / 2 - q.b), of which the first is the same for every entry. With ||b||^2 / 2
beside each entry and 1 beside each negated query, one matrix product gives what is to be smallest.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

# One block of the search holds this many scores, 8 MiB in float32. Larger blocks leave the processor's cache and are
# slower.
SEARCH_QUERIES = 1024
SEARCH_ENTRIES = 2048


def search_rows(entries: Tensor) -> Tensor:
    """(m, D + 1) rows to search in: the (m, D) entries, and half the squared length of each beside it."""
    return torch.cat([entries, half_squares(entries).unsqueeze(1)], dim=1)


def half_squares(entries: Tensor) -> Tensor:
    """(m,) half the squared length of each of the (m, D) entries, in blocks: no second copy of the entries."""
    return torch.cat([part.square().sum(dim=1) / 2 for part in torch.split(entries, SEARCH_ENTRIES)])


@torch.no_grad()
def nearest_entries(queries: Sequence[Tensor], rows: Tensor, hidden: Sequence[Sequence[slice]]) -> list[Tensor]:
    """Index (n_i,) of the nearest entry of each query, for the (n_i, D) queries of several samples.

    rows: (m, D + 1) of `search_rows`. hidden: for each sample the ranges of entries that are no neighbours of its
    queries; at least one entry must be left. Ties take the lowest index. In blocks, so that memory does not grow with
    the number of queries times entries.
    """
    sizes = [len(part) for part in queries]
    every = torch.cat([part.detach() for part in queries])
    blocks = torch.split(every, SEARCH_QUERIES)
    found = [
        _nearest_of_block(block, rows, hidden_in(number * SEARCH_QUERIES, len(block), sizes, hidden))
        for number, block in enumerate(blocks)
    ]
    return list(torch.split(torch.cat(found), sizes))


def hidden_in(
    begin: int, count: int, sizes: Sequence[int], hidden: Sequence[Sequence[slice]]
) -> list[tuple[slice, slice]]:
    """What the queries from `begin` may not find: ranges of queries of the block and of entries."""
    found: list[tuple[slice, slice]] = []
    first = -begin
    for size, entries in zip(sizes, hidden, strict=True):
        queries = slice(max(first, 0), min(first + size, count))
        if queries.start < queries.stop:
            found.extend((queries, part) for part in entries)
        first += size
    return found


def _nearest_of_block(queries: Tensor, rows: Tensor, hidden: Sequence[tuple[slice, slice]]) -> Tensor:
    """Index of the entry of the smallest ||b||^2 / 2 - q.b, for one block of queries."""
    extended = torch.cat([-queries, queries.new_ones(len(queries), 1)], dim=1)
    space = queries.new_empty(len(queries) * min(SEARCH_ENTRIES, len(rows)))
    smallest: list[Tensor] = []
    places: list[Tensor] = []
    for begin in range(0, len(rows), SEARCH_ENTRIES):
        entries = rows[begin : begin + SEARCH_ENTRIES]
        scores = space[: len(queries) * len(entries)].view(len(queries), len(entries))
        torch.mm(extended, entries.T, out=scores)
        for own, part in hidden:
            first, last = max(part.start - begin, 0), min(part.stop - begin, len(entries))
            if first < last:
                scores[own, first:last] = torch.inf
        place = _first_smallest(scores)
        smallest.append(scores.gather(1, place))
        places.append(place + begin)
    best = _first_smallest(torch.cat(smallest, dim=1))
    return torch.cat(places, dim=1).gather(1, best).squeeze(1)


def _first_smallest(scores: Tensor) -> Tensor:
    """(n, 1) place of the smallest value of each row of (n, m) scores, the first among equal ones."""
    if scores.device.type == "cpu":
        # NumPy's argmin is vectorised, torch's along a row is not and takes ten times as long.
        return torch.from_numpy(scores.numpy().argmin(axis=1)).unsqueeze(1)
    return scores.argmin(dim=1, keepdim=True)
