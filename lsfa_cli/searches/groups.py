"""The search on the processor, by NumPy: the least distance of each group of rows, then the groups that may hold it."""

import numpy as np
from numpy.typing import NDArray

from lsfa_cli.product_rounding import FLOAT32_ROUNDING, ExpansionBound
from lsfa_cli.samples import BoolArray
from lsfa_cli.searches import Found, Rows
from lsfa_cli.searches.pairs import closest, product_rows

CANDIDATES = 64  # entries a query, or groups of them, that are looked at closely
GROUP_ROWS = 128  # entries of which one product keeps only the least distance
BLOCK_ROWS = 2048  # entries a product, a multiple of a group; with so many queries its result stays in the cache
QUERY_ROWS = 1024  # queries a product


class GroupSearch:
    """Products in float32 give the least of each group of rows; the groups that rounding leaves open are looked at.

    Takes memory for one more copy of the rows.
    """

    def __init__(self, rows: Rows) -> None:
        self._entries, self._centre, self._count = rows.entries, rows.centre, len(rows.first)
        self._bound = ExpansionBound(rows.entries.shape[1], FLOAT32_ROUNDING)
        self._rows = product_rows(rows, GROUP_ROWS)

    def nearest(self, queries: NDArray[np.float32], entry: NDArray[np.int64]) -> Found:
        """As of `Search`."""
        squared, index = np.empty(len(queries)), np.empty(len(queries), dtype=np.int64)
        settled = np.empty(len(queries), dtype=bool)
        for first in range(0, len(queries), QUERY_ROWS):
            some = slice(first, first + QUERY_ROWS)
            squared[some], index[some], settled[some] = self._nearest_of_some(queries[some], entry)
        return Found(squared, index, settled)

    def approximate_from(self, row: int) -> tuple[NDArray[np.float32], np.float32]:
        """As of `Search`."""
        own = self._rows[row]
        asked = np.append(-2 * own[:-1], np.float32(1))
        return self._rows[: self._count] @ asked + own[-1], own[-1]

    def _nearest_of_some(self, queries: NDArray[np.float32], entry: NDArray[np.int64]) -> Found:
        """As `nearest`, for so many queries as one product takes."""
        asked = np.ones((len(queries), self._rows.shape[1]), dtype=np.float32)
        asked[:, :-1] = queries - self._centre
        norm = np.einsum("ij,ij->i", asked[:, :-1], asked[:, :-1])
        asked[:, :-1] *= -2
        hidden = np.flatnonzero(entry == len(self._entries))
        least = self._least_of_groups(asked, hidden) + norm
        # The least of all bounds the distance; only groups and entries that may be as near are looked at.
        limit = self._bound.highest_approximation(self._bound.upper(least.min(axis=0), norm), norm)
        near = least <= limit
        unsettled = np.count_nonzero(near, axis=0) > CANDIDATES
        near[:, unsettled] = False
        query, row = self._candidates(asked, norm, limit, near, hidden)
        many = np.bincount(query, minlength=len(queries)) > CANDIDATES
        chosen = ~many[query]
        squared, index = closest(queries, self._entries, query[chosen], entry[row[chosen]])
        return Found(squared, index, ~(unsettled | many))

    def _least_of_groups(self, asked: NDArray[np.float32], hidden: NDArray[np.int64]) -> NDArray[np.float32]:
        """The least |b|^2 - 2 a.b of each group of rows and query, (groups, queries); `hidden` rows have no part."""
        least = np.empty((len(self._rows) // GROUP_ROWS, len(asked)), dtype=np.float32)
        space = np.empty((min(BLOCK_ROWS, len(self._rows)), len(asked)), dtype=np.float32)
        for first in range(0, len(self._rows), BLOCK_ROWS):
            rows = self._rows[first : first + BLOCK_ROWS]
            products = np.matmul(rows, asked.T, out=space[: len(rows)])
            begin, end = np.searchsorted(hidden, (first, first + len(rows)))
            products[hidden[begin:end] - first] = np.inf
            groups = slice(first // GROUP_ROWS, (first + len(rows)) // GROUP_ROWS)
            products.reshape(-1, GROUP_ROWS, len(asked)).min(axis=1, out=least[groups])
        return least

    def _candidates(
        self,
        asked: NDArray[np.float32],
        norm: NDArray[np.float32],
        limit: NDArray[np.float64],
        near: BoolArray,
        hidden: NDArray[np.int64],
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Pairs of query and row, of the groups `near` (groups, queries), as near as the limit, approximately."""
        queries, rows = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)]
        for group in np.flatnonzero(near.any(axis=1)):
            some = np.flatnonzero(near[group])
            first = group * GROUP_ROWS
            products = asked[some] @ self._rows[first : first + GROUP_ROWS].T
            place, row = np.nonzero(products + norm[some, None] <= limit[some, None])
            queries.append(some[place])
            rows.append(row + first)
        query, row = np.concatenate(queries), np.concatenate(rows)
        allowed = ~np.isin(row, hidden)
        return query[allowed], row[allowed]
