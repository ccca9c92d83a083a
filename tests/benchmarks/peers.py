"""Other packages beside ours, on the same data, in turn in one process: `nox -s bench_peers`.

A package that is not installed is named as absent. Packages do not promise our order of picks or our exactness, so each
row tells in what the results agree.
"""

import argparse
import importlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from lsfa_cli.coreset import greedy_coreset
from lsfa_cli.errors import MissingDependencyError
from lsfa_cli.memory_bank import MemoryBank
from lsfa_cli.metrics import aupro, pixel_auroc
from lsfa_cli.pointcloud import farthest_point_sampling
from tests.benchmarks.bank_rows import clustered_points, queries_and_entries
from tests.benchmarks.extract_rows import part_of
from tests.benchmarks.measuring import Spread, Work, in_turn, machine, packages
from tests.benchmarks.report_rows import maps_and_masks

BUDGET = 20.0  # seconds a row


class Comparison(NamedTuple):
    """One row: what both do, the peer's way and ours, and what their results agree in, as words."""

    name: str
    work: str
    peer: str
    theirs: Work
    ours: Work
    agreement: Callable[[Any, Any], str]


def _covering_radius(points: np.ndarray, picks: Any) -> float:
    distances = torch.cdist(torch.from_numpy(points), torch.from_numpy(points[np.asarray(picks)]))
    return float(distances.min(dim=1).values.max())


def coreset_of_anomalib(tiny: bool) -> Comparison:
    """PatchCore's coreset. Anomalib starts at a random point and projects to fewer values itself."""
    sampling = importlib.import_module("anomalib.models.components.sampling.k_center_greedy")
    total, dimension, ratio = (600, 12, 0.1) if tiny else (50_000, 128, 0.02)
    points = clustered_points(total, dimension)
    return Comparison(
        "coreset",
        f"{round(total * ratio):,} of {total:,} x {dimension}, clustered",
        "anomalib KCenterGreedy",
        lambda: sampling.KCenterGreedy(torch.from_numpy(points), ratio).select_coreset_idxs(),
        lambda: greedy_coreset(points, round(total * ratio)),
        lambda a, b: f"covering radius {_covering_radius(points, a):.2f} and {_covering_radius(points, b):.2f} (ours)",
    )


def aupro_of_anomalib(tiny: bool) -> Comparison:
    """Anomalib's AUPRO of binned false-positive rates."""
    metrics = importlib.import_module("anomalib.metrics.aupro")
    maps, masks = maps_and_masks(*((6, 40) if tiny else (108, 224)))
    scores, truth = torch.from_numpy(maps), torch.from_numpy(masks.astype(np.int64))
    kind = getattr(metrics, "_AUPRO", None) or metrics.AUPRO

    def theirs() -> float:
        metric = kind(fpr_limit=0.3)
        metric.update(scores, truth)
        return float(metric.compute())

    return Comparison(
        "AUPRO",
        f"{len(maps)} maps of {maps.shape[1]} x {maps.shape[2]}",
        "anomalib AUPRO",
        theirs,
        lambda: aupro(maps, masks, limit=0.3),
        lambda a, b: f"{a:.4f} and {b:.4f} (ours, exact)",
    )


def auroc_of_torchmetrics(tiny: bool) -> Comparison:
    """Exact P-AUROC."""
    functional = importlib.import_module("torchmetrics.functional.classification")
    maps, masks = maps_and_masks(*((6, 40) if tiny else (108, 224)))
    # It takes scores beyond [0, 1] for logits, and rounds them when it makes probabilities of them.
    scores = torch.from_numpy((maps - maps.min()) / (maps.max() - maps.min())).flatten()
    truth = torch.from_numpy(masks.astype(np.int64)).flatten()
    return Comparison(
        "P-AUROC",
        f"{len(maps)} maps of {maps.shape[1]} x {maps.shape[2]}",
        "torchmetrics binary_auroc",
        lambda: float(functional.binary_auroc(scores, truth)),
        lambda: pixel_auroc(maps, masks),
        lambda a, b: f"{a:.6f} and {b:.6f} (ours)",
    )


def search_of_faiss(tiny: bool) -> Comparison:
    """The flat index, its OpenBLAS told what NumPy's found out of the processor (`lsfa_cli.searches.by_faiss`)."""
    from lsfa_cli.searches.by_faiss import _import_faiss

    importlib.import_module("threadpoolctl")
    faiss = _import_faiss()
    queries, entries = queries_and_entries(*((50, 300, 24) if tiny else (1_000, 25_000, 1_152)))
    index = faiss.IndexFlatL2(entries.shape[1])
    index.add(entries)
    bank = MemoryBank(entries)
    return Comparison(
        "nearest entry",
        f"{len(queries):,} queries, {len(entries):,} entries, {entries.shape[1]:,} values",
        "faiss IndexFlatL2",
        lambda: index.search(queries, 1)[1][:, 0],
        lambda: bank.search(queries).index,
        lambda a, b: f"{np.count_nonzero(a == b)} of {len(a)} indices equal",
    )


