"""Samples made by hand, as the checks see them."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lsfa_cli.checks.base import Check, Measured, Verdict, View
from lsfa_cli.checks.facts import Facts, facts_of, point_facts
from lsfa_cli.samples import GOOD, CloudSample, Sample, SampleRecord

SIDE = 128


def record(name: str = "train/good/000", **files: str) -> SampleRecord:
    split, defect, _ = name.split("/")
    return SampleRecord(name, split, defect, {role: Path(file) for role, file in files.items()})


def scene(seed: int = 0, height: int = SIDE, width: int = SIDE) -> Sample:
    """A bright box of 40 x 32 mm above a dark floor half a metre from the camera, somewhere near the middle."""
    generator = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    top, left = (int(generator.integers(30, 45)) for _ in range(2))
    part = (rows >= top) & (rows < top + 40) & (columns >= left) & (columns < left + 32)
    depth = np.where(part, 0.48, 0.5) + generator.normal(0, 1e-4, (height, width))
    xyz = np.stack([(columns - width / 2) * 0.001, (rows - height / 2) * 0.001, depth], axis=-1).astype(np.float32)
    rgb = (np.where(part, 150, 40)[..., None] + generator.integers(-8, 9, (height, width, 3))).astype(np.uint8)
    valid = np.ones((height, width), bool)
    return Sample(record(), rgb, xyz, valid, np.zeros_like(valid))


def view(sample: Sample, name: str = "train/good/000", mask_values: tuple[int, ...] | None = None) -> View:
    sample = replace(sample, record=record(name, rgb="a.png", xyz="a.tiff", mask=f"{name}.png"))
    return View(sample.record, {}, facts_of(sample), sample=sample, mask_values=mask_values)


def cloud_view(points: Any, name: str = "train/good/000", defect: Any = None) -> View:
    points = np.asarray(points, dtype=np.float32)
    marked = np.zeros(len(points), bool) if defect is None else np.asarray(defect)
    cloud = CloudSample(record(name), points, marked)
    return View(cloud.record, {}, Facts(None, None, point_facts(points)), cloud=cloud)


def file_view(name: str, same_content: Mapping[str, str] | None = None) -> View:
    return View(record(name, rgb=f"{name}.png", xyz=f"{name}.tiff"), same_content or {})


def judged(check: Check[Any], views: Iterable[View]) -> Verdict:
    """Measure each view and judge them together, as the stage does."""
    measured = [Measured(seen.record, check.measure(seen)) for seen in views]
    return check.judge([row for row in measured if row.value is not None])


def changed(change: Callable[[Sample], dict[str, Any]], count: int = 6) -> list[View]:
    """Views of several scenes, each changed alike."""
    made = []
    for seed in range(count):
        sample = scene(seed)
        made.append(view(replace(sample, **change(sample)), f"train/{GOOD}/{seed:03}"))
    return made


def clean(count: int = 6) -> list[View]:
    return changed(lambda sample: {}, count)
