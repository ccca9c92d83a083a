"""A features artifact of made-up clouds: parts whose groups and points have known features and defects."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lsfa_cli.artifacts.features import NO_GRID, CloudWriter
from lsfa_cli.artifacts.store import create
from lsfa_cli.samples import SampleRecord, Split
from lsfa_cli.settings import ExtractSettings, content_of

SIZE = 32  # of the pictures
GROUPS = 40
DIMENSION = 12
STRANGE = 6.0  # how far the groups of a defect are from all others


@dataclass(frozen=True)
class Cloud:
    """One made-up cloud: group features (m, D), and of each point the nearest group and whether it is on a defect."""

    record: SampleRecord
    values: NDArray[np.float32]
    group: NDArray[np.int32]
    defect: NDArray[np.bool_]


def cloud(split: Split, number: int, defect: str = "good", *, points: int = 500) -> Cloud:
    """Cloud `number`; every one has another number of groups and points. A defect covers its last five groups."""
    generator = np.random.default_rng([number, defect != "good", split == "test"])
    values = generator.normal(size=(GROUPS + number, DIMENSION)).astype(np.float32)
    group = generator.integers(0, len(values), points + 7 * number).astype(np.int32)
    bad = np.zeros(len(group), dtype=bool)
    if defect != "good":
        values[-5:] += STRANGE
        bad = group >= len(values) - 5
    return Cloud(SampleRecord(f"{split}/{defect}/{number:03d}", split, defect, {}), values, group, bad)


def train_clouds(count: int = 3) -> list[Cloud]:
    """Good clouds."""
    return [cloud("train", number) for number in range(count)]


def scored_clouds(good: int = 3, bad: int = 3) -> list[Cloud]:
    """Good and defective clouds."""
    return [
        *(cloud("test", number, "bulge") for number in range(bad)),
        *(cloud("test", bad + number) for number in range(good)),
    ]


def picture(points: int) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """A rendering (SIZE, SIZE) that shows the first points row by row inside a border, and which they are."""
    shown = np.full((SIZE, SIZE), -1, dtype=np.int32)
    inside = shown[2:-2, 2:-2]
    inside[:] = np.arange(inside.size).reshape(inside.shape)
    shown[shown >= points] = -1
    return np.where(shown >= 0, 160, 0).astype(np.uint8), shown


def write_clouds(path: Path, train: Sequence[Cloud], test: Sequence[Cloud], *, category: str = "duck") -> Path:
    """A features artifact of these clouds, as extract writes it."""
    settings = content_of(ExtractSettings(image_size=SIZE)) | {"device": "cpu", "stage_version": 1}
    with create(path, "features", settings=settings, inputs={"dataset": "0" * 64}) as writer:
        writer.attribute("dataset", "real3d_ad")
        writer.attribute("category", category)
        writer.attribute("xyz_grid", NO_GRID)
        writer.attribute("backbones", json.dumps({"xyz": {"name": "made up"}}))
        for split, clouds in (("train", train), ("test", test)):
            if not clouds:
                continue
            target = CloudWriter(writer, split, [one.record for one in clouds], DIMENSION, SIZE)  # type: ignore[arg-type]  # split is one of two literals
            for one in clouds:
                target.groups(one.values)
                if split == "test":
                    target.points(one.defect, one.group, *picture(len(one.group)))
            target.close()
    return path
