"""Every stage's heavy part at the paper's scale on a CUDA device: time, TFLOP/s and GB/s against the measured peaks.

    python -m tests.benchmarks.gpu [--device cuda] [--small] [--out FILE]

Needs torch, timm, numpy, scipy and h5py besides this package; neither Open3D nor faiss nor scikit-learn is imported.
Clocks are read when the device has finished (one synchronisation a run, none inside). `--device cpu --small` runs it on
the processor with small sizes, which checks the code and measures nothing.
"""

import argparse
import json
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import timm
import torch

from lsfa_cli.adaptors import build_adaptor
from lsfa_cli.artifacts.features import Layout, SplitWriter, open_features
from lsfa_cli.artifacts.store import create
from lsfa_cli.coreset import greedy_coreset
from lsfa_cli.maps import score_maps
from lsfa_cli.memory_bank import MemoryBank
from lsfa_cli.metrics import aupro
from lsfa_cli.precision import precision_of, products_in
from lsfa_cli.samples import PatchFeatures, SampleRecord
from lsfa_cli.searches.on_device import DeviceSearch
from lsfa_cli.training_banks import TrainingBank

RUNS = 5


class Sizes(NamedTuple):
    """The paper's numbers, or small ones."""

    model: str = "vit_base_patch8_224"
    images: int = 8
    patches: int = 255_000  # of the scans of 244 training samples, a third valid
    values: int = 1152
    projected: int = 307  # values in which the coreset is chosen
    picks: int = 25_500
    asked: int = 1045  # valid patches of a scan
    local_bank: int = 50_000
    maps: int = 110
    side: int = 224
    matrix: int = 8192
    memory: int = 2**30


SMALL = Sizes("vit_tiny_patch16_224", 1, 600, 24, 12, 60, 50, 300, 4, 56, 128, 2**20)


class Job(NamedTuple):
    """What is measured. flop: multiplications and additions; moved: bytes of device memory; both the least needed."""

    stage: str
    work: str
    run: Callable[[], Any]
    flop: float
    moved: float = 0.0
    runs: int = RUNS


class Clock:
    """Times work on a device: the median of runs, after one that is not counted."""

    def __init__(self, device: str) -> None:
        self.device = device

    def median(self, run: Callable[[], Any], runs: int) -> float:
        """Seconds of a run, until the device has finished."""
        times = []
        for number in range(runs + (runs > 1)):
            self._wait()
            start = time.perf_counter()
            run()
            self._wait()
            if number or runs == 1:
                times.append(time.perf_counter() - start)
        return float(np.median(times))

    def _wait(self) -> None:
        if self.device.startswith("cuda"):
            torch.cuda.synchronize(self.device)


