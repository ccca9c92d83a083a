"""Memory banks (METHOD 4.3 and 4.4): exact nearest neighbours, patch scores and image scores."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lsfa_cli.coreset import FLOAT32_ROUNDING, FLOAT64_ROUNDING, ExpansionBound, squared_distances
from lsfa_cli.errors import DataError
from lsfa_cli.samples import BoolArray, PatchFeatures

CANDIDATES = 64  # entries a query, or groups of them, that are looked at closely
GROUP_ROWS = 128  # entries of which one product keeps only the least distance
BLOCK_ROWS = 2048  # entries a product, a multiple of a group; with so many queries its result stays in the cache
QUERY_ROWS = 1024  # queries a product
EXACT_QUERY_ROWS = 128  # queries a product in float64 with all entries
PAIR_ROWS = 4096  # rows in float64 at a time
_LARGEST_VALUE = 1e15  # of a feature; squared distances of longer vectors may be beyond float32


@dataclass(frozen=True)
class Nearest:
    """Nearest entry of each query: L2 distance (N,) float32, in the features' unit, and index (N,)."""

    distance: NDArray[np.float32]
    index: NDArray[np.int64]


class SampleScore(NamedTuple):
    """Scores of one sample and one modality.

    patch_scores: (grid * grid,) distance to the nearest entry, 0 where a patch is invalid. worst_patch: raster index
    of the largest, nearest: its nearest entry; both -1 when no patch is valid.
    """

    patch_scores: NDArray[np.float32]
    image_score: float
    worst_patch: int
    nearest: int


def image_score(distance_worst: float, distances_next: ArrayLike, dimension: int) -> float:
    """PatchCore's reweighted image score w d*, for D = `dimension` (METHOD 4.4).

    d* = `distance_worst` is the worst patch's distance to its nearest entry m*, `distances_next` (2,) its distances to
    the two entries nearest to m*: w = 1 - exp(d* / sqrt(D)) / sum of exp(d / sqrt(D)). An entry that does not exist
    counts as infinitely far away: with fewer than two, w = 1.
    """
    following = np.asarray(distances_next, dtype=np.float64).ravel()
    if following.size < 2:
        return float(distance_worst)
    # Divided through by exp(d* / sqrt(D)) and in logarithms, because exp overflows at distances that occur.
    logarithm = np.logaddexp.reduce((following - distance_worst) / math.sqrt(dimension))
    return -math.expm1(-float(logarithm)) * float(distance_worst)


