"""Memory and time against the number of patches N: coreset, search, metrics."""

from collections.abc import Callable
from typing import Any

import numpy as np

from lsfa_cli.coreset import greedy_coreset
from lsfa_cli.memory_bank import MemoryBank
from lsfa_cli.metrics import aupro, pixel_auroc
from tests.benchmarks.bank_rows import clustered_points
from tests.benchmarks.measuring import Work, once
from tests.benchmarks.report_rows import maps_and_masks

PATCHES = (25_000, 50_000, 100_000, 200_000)
TINY_PATCHES = (400, 800)
PATCHES_OF_A_SAMPLE = 56 * 56

Prepared = tuple[Work, int]  # what is measured, and the bytes that it is given


def measure(tiny: bool, tell: Callable[[str], None] = print) -> list[dict[str, Any]]:
    """One run at each size, its time and how much memory it takes beside its input."""
    rows = []
    for name, (work, make) in GROWTH.items():
        for patches in TINY_PATCHES if tiny else PATCHES:
            job, given = make(patches, tiny)
            run, peak = once(job)
            rows.append(
                {
                    "name": name,
                    "work": work,
                    "patches": patches,
                    "seconds": run.clock,
                    "processor_seconds": run.processor,
                    "input_bytes": given,
                    "peak_bytes": peak,
                }
            )
            peak_text = "unknown" if peak is None else f"{peak / 2**20:.0f} MiB"
            tell(f"growth, {name}, {patches:,} patches: {run.clock:.3g} s, {peak_text} beside {given / 2**20:.0f} MiB")
    return rows


def _coreset(patches: int, tiny: bool) -> Prepared:
    points = clustered_points(patches, 16 if tiny else 128)
    return lambda: greedy_coreset(points, patches // 10), points.nbytes


def _search(patches: int, tiny: bool) -> Prepared:
    dimension, asked = (24, 10) if tiny else (1_152, 784)
    points = clustered_points(patches + asked, dimension)
    entries, queries = points[asked:], points[:asked].copy()
    return lambda: MemoryBank(entries).search(queries), entries.nbytes


def _metrics(patches: int, tiny: bool) -> Prepared:
    samples, size = (4, 40) if tiny else (patches // PATCHES_OF_A_SAMPLE, 224)
    maps, masks = maps_and_masks(samples, size)

    def both() -> np.ndarray:
        return np.array([aupro(maps, masks), pixel_auroc(maps, masks)])

    return both, maps.nbytes + masks.nbytes


GROWTH: dict[str, tuple[str, Callable[[int, bool], Prepared]]] = {
    "coreset": ("greedy coreset of 10 %, 128 values a patch", _coreset),
    "search": ("a bank of all N patches is made and searched for 784 queries, 1,152 values", _search),
    "metrics": ("exact AUPRO and P-AUROC of the maps of N / 3,136 samples", _metrics),
}
