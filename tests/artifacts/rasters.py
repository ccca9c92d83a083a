"""A features artifact of made-up images and scans, of which parts may be absent, as extract writes it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from lsfa_cli.artifacts.features import Layout, SplitWriter
from lsfa_cli.artifacts.store import content_hash, create
from lsfa_cli.samples import MODALITIES, Modality, PatchFeatures, SampleRecord, Split
from lsfa_cli.settings import ExtractSettings, content_of

SIZE = 32
LAYOUTS: Mapping[Modality, Layout] = {"rgb": Layout(4, 6), "xyz": Layout(8, 5)}
SPLITS: Mapping[Split, tuple[str, ...]] = {
    "train": ("good",) * 4,
    "validation": ("good",) * 2,
    "test": ("good", "good", "hole", "hole", "hole"),
}

# The settings of extract as version 0.1.0 recorded them.
SETTINGS_OF_VERSION_1 = {
    "border_width": 10, "cluster_distance": 0.006, "cluster_min_points": 30, "device": "cpu", "image_size": SIZE,
    "local_average": False, "modality": "both", "plane_draws": 1000, "plane_inlier_distance": 0.004,
    "plane_removal_distance": 0.005, "plane_sample_points": 50, "projection": "public", "rgb_backbone": "texture",
    "rgb_weights": None, "seed": 0, "stage_version": 1, "xyz_backbone": "surface", "xyz_grid": 8, "xyz_weights": None,
}  # fmt: skip


def write_rasters(
    path: Path,
    *,
    modalities: Sequence[Modality] = MODALITIES,
    unmarked: Sequence[int] = (),
    settings: Mapping[str, Any] | None = None,
    category: str = "lid",
) -> Path:
    """Parts on the left half of the picture; a hole is a square of other features. unmarked: test samples."""
    layouts = {modality: LAYOUTS[modality] for modality in modalities}
    recorded = content_of(ExtractSettings(image_size=SIZE)) | {"device": "cpu", "stage_version": 1}
    with create(path, "features", settings=settings or recorded, inputs={"dataset": "0" * 64}) as writer:
        writer.attribute("dataset", "folder")
        writer.attribute("category", category)
        for modality, layout in layouts.items():
            writer.attribute(f"{modality}_grid", layout.grid)
        writer.attribute("backbones", json.dumps({modality: {"name": "made up"} for modality in modalities}))
        for split, defects in SPLITS.items():
            _write_split(writer, split, defects, layouts, unmarked)
    return path


def _write_split(
    writer: Any, split: Split, defects: Sequence[str], layouts: Mapping[Modality, Layout], unmarked: Sequence[int]
) -> None:
    records = [SampleRecord(f"{split}/{defect}/{n:03d}", split, defect, {}) for n, defect in enumerate(defects)]
    target = SplitWriter(writer, split, records, layouts, SIZE)
    generator = np.random.default_rng(len(defects))
    for index, record in enumerate(records):
        mask = np.zeros((SIZE, SIZE), dtype=bool)
        if record.label:
            mask[8 * (index - 1) : 8 * index, 8:16] = True
        target.patches(index, {m: _patches(layout, m, mask, generator) for m, layout in layouts.items()})
        if split == "test":
            picture = np.zeros((SIZE, SIZE), dtype=np.uint8)
            picture[:, : SIZE // 2] = 150 - 60 * mask[:, : SIZE // 2]
            colour = np.stack([picture, picture, picture // 2], axis=2) if "rgb" in layouts else None
            shading = picture if "xyz" in layouts else None
            target.pictures(index, None if index in unmarked else mask, colour, shading)
    target.close()


def _patches(layout: Layout, modality: Modality, mask: Any, generator: np.random.Generator) -> PatchFeatures:
    step = SIZE // layout.grid
    touched = mask.reshape(layout.grid, step, layout.grid, step).any(axis=(1, 3)).reshape(-1)
    values = generator.normal(size=(layout.grid**2, layout.dimension)) + 4.0 * touched[:, None]
    valid = np.ones(layout.grid**2, dtype=bool)
    if modality == "xyz":
        valid = (np.arange(layout.grid**2) % layout.grid) < layout.grid // 2
    return PatchFeatures(values[valid].astype(np.float32), valid, layout.grid)


def as_version(path: Path, version: int) -> Path:
    """The artifact as if another version of its schema had been written, hash included."""
    with h5py.File(path, "r+") as file:
        if version == 1 and "distances" in file:
            del file["distances"]
        file.attrs["schema_version"] = version
        file.attrs["content_hash"] = content_hash(file)
    return path
