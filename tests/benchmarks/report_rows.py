"""Rows 10 to 12: AUPRO, the training step's search, artifacts."""

import itertools
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from lsfa_cli.artifacts.features import Layout, SplitWriter, open_features
from lsfa_cli.artifacts.store import create
from lsfa_cli.losses import compactness
from lsfa_cli.metrics import aupro
from lsfa_cli.samples import PatchFeatures, SampleRecord
from lsfa_cli.training_banks import TrainingBank
from tests.benchmarks import plain
from tests.benchmarks.bank_rows import clustered_points
from tests.benchmarks.cases import Case, Target
from tests.benchmarks.measuring import largest_difference

AUPRO_LIMIT = 0.3


def maps_and_masks(count: int, size: int = 224) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Smooth maps that find some defects and miss others; a fifth of the samples is good, a few have three defects."""
    rng = np.random.default_rng(0)
    maps = np.empty((count, size, size), dtype=np.float32)
    masks = np.zeros((count, size, size), dtype=bool)
    for index in range(count):
        maps[index] = ndimage.gaussian_filter(rng.standard_normal((size, size)), 4.0) * 20
        for _ in range(0 if index % 5 == 0 else 3 if index % 7 == 0 else 1):
            row, column = rng.integers(0, size - size // 8, 2)
            height, width = rng.integers(size // 32 + 1, size // 8, 2)
            masks[index, row : row + height, column : column + width] = True
        maps[index] += rng.uniform(0, 2) * ndimage.gaussian_filter(masks[index].astype(np.float32), 4.0)
    return maps, masks


def metric_cases(tiny: bool) -> Iterator[Case]:
    """Row 10."""
    count, size = (6, 40) if tiny else (108, 224)
    maps, masks = maps_and_masks(count, size)
    yield Case(
        row=10,
        stage="report",
        name="AUPRO",
        work=f"{count} maps of {size} x {size}, exact: every distinct score",
        reference="100 thresholds, as published",
        plain=lambda: plain.aupro_at_ranks(maps, masks),
        ours=lambda: aupro(maps, masks, limit=AUPRO_LIMIT),
        difference=lambda _, ours: abs(plain.aupro_by_sorting_all(maps, masks, AUPRO_LIMIT) - ours),
        tolerance=1e-9,
        agreement="exact AUPRO, of a sort of all pixels",
        limit="read_gbs",
        amount=(maps.nbytes + masks.nbytes) / 1e9,
        target=Target(kind="ratio", value=5),
    )


def compactness_cases(tiny: bool) -> Iterator[Case]:
    """Row 11: the search and gradient of L_LC, one sample of a batch."""
    patches, held, dimension = (30, 300, 24) if tiny else (784, 50_000, 1_152)
    points = torch.from_numpy(clustered_points(patches + held, dimension))
    pieces = list(torch.split(points[patches:], 784))
    bank = TrainingBank(held, dimension)
    for index, piece in enumerate(pieces):
        bank.append(piece, index)

    def plainly() -> float:
        features = points[:patches].clone().requires_grad_()
        loss = plain.compactness_of_pieces(features, pieces)
        loss.backward()
        return loss.item()

    def ours() -> float:
        features = points[:patches].clone().requires_grad_()
        (nearest,) = bank.nearest([features], [-1], exclude_same_sample=True)
        loss = compactness(features, nearest, "l2")
        loss.backward()
        return loss.item()

    yield Case(
        row=11,
        stage="adapt",
        name="nearest entries of L_LC, with gradient",
        work=f"{patches} patches (one sample of a batch of 8), {held:,} entries, {dimension:,} values",
        reference="the bank's pieces put together, torch.cdist, float32",
        plain=plainly,
        ours=ours,
        difference=lambda a, b: abs(a - b) / a,
        tolerance=1e-4,
        agreement="loss, relative",
        limit="fp32_gflops",
        amount=2e-9 * patches * held * dimension,
        target=Target(kind="share", value=0.5),
    )


def artifact_cases(tiny: bool) -> Iterator[Case]:
    """Row 12: features of training samples to disk and back, against plain files of the same bytes."""
    samples, rgb, xyz = (3, (7, 16), (14, 24)) if tiny else (48, (28, 768), (56, 1_152))
    rng = np.random.default_rng(0)
    images = [rng.standard_normal((rgb[0] ** 2, rgb[1]), dtype=np.float32).astype(np.float16) for _ in range(2)]
    valid = np.zeros(xyz[0] ** 2, dtype=bool)
    valid[: len(valid) // 3] = True
    scans = [rng.standard_normal((valid.sum(), xyz[1]), dtype=np.float32).astype(np.float16) for _ in range(2)]
    megabytes = samples * (images[0].nbytes + scans[0].nbytes) / 1e6
    folder = tempfile.TemporaryDirectory(prefix="lsfa-bench-")
    path, raw = Path(folder.name) / "features.h5", Path(folder.name) / "raw.bin"

    def write_raw() -> None:
        with raw.open("wb") as file:
            for index in range(samples):
                file.write(images[index % 2].tobytes())
                file.write(scans[index % 2].tobytes())
            file.flush()
            os.fsync(file.fileno())

    def write_artifact() -> None:
        records = [SampleRecord(f"train/good/{index:03}", "train", "good", {}) for index in range(samples)]
        with create(path, "features", settings={"image_size": 224}, inputs={}) as writer:
            for name, value in (("dataset", "bench"), ("category", "bench"), ("backbones", "{}")):
                writer.attribute(name, value)
            writer.attribute("rgb_grid", rgb[0])
            writer.attribute("xyz_grid", xyz[0])
            split = SplitWriter(writer, "train", records, {"rgb": Layout(*rgb), "xyz": Layout(*xyz)}, 224)
            for index in range(samples):
                patches = PatchFeatures(images[index % 2], np.ones(rgb[0] ** 2, dtype=bool), rgb[0])
                scan = PatchFeatures(scans[index % 2], valid, xyz[0])
                split.patches(index, {"rgb": patches, "xyz": scan})
            split.close()

    def read_raw() -> float:
        total = 0.0
        with raw.open("rb") as file:
            for _ in range(samples):
                for one in (images[0], scans[0]):
                    total += float(np.frombuffer(file.read(one.nbytes), dtype=np.float16)[-1])
        return total

    def read_artifact() -> float:
        with open_features(path) as features:
            train = features.split("train")
            return sum(
                float(train.patches(index, modality).values.flat[-1])
                for index in range(samples)
                for modality in ("rgb", "xyz")
            )

    def different_bytes(_: object, __: object) -> float:
        with open_features(path) as features:
            train = features.split("train")
            return max(
                largest_difference(train.patches(index, name).values.view(np.uint16), one[index % 2].view(np.uint16))
                for index in range(samples)
                for name, one in (("rgb", images), ("xyz", scans))
            )

    for name, plainly, ours, difference, agreement in (
        ("writing features", write_raw, write_artifact, different_bytes, "bytes"),
        ("reading features", read_raw, read_artifact, largest_difference, "values read"),
    ):
        yield Case(
            row=12,
            stage="all",
            name=name,
            work=f"{samples} samples, {megabytes:.0f} MB in float16 "
            f"(244 samples: {megabytes / samples * 244 / 1000:.2f} GB, limit 2)",
            reference="one plain file of the same bytes, flushed to the disk",
            plain=plainly,
            ours=ours,
            difference=difference,
            tolerance=0,
            agreement=agreement,
            limit="read_gbs",
            amount=megabytes / 1e3,
            target=Target(kind="ratio", value=0.5),
        )
    folder.cleanup()


def cases(tiny: bool) -> Iterator[Case]:
    """All of these rows."""
    return itertools.chain(metric_cases(tiny), compactness_cases(tiny), artifact_cases(tiny))
