"""Rows 1 to 5: preprocessing, farthest points, projection, backbone."""

import itertools
import multiprocessing
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import timm
import torch
from numpy.typing import NDArray
from scipy.ndimage import zoom

from lsfa_cli.backbones.timm_images import TimmArguments, TimmImages
from lsfa_cli.datasets import open_dataset
from lsfa_cli.datasets.prepared import prepared
from lsfa_cli.datasets.synthetic import generate
from lsfa_cli.open3d_library import import_open3d
from lsfa_cli.pointcloud import farthest_point_sampling
from lsfa_cli.preprocessing import PreprocessOptions, prepare
from lsfa_cli.preprocessing.cache import SampleCache
from lsfa_cli.projection import projection_matrix, to_patches
from lsfa_cli.samples import Sample
from lsfa_cli.stages.read_ahead import read_ahead
from tests.benchmarks import plain
from tests.benchmarks.cases import Case, Target
from tests.benchmarks.measuring import largest_difference
from tests.conftest import SHARED

OPTIONS = PreprocessOptions()


def preprocessing_cases(tiny: bool) -> Iterator[Case]:
    """Rows 1 and 2: background and clusters, on a real scan where the shared material has one, or a synthetic one."""
    open3d = import_open3d()
    scan, origin = _scan(tiny)
    sizes = ((1, scan, 0.06),) if tiny else ((1, scan, 0.06), (2, doubled(scan), 0.25))
    for row, sample, target in sizes:
        side = sample.valid.shape[0]

        def plainly(sample: Sample = sample) -> NDArray[np.bool_]:
            open3d.utility.random.seed(0)
            return plain.valid_pixels_by_open3d(open3d, sample)

        def ours(sample: Sample = sample) -> NDArray[np.bool_]:
            return prepare(sample, OPTIONS).valid

        yield Case(
            row=row,
            stage="extract",
            name=f"preprocessing, {side} x {side}",
            work=f"plane, largest cluster, padding and resizing of {origin}, {np.count_nonzero(sample.valid):,} points",
            reference="Open3D: segment_plane of the border, cluster_dbscan of all points",
            plain=plainly,
            ours=ours,
            difference=lambda a, b: float(np.count_nonzero(a != b) / max(1, np.count_nonzero(a))),
            tolerance=0.01 if tiny else 0.001,
            agreement="share of the valid pixels that only one of them keeps",
            limit="read_gbs",
            amount=(sample.xyz.nbytes + sample.rgb.nbytes + sample.valid.nbytes + sample.mask.nbytes) / 1e9,
            target=Target(kind="seconds", value=target),
        )


def cached_cases(tiny: bool) -> Iterator[Case]:
    """Row 1, the second time: what an earlier `extract` prepared is read from the cache."""
    folder = tempfile.TemporaryDirectory(prefix="lsfa-bench-")
    size = 128 if tiny else 400
    root, cache = Path(folder.name) / "data", SampleCache(Path(folder.name) / "cache")
    generate(root, categories=["fitting"], size=size, train=1, validation=0, test_good=1, test_per_defect=0)
    dataset = open_dataset("synthetic", root)
    record = dataset.records("fitting")[0]
    prepared(dataset, record, OPTIONS, cache)
    yield Case(
        row=1,
        stage="extract",
        name="a sample again, from the cache",
        work=f"a synthetic fitting of {size} x {size}",
        reference="reading and preprocessing the raw files anew, by the same code",
        plain=lambda: prepared(dataset, record, OPTIONS, None),
        ours=lambda: prepared(dataset, record, OPTIONS, cache),
        difference=lambda a, b: max(largest_difference(a.rgb, b.rgb), largest_difference(a.xyz, b.xyz)),
        tolerance=0,
        agreement="values",
        limit="read_gbs",
        amount=(3 * 4 + 3 * 4 + 1) * 224 * 224 / 1e9,
        target=None,
    )
    folder.cleanup()


def prepared_of(path: tuple[str, str, int]) -> Any:
    """What a worker process makes: one sample by its data set's name and root and its place there."""
    name, root, index = path
    dataset: Any = open_dataset(name, Path(root))
    return prepared(dataset, dataset.records("fitting")[index], OPTIONS, None)