def points_of_fpsample(tiny: bool) -> Comparison:
    """Its fastest sampling, which starts at the same point."""
    fpsample = importlib.import_module("fpsample")
    return _farthest_points(
        tiny,
        "fpsample bucket_fps_kdline_sampling",
        lambda points, count: fpsample.bucket_fps_kdline_sampling(points, count, h=5, start_idx=0).astype(np.int64),
    )


def points_of_open3d(tiny: bool) -> Comparison:
    """Open3D's sampling, which gives points and no indices."""
    open3d = importlib.import_module("open3d")

    def sample(points: np.ndarray, count: int) -> np.ndarray:
        cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points.astype(np.float64)))
        found = np.asarray(cloud.farthest_point_down_sample(count).points)
        where = {row.tobytes(): place for place, row in enumerate(points.astype(np.float64))}
        return np.array([where[row.tobytes()] for row in np.ascontiguousarray(found)])

    return _farthest_points(tiny, "Open3D farthest_point_down_sample", sample)


def _farthest_points(tiny: bool, peer: str, sample: Callable[[np.ndarray, int], np.ndarray]) -> Comparison:
    points, _ = part_of(224, 500 if tiny else 21_033)
    count = 64 if tiny else 1024

    def agreement(theirs: np.ndarray, ours: np.ndarray) -> str:
        same = np.intersect1d(theirs, ours).size
        return f"{same} of {count} points the same, {'in' if np.array_equal(theirs, ours) else 'not in'} the same order"

    return Comparison(
        "farthest points",
        f"{count:,} of {len(points):,} points",
        peer,
        lambda: sample(points, count),
        lambda: farthest_point_sampling(points, count),
        agreement,
    )


PEERS: dict[str, Sequence[Callable[[bool], Comparison]]] = {
    "anomalib": (coreset_of_anomalib, aupro_of_anomalib),
    "torchmetrics": (auroc_of_torchmetrics,),
    "faiss": (search_of_faiss,),
    "fpsample": (points_of_fpsample,),
    "open3d": (points_of_open3d,),
}


def comparisons(tiny: bool, absent: dict[str, str]) -> Iterator[Comparison]:
    """All that can be made; what cannot is noted in `absent` with the reason."""
    for name, makers in PEERS.items():
        for make in makers:
            try:
                yield make(tiny)
            except (ImportError, OSError, AttributeError, MissingDependencyError) as error:
                absent[name] = f"{type(error).__name__}: {error}".splitlines()[0]


def measured(one: Comparison, budget: float) -> dict[str, Any]:
    """A row of the file."""
    pairs = in_turn(one.theirs, one.ours, budget=budget)
    return {
        "name": one.name,
        "work": one.work,
        "peer": one.peer,
        "peer_seconds": Spread.of(run.clock for run in pairs.plain)._asdict(),
        "our_seconds": Spread.of(run.clock for run in pairs.ours)._asdict(),
        "ratio": pairs.ratios("clock")._asdict(),
        "processor_ratio": pairs.ratios("processor")._asdict(),
        "agreement": one.agreement(pairs.plain_result, pairs.our_result),
    }


def main() -> int:
    """Measure what is installed, print it, and write the file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tiny", action="store_true", help="small sizes: checks the code and measures nothing")
    parser.add_argument("--absent", nargs="*", default=[], metavar="NAME", help="packages that could not be installed")
    parser.add_argument("--date", help="noted in the file as it is given")
    parser.add_argument("--out", type=Path, help="write the results to this file")
    arguments = parser.parse_args()
    absent = dict.fromkeys(arguments.absent, "It could not be installed beside the pinned versions.")
    rows = []
    for one in comparisons(arguments.tiny, absent):
        rows.append(measured(one, 0.1 if arguments.tiny else BUDGET))
        row = rows[-1]
        print(f"{one.name}, {one.peer}: {row['ratio']['median']:.2f} times as fast, {row['agreement']}", flush=True)
    for name, reason in absent.items():
        print(f"{name}: absent. {reason}")
    if arguments.out:
        result = {
            "date": arguments.date,
            "machine": machine(),
            "packages": packages() | _versions(),
            "rows": rows,
            "absent": absent,
        }
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    return 0


def _versions() -> dict[str, str]:
    found = {}
    for name in ("anomalib", "torchmetrics", "fpsample"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


if __name__ == "__main__":
    sys.exit(main())
