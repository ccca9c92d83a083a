"""The search with faiss's flat index proposing entries, on the processor or, with faiss-gpu, on CUDA."""

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lsfa_cli.errors import MissingDependencyError
from lsfa_cli.product_rounding import FLOAT32_ROUNDING, ExpansionBound
from lsfa_cli.searches import Found, Rows
from lsfa_cli.searches.pairs import closest, product_rows

CANDIDATES = 8  # entries a query that faiss proposes; twice as many where some may not be found
_OPENBLAS_VARIABLE = "OPENBLAS_CORETYPE"
_OPENBLAS_KERNELS = {  # what to ask of an old OpenBLAS where a new one found the processor to be
    "Haswell": "Haswell",
    "SkylakeX": "SkylakeX",
    "Cooperlake": "SkylakeX",
    "Sapphirerapids": "SkylakeX",
}


class FaissSearch:
    """faiss proposes the rows of least approximate distance; those that rounding leaves open are measured here.

    Takes memory for two more copies of the rows. Raises `MissingDependencyError` when faiss is not installed.
    """

    def __init__(self, rows: Rows, device: str) -> None:
        faiss = _import_faiss()
        self._entries, self._centre = rows.entries, rows.centre
        self._rows = product_rows(rows, 1)
        self._bound = ExpansionBound(rows.entries.shape[1], FLOAT32_ROUNDING)
        self._index = faiss.IndexFlatL2(rows.entries.shape[1])
        if device != "cpu" and hasattr(faiss, "StandardGpuResources"):
            self._index = faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, self._index)
        self._index.add(np.ascontiguousarray(self._rows[:, :-1]))

    def nearest(self, queries: NDArray[np.float32], entry: NDArray[np.int64]) -> Found:
        """As of `Search`."""
        allowed = entry < len(self._entries)
        asked = np.ascontiguousarray(queries - self._centre, dtype=np.float32)
        norm = np.einsum("ij,ij->i", asked, asked)
        count = min(len(entry), CANDIDATES if allowed.all() else 2 * CANDIDATES)
        approximate, rows = self._index.search(asked, count)
        # The nearest one bounds the distance; only those that may be as near are measured.
        open_ = allowed[rows]
        reach = self._bound.upper(np.where(open_, approximate, np.inf).min(axis=1), norm)
        limit = self._bound.highest_approximation(reach, norm)
        query, place = np.nonzero(open_ & (approximate <= limit[:, None]))
        squared, index = closest(queries, self._entries, query, entry[rows[query, place]])
        return Found(squared, index, (approximate[:, -1] > limit) | (count == len(entry)))

    def approximate_from(self, row: int) -> tuple[NDArray[np.float32], np.float32]:
        """As of `Search`."""
        own = self._rows[row]
        asked = np.append(-2 * own[:-1], np.float32(1))
        return self._rows @ asked + own[-1], own[-1]


def _import_faiss() -> Any:
    with _openblas_told_the_processor():
        try:
            import faiss
        except ImportError as error:
            raise MissingDependencyError(
                "--search faiss needs faiss, which is not installed",
                hint="Install it with: pip install faiss-cpu, or pip install faiss-gpu for NVIDIA GPUs. --search own "
                "gives the same result without it.",
            ) from error
    return faiss


@contextlib.contextmanager
def _openblas_told_the_processor() -> Iterator[None]:
    """Let an OpenBLAS that is loaded inside the block use the kernels that NumPy's own OpenBLAS chose.

    The wheels of faiss-cpu bring OpenBLAS 0.3.15, which does not know newer processors and takes Intel's for one
    without AVX: a search is then four times slower. It reads this variable once, while it is loaded.
    """
    from threadpoolctl import threadpool_info  # type: ignore[import-untyped]  # ships no types; scikit-learn brings it

    found = {library["architecture"] for library in threadpool_info() if library["internal_api"] == "openblas"}
    kernels = {_OPENBLAS_KERNELS.get(name) for name in found}
    if len(kernels) != 1 or None in kernels or _OPENBLAS_VARIABLE in os.environ:
        yield
        return
    os.environ[_OPENBLAS_VARIABLE] = str(kernels.pop())
    try:
        yield
    finally:
        del os.environ[_OPENBLAS_VARIABLE]