def jobs_cases(tiny: bool) -> Iterator[Case]:
    """How samples are prepared ahead of the networks: by threads, against as many worker processes."""
    folder = tempfile.TemporaryDirectory(prefix="lsfa-bench-")
    size, count, workers = (128, 2, 1) if tiny else (400, 8, os.cpu_count() or 1)
    root = Path(folder.name)
    generate(root, categories=["fitting"], size=size, train=count, validation=0, test_good=1, test_per_defect=0)
    paths = [("synthetic", str(root), index) for index in range(count)]
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        list(pool.map(prepared_of, paths))  # so that starting and importing do not count
        yield Case(
            row=1,
            stage="extract",
            name="samples ahead",
            work=f"{count} synthetic fittings of {size} x {size}, {workers} workers",
            reference=f"{workers} worker processes, already started, which send what they prepared",
            plain=lambda: list(pool.map(prepared_of, paths)),
            ours=lambda: list(read_ahead(prepared_of, paths, workers)),
            difference=lambda a, b: max(
                max(largest_difference(one.rgb, two.rgb), largest_difference(one.xyz, two.xyz))
                for one, two in zip(a, b, strict=True)
            ),
            tolerance=0,
            agreement="values",
            limit="read_gbs",
            amount=count * (3 * 4 + 3 * 4 + 1) * 224 * 224 / 1e9,
            target=None,
            plain_elsewhere=True,
        )
    folder.cleanup()


def _scan(tiny: bool) -> tuple[Sample, str]:
    root = SHARED / "data" / "mvtec3d"
    if (root / "cable_gland").exists() and not tiny:
        dataset, category, origin = open_dataset("mvtec3d", root), "cable_gland", "a scan of cable_gland"
        return dataset.read(dataset.records(category)[1]), origin
    with tempfile.TemporaryDirectory() as folder:
        size = 128 if tiny else 400
        generate(Path(folder), categories=["fitting"], size=size, train=1, validation=0, test_good=1, test_per_defect=0)
        dataset = open_dataset("synthetic", Path(folder))
        return dataset.read(dataset.records("fitting")[0]), "a synthetic fitting"


def doubled(sample: Sample) -> Sample:
    """Twice the rows and columns: points halfway between, where all neighbours are valid."""
    valid = zoom(sample.valid.astype(float), 2, order=1, grid_mode=True, mode="nearest") > 0.999
    axes = [zoom(sample.xyz[..., axis], 2, order=1, grid_mode=True, mode="nearest") for axis in range(3)]
    rgb, mask = (array.repeat(2, axis=0).repeat(2, axis=1) for array in (sample.rgb, sample.mask))
    xyz = np.where(valid[..., None], np.stack(axes, axis=2), 0).astype(np.float32)
    return Sample(sample.record, rgb, xyz, valid, mask)


