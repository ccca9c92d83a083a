"""What the searches share: rows ready for products, and distances of pairs by differences."""

import numpy as np
from numpy.typing import NDArray

from lsfa_cli.product_rounding import squared_distances
from lsfa_cli.searches import Rows

PAIR_ROWS = 4096  # rows in float64 at a time


def product_rows(rows: Rows, multiple: int) -> NDArray[np.float32]:
    """The rows b relative to the centre, with |b|^2 beside them, filled up to a multiple: (m', D + 1).

    One product with (-2 a, 1) is then |b|^2 - 2 a.b, infinite for what fills up.
    """
    count, dimension = len(rows.first), rows.entries.shape[1]
    found = np.zeros((-(-count // multiple) * multiple, dimension + 1), dtype=np.float32)
    found[count:, -1] = np.inf
    for first in range(0, count, PAIR_ROWS):
        part = slice(first, min(first + PAIR_ROWS, count))
        found[part, :-1] = rows.entries[rows.first[part]] - rows.centre
        found[part, -1] = np.einsum("ij,ij->i", found[part, :-1], found[part, :-1])
    return found


def closest(
    queries: NDArray[np.float32], entries: NDArray[np.float32], query: NDArray[np.int64], entry: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Least squared distance and its lowest entry for each of the queries, among pairs of `query` and `entry`."""
    measured = measure(queries, entries, query, entry)
    squared, index = np.full(len(queries), np.inf), np.full(len(queries), len(entries))
    np.minimum.at(squared, query, measured)
    equal = measured == squared[query]
    np.minimum.at(index, query[equal], entry[equal])
    return squared, index


def measure(
    queries: NDArray[np.float32], entries: NDArray[np.float32], query: NDArray[np.int64], entry: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Squared distances of pairs, by differences in float64."""
    measured = np.empty(len(query))
    for first in range(0, len(query), PAIR_ROWS):
        part = slice(first, first + PAIR_ROWS)
        left, right = queries[query[part]].astype(np.float64), entries[entry[part]].astype(np.float64)
        measured[part] = squared_distances(left, right)
    return measured
