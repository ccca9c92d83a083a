"""How the nearest entry of a memory bank is found: a table of searches, all exact, with the same result.

A search is made once for a bank and then asked for every sample. Each proposes entries by products in float32 and
measures those that the products' rounding leaves open by differences in float64; what it cannot settle so it leaves to
the bank.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from lsfa_cli.errors import UnknownNameError
from lsfa_cli.samples import BoolArray


class Found(NamedTuple):
    """Of N queries the squared distance (N,) to the nearest entry, which it is (N,), and whether both are certain (N,).

    Where they are not certain they say nothing.
    """

    squared: NDArray[np.float64]
    entry: NDArray[np.int64]
    settled: BoolArray


class Rows(NamedTuple):
    """What is searched: rows of the bank's entries, no two alike.

    entries: (M, D), all of the bank. first: (m,), the rows' indices in it. centre: (D,), a point amid them: distances
    do not depend on the origin, their rounding does.
    """

    entries: NDArray[np.float32]
    first: NDArray[np.int64]
    centre: NDArray[np.float64]


class Search(Protocol):
    """A search in some rows."""

    def nearest(self, queries: NDArray[np.float32], entry: NDArray[np.int64]) -> Found:
        """The nearest row of each query (N, D), the lowest `entry` of equally near ones.

        entry: (m,), what each row stands for; M where it may not be found. At least one row may.
        """
        ...

    def approximate_from(self, row: int) -> tuple[NDArray[np.float32], np.float32]:
        """Squared distances (m,) of all rows to one of them, by products, and that one's squared norm."""
        ...


def _groups(device: str) -> Callable[[Rows], Search]:
    if device == "cpu":
        from lsfa_cli.searches.groups import GroupSearch

        return GroupSearch
    from lsfa_cli.searches.on_device import DeviceSearch

    return lambda rows: DeviceSearch(rows, device)


def _faiss(device: str) -> Callable[[Rows], Search]:
    from lsfa_cli.searches.by_faiss import FaissSearch

    return lambda rows: FaissSearch(rows, device)


# name -> what makes a search on a device
SEARCHES: Mapping[str, Callable[[str], Callable[[Rows], Search]]] = {"own": _groups, "faiss": _faiss}


def search_of(name: str, device: str) -> Callable[[Rows], Search]:
    """What makes the search of a name on a device, "cpu" or one of PyTorch's."""
    if name not in SEARCHES:
        raise UnknownNameError("search", name, SEARCHES)
    return SEARCHES[name](device)