def part_of(side: int, count: int, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """A round wavy part of about `count` valid pixels in a raster: points (n, 3) in raster order, and valid."""
    row, column = np.mgrid[:side, :side] / side
    valid = np.hypot(row - 0.5, column - 0.5) < np.sqrt(count / np.pi) / side
    noise = np.random.default_rng(seed).normal(0, 2e-5, (side, side))
    height = 0.64 + 0.004 * np.sin(9 * row) * np.cos(7 * column) + noise
    xyz = np.stack([0.1 * column, 0.1 * row, height], axis=2).astype(np.float32)
    return np.ascontiguousarray(xyz[valid]), valid


def farthest_point_cases(tiny: bool) -> Iterator[Case]:
    """Row 3."""
    centers = 64 if tiny else 1024
    for total in (500,) if tiny else (7_011, 21_033):
        points, _ = part_of(224, total)
        yield Case(
            row=3,
            stage="extract",
            name=f"farthest points of {len(points):,}",
            work=f"{centers:,} centres of {len(points):,} points",
            reference="NumPy loop on (N, 3)",
            plain=lambda points=points: plain.farthest_points(points, centers),
            ours=lambda points=points: farthest_point_sampling(points, centers),
            difference=largest_difference,
            tolerance=0,
            agreement="indices",
            limit="read_gbs",
            amount=centers * len(points) * 4 * 5 / 1e9,  # x, y, z, and the distances, read and written
            target=Target(kind="ratio", value=14),
        )


def projection_cases(tiny: bool) -> Iterator[Case]:
    """Row 4."""
    count, centers, width = (500, 64, 24) if tiny else (7_011, 1_024, 1_152)
    points, valid = part_of(224, count)
    middle = points[farthest_point_sampling(points, centers)]
    features = np.random.default_rng(0).standard_normal((centers, width)).astype(np.float32)

    def ours() -> NDArray[np.float32]:
        patches = to_patches(features, projection_matrix(points, middle, valid, 56, "public"), valid, 56)
        whole = np.zeros((56 * 56, width), dtype=np.float32)
        whole[patches.valid] = patches.values
        return whole

    def difference(dense: NDArray[np.float32], ours: NDArray[np.float32]) -> float:
        covered = ours.any(axis=1)
        return largest_difference(dense[covered], ours[covered])

    stored = projection_matrix(points, middle, valid, 56, "public").nnz
    yield Case(
        row=4,
        stage="extract",
        name="Eq. 1 and pooling",
        work=f"{len(points):,} points, {centers:,} centres, {width:,} values",
        reference="all distances sorted, a dense map of 224 x 224, two poolings",
        plain=lambda: plain.dense_projection(points, middle, features, valid),
        ours=ours,
        difference=difference,
        tolerance=1e-5,
        agreement="features of valid patches",
        limit="fp32_gflops",
        amount=2e-9 * stored * width,
        target=Target(kind="ratio", value=50),
    )


def backbone_cases(tiny: bool) -> Iterator[Case]:
    """Row 5: the network alone, with generated weights."""
    model, batch = ("vit_tiny_patch16_224", 1) if tiny else ("vit_base_patch8_224", 2)
    torch.manual_seed(0)
    network: Any = timm.create_model(model, pretrained=False, num_classes=0).eval()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "generated.safetensors"
        safetensors.torch.save_file(network.state_dict(), file)
        ours = TimmImages(TimmArguments(model=model), weights=file, device="cpu", image_size=224, local_average=False)
    images = torch.rand(batch, 3, 224, 224)
    mean, std = ours.mean, ours.std

    def plainly() -> NDArray[np.float32]:
        with torch.no_grad():
            tokens = network.forward_features((images - mean) / std)[:, 1:]
        return tokens.reshape(batch, ours.grid, ours.grid, -1).numpy()

    yield Case(
        row=5,
        stage="extract",
        name=f"backbone {model}",
        work=f"{batch} images of 224 x 224, float32, generated weights",
        reference="timm's forward_features",
        plain=plainly,
        ours=lambda: ours.feature_maps(images),
        difference=lambda a, b: largest_difference(a, b) / float(np.abs(a).max()),
        tolerance=1e-2,
        agreement="features, relative to the largest",
        limit="fp32_gflops",
        amount=batch * transformer_gflop(network),
        target=Target(kind="share", value=0.6),
    )


def transformer_gflop(network: Any) -> float:
    """Multiplications and additions of one image, GFLOP: linear layers, and both products of attention."""
    tokens = network.patch_embed.num_patches + network.num_prefix_tokens
    weights = sum(layer.weight.numel() for block in network.blocks for layer in _linear_layers(block))
    attention = 2 * tokens * network.embed_dim * len(network.blocks)
    embedding = network.patch_embed.proj.weight.numel() * network.patch_embed.num_patches / tokens
    return float(2e-9 * tokens * (weights + embedding + attention))


def _linear_layers(module: torch.nn.Module) -> list[torch.nn.Linear]:
    return [layer for layer in module.modules() if isinstance(layer, torch.nn.Linear)]


def cases(tiny: bool) -> Iterator[Case]:
    """All of these rows."""
    return itertools.chain(
        preprocessing_cases(tiny),
        cached_cases(tiny),
        jobs_cases(tiny),
        farthest_point_cases(tiny),
        projection_cases(tiny),
        backbone_cases(tiny),
    )
