"""Memory banks (METHOD 4.3 and 4.4): exact nearest neighbours, patch scores and image scores."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lsfa_cli.errors import DataError
from lsfa_cli.product_rounding import FLOAT32_ROUNDING, FLOAT64_ROUNDING, ExpansionBound
from lsfa_cli.samples import BoolArray, PatchFeatures
from lsfa_cli.searches import Rows, Search
from lsfa_cli.searches.groups import GroupSearch
from lsfa_cli.searches.pairs import closest, measure

EXACT_QUERY_ROWS = 128  # queries a product in float64 with all entries
ROWS = 4096  # entries at a time
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

    Distances are exact: products in float32 propose entries, and differences in float64 decide among those that the
    products' rounding leaves open. Where it leaves too much open, products in float64 with all entries take the place
    of those in float32. Copies of an entry are searched once.
    search: what makes the search (`lsfa_cli.searches`), which no result depends on.
    """

    def __init__(self, entries: ArrayLike, search: Callable[[Rows], Search] = GroupSearch) -> None:
        self.entries = _finite_rows(entries, "bank entries")
        if not self.entries.size:
            raise ValueError(f"a memory bank needs entries of shape (M, D), got {self.entries.shape}")
        self._bound = ExpansionBound(self.dimension, FLOAT32_ROUNDING)
        # Distances do not depend on the origin, their rounding does.
        self._centre = self.entries.mean(axis=0, dtype=np.float64)
        self._first, self._group = _distinct_rows(self.entries)
        self._search = search(Rows(self.entries, self._first, self._centre))

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
        distances = np.sqrt(measure(queries[worst][None], self.entries, np.zeros_like(following), following))
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
        entry = self._first if exclude is None else self._first_allowed(exclude)
        squared, index, settled = self._search.nearest(queries, entry)
        left = np.flatnonzero(~settled)
        for first in range(0, len(left), EXACT_QUERY_ROWS):
            some = left[first : first + EXACT_QUERY_ROWS]
            squared[some], index[some] = self._nearest_of_all(queries[some], entry)
        return squared, index

    def _nearest_of_all(
        self, queries: NDArray[np.float32], entry: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """As `_nearest`, with every entry a candidate, by products in float64."""
        bound = ExpansionBound(self.dimension, FLOAT64_ROUNDING)
        asked = queries - self._centre
        norm = np.einsum("ij,ij->i", asked, asked)
        approximate = np.empty((len(queries), len(entry)))
        for first in range(0, len(entry), ROWS):
            part = slice(first, first + ROWS)
            rows = self.entries[self._first[part]] - self._centre
            approximate[:, part] = norm[:, None] - 2 * (asked @ rows.T) + np.einsum("ij,ij->i", rows, rows)
        approximate[:, entry == len(self)] = np.inf
        reach = bound.upper(approximate.min(axis=1), norm)
        query, place = np.nonzero(approximate <= bound.highest_approximation(reach, norm)[:, None])
        return closest(queries, self.entries, query, entry[place])

    def _first_allowed(self, exclude: BoolArray) -> NDArray[np.int64]:
        """For each distinct row the lowest entry that is not excluded, M where there is none."""
        first = np.full(len(self._first), len(self))
        allowed = np.flatnonzero(~exclude)
        np.minimum.at(first, self._group[allowed], allowed)
        return first

    def _following(self, entry: int, exclude: BoolArray | None) -> NDArray[np.int64]:
        """The two entries nearest to `entry`, itself and excluded ones left out, copies of it not; fewer if no more."""
        distinct, norm = self._search.approximate_from(int(self._group[entry]))
        approximate = distinct[self._group]
        approximate[entry] = np.inf
        if exclude is not None:
            approximate[exclude] = np.inf
        count = min(2, int(np.count_nonzero(np.isfinite(approximate))))
        if not count:
            return np.empty(0, dtype=np.int64)
        reach = self._bound.upper(np.partition(approximate, count - 1)[count - 1], norm)
        others = np.flatnonzero(approximate <= self._bound.highest_approximation(reach, norm))
        squared = measure(self.entries[entry][None], self.entries, np.zeros_like(others), others)
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
        for part in (slice(start, start + ROWS) for start in range(0, len(rows), ROWS))
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
    for start in range(0, len(words), ROWS):
        part = words[start : start + ROWS].astype(np.uint64)
        part ^= part >> np.uint64(15)
        found[start : start + ROWS] = (part * factors).sum(axis=1, dtype=np.uint64)
    return found