class MemoryBank:
    """Patch features of normal samples, entries (M, D) float32, ready to be searched.

    Distances are exact: products in float32 give the least of each group of entries; the groups that the products'
    rounding leaves open are looked at closely, and differences in float64 decide among their entries. Where the
    rounding leaves too much open, products in float64 with all entries take the place of those in float32.
    Copies of an entry are searched once. Takes memory for one more copy of the entries.
    """

    def __init__(self, entries: ArrayLike) -> None:
        self.entries = _finite_rows(entries, "bank entries")
        if not self.entries.size:
            raise ValueError(f"a memory bank needs entries of shape (M, D), got {self.entries.shape}")
        self._bound = ExpansionBound(self.dimension, FLOAT32_ROUNDING)
        # Distances do not depend on the origin, their rounding does.
        self._centre = self.entries.mean(axis=0, dtype=np.float64)
        self._first, self._group = _distinct_rows(self.entries)
        self._rows = self._search_rows()

    def _search_rows(self) -> NDArray[np.float32]:
        """The distinct entries b relative to the mean, with |b|^2 beside them, filled up to whole groups.

        One product with (-2 a, 1) is then |b|^2 - 2 a.b, infinite for what fills up.
        """
        rows = np.zeros((-(-len(self._first) // GROUP_ROWS) * GROUP_ROWS, self.dimension + 1), dtype=np.float32)
        rows[len(self._first) :, -1] = np.inf
        for first in range(0, len(self._first), PAIR_ROWS):
            part = slice(first, min(first + PAIR_ROWS, len(self._first)))
            rows[part, :-1] = self.entries[self._first[part]] - self._centre
            rows[part, -1] = np.einsum("ij,ij->i", rows[part, :-1], rows[part, :-1])
        return rows

    @property
    def dimension(self) -> int:
        """D, the length of an entry."""
        return int(self.entries.shape[1])

    def __len__(self) -> int:
        return len(self.entries)

    def search(self, queries: ArrayLike) -> Nearest:
        """The nearest entry of each query (N, D), the lowest index among equally near ones."""
        squared, index = self._nearest(self._as_queries(queries), None)
        return Nearest(np.sqrt(squared).astype(np.float32), index)

    def score(self, patches: PatchFeatures, exclude: BoolArray | None = None) -> SampleScore:
        """Patch scores and image score of one sample.

        exclude: (M,), entries that may not be neighbours, such as the sample's own when normal samples are scored
        against a bank that was made from them. Raises `DataError` when it leaves no entry.
        """
        places = np.flatnonzero(patches.valid)
        if len(places) != len(patches.values):
            raise ValueError(f"{len(patches.values)} patch features for {len(places)} valid patches")
        patch_scores = np.zeros(patches.valid.size, dtype=np.float32)
        if not places.size:
            return SampleScore(patch_scores, 0.0, -1, -1)
        queries = self._as_queries(patches.values)
        squared, index = self._nearest(queries, self._as_exclusion(exclude))
        patch_scores[places] = np.sqrt(squared)
        worst = int(squared.argmax())
        nearest = int(index[worst])
        following = self._following(nearest, exclude)
        distances = np.sqrt(self._measure(queries[worst][None], np.zeros_like(following), following))
        score = image_score(math.sqrt(squared[worst]), distances, self.dimension)
        return SampleScore(patch_scores, score, int(places[worst]), nearest)

    def _as_queries(self, queries: ArrayLike) -> NDArray[np.float32]:
        rows = _finite_rows(queries, "patch features")
        if rows.shape[1] != self.dimension:
            raise ValueError(f"queries must be (N, {self.dimension}) as the bank's entries, got {rows.shape}")
        return rows

    def _as_exclusion(self, exclude: BoolArray | None) -> BoolArray | None:
        if exclude is None:
            return None
        if exclude.shape != (len(self),):
            raise ValueError(f"exclude must name all {len(self)} entries, got shape {exclude.shape}")
        if exclude.all():
            raise DataError(
                "no entry of the memory bank is left to compare with",
                hint="The bank comes from one sample, which cannot be scored against itself. Use more samples.",
            )
        return exclude

    def _nearest(
        self, queries: NDArray[np.float32], exclude: BoolArray | None
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Squared distance and index of the nearest allowed entry of each query."""
        squared, index = np.empty(len(queries)), np.empty(len(queries), dtype=np.int64)
        entry = self._first if exclude is None else self._first_allowed(exclude)
        for first in range(0, len(queries), QUERY_ROWS):
            some = slice(first, first + QUERY_ROWS)
            squared[some], index[some] = self._nearest_of_some(queries[some], entry)
        return squared, index

    def _nearest_of_some(
        self, queries: NDArray[np.float32], entry: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """As `_nearest`, for so many queries as one product takes; entry: what each distinct row stands for."""
        asked = np.ones((len(queries), self.dimension + 1), dtype=np.float32)
        asked[:, :-1] = queries - self._centre
        norm = np.einsum("ij,ij->i", asked[:, :-1], asked[:, :-1])
        asked[:, :-1] *= -2
        hidden = np.flatnonzero(entry == len(self))
        least = self._least_of_groups(asked, hidden) + norm
        # The least of all bounds the distance; only groups and entries that may be as near are looked at.
        limit = self._bound.highest_approximation(self._bound.upper(least.min(axis=0), norm), norm)
        near = least <= limit
        unsettled = np.count_nonzero(near, axis=0) > CANDIDATES
        near[:, unsettled] = False
        query, row = self._candidates(asked, norm, limit, near, hidden)
        many = np.bincount(query, minlength=len(queries)) > CANDIDATES
        chosen = ~many[query]
        squared, index = self._closest(queries, query[chosen], entry[row[chosen]])
        left = np.flatnonzero(unsettled | many)
        for first in range(0, len(left), EXACT_QUERY_ROWS):
            some = left[first : first + EXACT_QUERY_ROWS]
            squared[some], index[some] = self._nearest_of_all(queries[some], entry)
        return squared, index

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

    def _nearest_of_all(
        self, queries: NDArray[np.float32], entry: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """As `_nearest`, with every entry a candidate, by products in float64."""
        bound = ExpansionBound(self.dimension, FLOAT64_ROUNDING)
        asked = queries - self._centre
        norm = np.einsum("ij,ij->i", asked, asked)
        approximate = np.empty((len(queries), len(entry)))
        for first in range(0, len(entry), PAIR_ROWS):
            part = slice(first, first + PAIR_ROWS)
            rows = self.entries[self._first[part]] - self._centre
            approximate[:, part] = norm[:, None] - 2 * (asked @ rows.T) + np.einsum("ij,ij->i", rows, rows)
        approximate[:, entry == len(self)] = np.inf
        reach = bound.upper(approximate.min(axis=1), norm)
        query, place = np.nonzero(approximate <= bound.highest_approximation(reach, norm)[:, None])
        return self._closest(queries, query, entry[place])

    def _closest(
        self, queries: NDArray[np.float32], query: NDArray[np.int64], entry: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Least squared distance and its lowest entry for each query, among pairs of `query` and `entry`."""
        measured = self._measure(queries, query, entry)
        squared, index = np.full(len(queries), np.inf), np.full(len(queries), len(self))
        np.minimum.at(squared, query, measured)
        equal = measured == squared[query]
        np.minimum.at(index, query[equal], entry[equal])
        return squared, index

    def _measure(
        self, queries: NDArray[np.float32], query: NDArray[np.int64], entry: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Squared distances of pairs, by differences in float64."""
        measured = np.empty(len(query))
        for first in range(0, len(query), PAIR_ROWS):
            part = slice(first, first + PAIR_ROWS)
            left, right = queries[query[part]].astype(np.float64), self.entries[entry[part]].astype(np.float64)
            measured[part] = squared_distances(left, right)
        return measured

    def _first_allowed(self, exclude: BoolArray) -> NDArray[np.int64]:
        """For each distinct row the lowest entry that is not excluded, M where there is none."""
        first = np.full(len(self._first), len(self))
        allowed = np.flatnonzero(~exclude)
        np.minimum.at(first, self._group[allowed], allowed)
        return first

    def _following(self, entry: int, exclude: BoolArray | None) -> NDArray[np.int64]:
        """The two entries nearest to `entry`, itself and excluded ones left out, copies of it not; fewer if no more."""
        own = self._rows[self._group[entry]]
        norm = own[-1]
        asked = np.append(-2 * own[:-1], np.float32(1))
        approximate = (self._rows[: len(self._first)] @ asked + norm)[self._group]
        approximate[entry] = np.inf
        if exclude is not None:
            approximate[exclude] = np.inf
        count = min(2, int(np.count_nonzero(np.isfinite(approximate))))
        if not count:
            return np.empty(0, dtype=np.int64)
        reach = self._bound.upper(np.partition(approximate, count - 1)[count - 1], norm)
        others = np.flatnonzero(approximate <= self._bound.highest_approximation(reach, norm))
        squared = self._measure(self.entries[entry][None], np.zeros_like(others), others)
        return others[np.lexsort((others, squared))[:count]]


def _finite_rows(features: ArrayLike, name: str) -> NDArray[np.float32]:
    """Features (n, D) as contiguous float32. Raises ValueError for other shapes and NaN, infinite or huge values."""
    rows = np.ascontiguousarray(features, dtype=np.float32)
    if rows.ndim != 2:
        raise ValueError(f"{name} must have the shape (n, D), got {rows.shape}")
    if rows.size and not -_LARGEST_VALUE < rows.min() <= rows.max() < _LARGEST_VALUE:  # NaN fails every comparison
        raise ValueError(f"{name} hold NaN, infinite or huge values")
    return rows


def _distinct_rows(rows: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The first index of each row that differs in a byte from all before, and which of those rows each row is."""
    words = rows.view(np.uint32)
    _, first, group = np.unique(_fingerprints(words), return_index=True, return_inverse=True)
    same = all(
        np.array_equal(words[part], words[first[group[part]]])
        for part in (slice(start, start + PAIR_ROWS) for start in range(0, len(rows), PAIR_ROWS))
    )
    if not same:  # two rows share a fingerprint
        whole = rows.view(f"V{rows.shape[1] * rows.itemsize}").ravel()
        _, first, group = np.unique(whole, return_index=True, return_inverse=True)
    order = np.argsort(first)  # as the rows come, so that those of one sample stay together
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return first[order], rank[group.ravel()]


def _fingerprints(words: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """A number (M,) of each row of words (M, D), equal for equal rows and hardly ever for others."""
    factors = np.random.default_rng(0).integers(1, 2**63, words.shape[1], dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    found = np.empty(len(words), dtype=np.uint64)
    for start in range(0, len(words), PAIR_ROWS):
        part = words[start : start + PAIR_ROWS].astype(np.uint64)
        part ^= part >> np.uint64(15)
        found[start : start + PAIR_ROWS] = (part * factors).sum(axis=1, dtype=np.uint64)
    return found