def peaks(clock: Clock, sizes: Sizes) -> dict[str, float]:
    """What the device does at best: matrix products in float32 and bfloat16, TFLOP/s, and reading, GB/s."""
    flop = 2.0 * sizes.matrix**3
    found = {}
    for name, kind in (("fp32_tflops", torch.float32), ("bf16_tflops", torch.bfloat16)):
        matrix = torch.randn(sizes.matrix, sizes.matrix, device=clock.device).to(kind)
        found[name] = flop / clock.median(lambda matrix=matrix: matrix @ matrix, RUNS) / 1e12
    values = torch.ones(sizes.memory // 4, device=clock.device)
    found["read_gbs"] = sizes.memory / clock.median(lambda: values.sum(), RUNS) / 1e9
    return found


def clustered(count: int, values: int, clusters: int = 64) -> np.ndarray:
    """Points around cluster centres, as patches of parts are."""
    rng = np.random.default_rng(0)
    centers = rng.standard_normal((clusters, values), dtype=np.float32)
    points = 0.5 * rng.standard_normal((count, values), dtype=np.float32)
    points += centers[rng.integers(0, clusters, count)]
    return points


def extract_jobs(device: str, sizes: Sizes) -> Iterator[Job]:
    """The image backbone in both precisions."""
    network: Any = timm.create_model(sizes.model, pretrained=False, num_classes=0).eval().to(device)
    images = torch.rand(sizes.images, 3, 224, 224, device=device)
    tokens = network.patch_embed.num_patches + network.num_prefix_tokens
    weights = sum(p.numel() for name, p in network.named_parameters() if p.dim() > 1 and "blocks" in name)
    flop = 2.0 * sizes.images * tokens * (weights + 2 * tokens * network.embed_dim * len(network.blocks))
    for precision in dict.fromkeys(("fp32", precision_of("auto", device))):

        def forward(precision: Any = precision) -> None:
            with torch.no_grad(), products_in(precision, device):
                network.forward_features(images)

        yield Job("extract", f"{sizes.model}, {sizes.images} images, {precision}", forward, flop)


def adapt_jobs(device: str, sizes: Sizes) -> Iterator[Job]:
    """The search for nearest entries and a forward and backward pass of the adaptor."""
    entries = torch.from_numpy(clustered(sizes.local_bank, sizes.values)).to(device)
    bank = TrainingBank(sizes.local_bank, sizes.values, device=device)
    bank.append(entries, 0)
    queries = entries[: sizes.asked] + 0.1
    yield Job(
        "adapt",
        f"nearest of {sizes.local_bank:,} entries, {sizes.asked:,} queries",
        lambda: bank.nearest([queries], [-1], exclude_same_sample=True),
        2.0 * sizes.asked * sizes.local_bank * sizes.values,
        4.0 * sizes.local_bank * sizes.values,
    )
    adaptor = build_adaptor("encoder_1", sizes.values, start="identity", seed=0).to(device)
    patches = queries.unsqueeze(0)

    def step() -> None:
        adaptor(patches, None).square().mean().backward()

    weights = sum(p.numel() for p in adaptor.parameters() if p.dim() > 1)
    flop = 6.0 * sizes.asked * (weights + 2 * sizes.asked * sizes.values)
    yield Job("adapt", "encoder_1 of one sample, forward and backward", step, flop)


def bank_jobs(device: str, sizes: Sizes) -> Iterator[Job]:
    """The greedy coreset."""
    points = clustered(sizes.patches, sizes.projected)

    def choose() -> np.ndarray:
        return greedy_coreset(points, sizes.picks, device=_device_path(device))

    flop = 2.0 * sizes.patches * sizes.projected * sizes.picks
    yield Job("bank", f"coreset, {sizes.picks:,} of {sizes.patches:,} x {sizes.projected}", choose, flop, runs=1)


def score_jobs(device: str, sizes: Sizes) -> Iterator[Job]:
    """One sample against a bank, and maps, which NumPy makes on the host."""
    bank = MemoryBank(clustered(sizes.picks, sizes.values), lambda rows: DeviceSearch(rows, device))
    queries = clustered(sizes.asked, sizes.values)
    yield Job(
        "score",
        f"nearest of {sizes.picks:,} entries, {sizes.asked:,} queries, exact",
        lambda: bank.search(queries),
        2.0 * sizes.asked * sizes.picks * sizes.values,
        4.0 * sizes.picks * sizes.values,
    )
    scores = np.random.default_rng(0).uniform(size=(sizes.maps, 28 * 28)).astype(np.float32)
    yield Job("score", f"{sizes.maps} maps (host)", lambda: score_maps(scores, size=sizes.side), 0.0)


def report_jobs(sizes: Sizes) -> Iterator[Job]:
    """Exact AUPRO, on the host."""
    rng = np.random.default_rng(0)
    maps = rng.standard_normal((sizes.maps, sizes.side, sizes.side)).astype(np.float32)
    masks = np.zeros(maps.shape, dtype=bool)
    masks[::2, 10:30, 10:30] = True
    yield Job("report", f"exact AUPRO of {sizes.maps} maps (host)", lambda: aupro(maps, masks), 0.0)


def artifact_jobs(sizes: Sizes, folder: Path) -> Iterator[Job]:
    """Features of some samples, written and read."""
    values = clustered(sizes.asked, sizes.values).astype(np.float16)
    grid = int(np.ceil(sizes.asked**0.5)) + 1
    valid = np.zeros(grid * grid, dtype=bool)
    valid[: sizes.asked] = True
    path, samples = folder / "features.h5", 4 if sizes is SMALL else 24

    def write() -> None:
        with create(path, "features", settings={"image_size": sizes.side}, inputs={}) as writer:
            for name, text in (("dataset", "bench"), ("category", "bench"), ("backbones", "{}")):
                writer.attribute(name, text)
            writer.attribute("xyz_grid", grid)
            records = [SampleRecord(f"train/good/{index:03}", "train", "good", {}) for index in range(samples)]
            split = SplitWriter(writer, "train", records, {"xyz": Layout(grid, sizes.values)}, sizes.side)
            for index in range(samples):
                split.patches(index, {"xyz": PatchFeatures(values, valid, grid)})
            split.close()

    def read() -> None:
        with open_features(path) as features:
            train = features.split("train")
            for index in range(samples):
                train.patches(index, "xyz")

    moved = float(samples * values.nbytes)
    yield Job("all", f"{samples} scans' features written (host)", write, 0.0, moved)
    yield Job("all", f"{samples} scans' features read (host)", read, 0.0, moved)


def jobs(device: str, sizes: Sizes, folder: Path) -> Iterator[Job]:
    """All of them, one made after the other, so that their data are not held together."""
    for make in (extract_jobs, adapt_jobs, bank_jobs, score_jobs):
        yield from make(device, sizes)
    yield from report_jobs(sizes)
    yield from artifact_jobs(sizes, folder)


def _device_path(device: str) -> str:
    """A name of the device for which the coreset makes its picks as on a device, on the processor too."""
    return "cpu:0" if device == "cpu" else device


def measure(device: str, sizes: Sizes, tell: Callable[[str], None] = print) -> dict[str, Any]:
    """Peaks and all jobs."""
    clock = Clock(device)
    best = peaks(clock, sizes)
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else platform.processor() or "processor"
    tell(f"{name}: " + ", ".join(f"{key} {value:.2f}" for key, value in best.items()))
    rows = []
    with tempfile.TemporaryDirectory(prefix="lsfa-bench-") as folder:
        for job in jobs(device, sizes, Path(folder)):
            seconds = clock.median(job.run, job.runs)
            tflops, gbs = job.flop / seconds / 1e12, job.moved / seconds / 1e9
            peak = best["bf16_tflops" if job.work.endswith("bf16") else "fp32_tflops"]
            rows.append({"stage": job.stage, "work": job.work, "seconds": seconds, "tflops": tflops, "gbs": gbs})
            share = f"{tflops:8.2f} TFLOP/s ({100 * tflops / peak:3.0f} %)" if job.flop else " " * 23
            moved = f"{gbs:8.1f} GB/s ({100 * gbs / best['read_gbs']:3.0f} %)" if job.moved else ""
            tell(f"{job.stage:8} {job.work:55} {1000 * seconds:10.2f} ms {share} {moved}")
    return {"device": name, "torch": torch.__version__, "peaks": best, "rows": rows}


def main() -> int:
    """Measure, print a table, write the file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="small sizes: checks the code and measures nothing")
    parser.add_argument("--out", type=Path, help="write the results to this file")
    arguments = parser.parse_args()
    if arguments.device.startswith("cuda") and not torch.cuda.is_available():
        print("There is no CUDA device here. --device cpu --small checks the code on the processor.", file=sys.stderr)
        return 1
    found = measure(arguments.device, SMALL if arguments.small else Sizes())
    if arguments.out:
        arguments.out.write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
