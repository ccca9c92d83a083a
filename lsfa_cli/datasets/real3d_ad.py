"""Real3D-AD (Liu, Xie, Chen et al. 2023): unorganized point clouds of twelve small objects, in millimetres, no images.

ROOT/CATEGORY/train/*.pcd are four complete objects, of which the first in alphabetical order is the template that all
others are registered to (the public code takes the first that the file system lists, which differs by machine).
ROOT/CATEGORY/test/N_KIND.pcd are single scans; of a defective one the points come from ROOT/CATEGORY/gt/N_KIND.txt
(x y z label), as in the public code, and not from its .pcd.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lsfa_cli.datasets.base import ReadOptions
from lsfa_cli.datasets.categories import CategoryLayout
from lsfa_cli.datasets.clouds import read_labelled_points, read_points
from lsfa_cli.datasets.folders import entries, is_folder, listing, require_complete
from lsfa_cli.errors import DataError
from lsfa_cli.regular_files import folder_instead
from lsfa_cli.samples import GOOD, CloudSample, Modality, SampleRecord, Split

LAYOUT = "CATEGORY/train/*template*.pcd or *prototype*.pcd, CATEGORY/test/N_KIND.pcd, CATEGORY/gt/N_KIND.txt"
METRES = 0.001  # a millimetre
_CATEGORIES = CategoryLayout(LAYOUT, signs=("train",))
# Which part of the object was scanned, not what is wrong with it: 12_bulge_cut, 3_good_copy.
_VARIANTS = ("cut", "copy")


class Real3dAd:
    """Real3D-AD in its published layout under `root`."""

    name = "real3d_ad"
    stand_in_ok = False

    def __init__(self, root: Path, options: ReadOptions = ReadOptions()) -> None:
        self.root = root
        self._test = options.test

    def categories(self) -> list[str]:
        """The folders of `root` that have a folder train, sorted."""
        return _CATEGORIES.categories(self.root)

    def modalities(self, category: str) -> tuple[Modality, ...]:
        """A scan alone."""
        return ("xyz",)

    def records(self, category: str) -> list[SampleRecord]:
        """All samples: train, then test; kinds and file names in alphabetical order.

        Each has the roles `xyz`, `template` and, where it is defective, `labels`.
        """
        folder = _CATEGORIES.folder(self.root, category)
        templates = [file for file in _clouds(folder / "train") if _is_template(file.name)]
        if not templates:
            raise DataError(
                f"{folder / 'train'} holds no *template*.pcd or *prototype*.pcd, found {listing(folder / 'train')}.",
                hint=f"Expected {LAYOUT}. Unpack the category again.",
            )
        train = [_record("train", GOOD, file, {"template": templates[0]}) for file in templates]
        missing: list[str] = []
        records = train + (_test_records(folder, templates[0], missing) if self._test else [])
        require_complete(
            folder,
            missing,
            "A defective scan test/N_KIND.pcd has its labels in gt/N_KIND.txt. Unpack the category again.",
            records,
        )
        return records

    def read_cloud(self, record: SampleRecord) -> CloudSample:
        """Points in metres around their mean, and which of them are on the defect."""
        if "labels" in record.files:
            points, defect = read_labelled_points(record.files["labels"])
        else:
            points = read_points(record.files["xyz"])
            defect = np.zeros(len(points), dtype=bool)
        return CloudSample(record, _centred(points), defect)


def kind_of(stem: str) -> str:
    """What a test file's name says is wrong: "12_bulge" and "12_bulge_cut" are bulge, "3_good" and "3_good_cut" good.

    Of the file's name alone: the public code takes every sample for good when a folder above is called good.
    """
    words = [word for word in stem.lower().split("_") if word and not word.isdecimal()]
    if any(GOOD in word for word in words):
        return GOOD
    kinds = [word for word in words if word not in _VARIANTS]
    return (kinds or words or ["unknown"])[-1]


def _test_records(folder: Path, template: Path, missing: list[str]) -> list[SampleRecord]:
    """The test samples of a category; labels that should be there and are not are added to `missing`."""
    if not is_folder(folder / "test"):
        raise DataError(f"{folder / 'test'} does not exist.", hint=f"Expected {LAYOUT}. Unpack the category again.")
    records: list[SampleRecord] = []
    for file in _clouds(folder / "test"):
        if "temp" in file.name:  # as the public code: a template that was left among the test scans
            continue
        kind = kind_of(file.stem)
        files = {"template": template}
        if kind != GOOD:
            files["labels"] = folder / "gt" / f"{file.stem}.txt"
            if not files["labels"].exists():
                missing.append(f"gt/{file.stem}.txt")
        records.append(_record("test", kind, file, files))
    if not records:
        raise DataError(
            f"{folder / 'test'} holds no scans, found {listing(folder / 'test')}.",
            hint=f"Expected {LAYOUT}. Unpack the category again.",
        )
    return sorted(records, key=lambda record: record.name)


def _clouds(folder: Path) -> list[Path]:
    """The .pcd files of a folder, sorted by name."""
    found = [entry for entry in entries(folder) if entry.suffix == ".pcd"]
    for entry in found:
        if is_folder(entry):
            raise folder_instead(entry)
    return found


def _is_template(name: str) -> bool:
    return "template" in name or "prototype" in name


def _record(split: Split, kind: str, file: Path, files: dict[str, Path]) -> SampleRecord:
    return SampleRecord(f"{split}/{kind}/{file.stem}", split, kind, {"xyz": file, **files})


def _centred(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Millimetres to metres around the mean."""
    exact = points.astype(np.float64)
    centred: NDArray[np.float32] = ((exact - exact.mean(axis=0)) * METRES).astype(np.float32)
    return centred
