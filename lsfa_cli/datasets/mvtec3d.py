"""MVTec 3D-AD (Bergmann, Jin, Sattlegger, Steger 2021) and generated data in the same layout.

ROOT/CATEGORY/{train,validation}/good/{rgb,xyz} and ROOT/CATEGORY/test/DEFECT/{rgb,xyz,gt}; the files of a sample
share a stem: rgb/000.png, xyz/000.tiff, gt/000.png. Masks hold class ids, and good test samples have empty masks.
"""

from pathlib import Path
from types import MappingProxyType

import numpy as np

from lsfa_cli.datasets import DATASETS
from lsfa_cli.datasets.base import ReadOptions
from lsfa_cli.datasets.categories import CategoryLayout
from lsfa_cli.datasets.files import read_mask, read_rgb
from lsfa_cli.datasets.folders import folders, is_folder, listing, require_complete, require_equal_size, stems
from lsfa_cli.datasets.tiffs import read_cloud
from lsfa_cli.errors import DataError
from lsfa_cli.preprocessing import Recipe
from lsfa_cli.samples import GOOD, MODALITIES, SPLITS, Modality, Sample, SampleRecord, Split

LAYOUT = CategoryLayout(DATASETS["mvtec3d"].layout)
FOLDERS = MappingProxyType({"rgb": ("rgb", ".png"), "xyz": ("xyz", ".tiff"), "mask": ("gt", ".png")})
"""Role of a file -> its folder and suffix."""


class Mvtec3d:
    """MVTec 3D-AD in its published layout under `root`."""

    name = "mvtec3d"
    stand_in_ok = False

    def __init__(self, root: Path, options: ReadOptions = ReadOptions()) -> None:
        self.root = root
        self._splits = tuple(split for split in SPLITS if options.test or split != "test")

    def modalities(self, category: str) -> tuple[Modality, ...]:
        """An image and a scan."""
        return MODALITIES

    def recipe(self, category: str) -> Recipe:
        """The published one (METHOD 1)."""
        return Recipe()

    def categories(self) -> list[str]:
        """The folders of `root` that have train/good, sorted."""
        return LAYOUT.categories(self.root)

    def records(self, category: str) -> list[SampleRecord]:
        """All samples: train, validation (where there is one), test; defects and ids in alphabetical order.

        Training and validation read `good` alone.
        """
        folder = LAYOUT.folder(self.root, category)
        records: list[SampleRecord] = []
        missing: list[str] = []
        for split in self._splits:
            found = _split_records(folder, split, missing)
            if not found and split != "validation":
                raise DataError(
                    f"{folder / split} holds no samples.", hint=f"Expected {LAYOUT.text}. Unpack the category again."
                )
            records += found
        require_complete(
            folder,
            missing,
            "A sample has the same id in rgb, xyz and (in test) gt. Unpack the category again.",
            records,
        )
        return records

    def read(self, record: SampleRecord) -> Sample:
        """RGB, cloud and mask of one sample; the mask is all False where the sample has none."""
        rgb = read_rgb(record.files["rgb"])
        xyz, valid = read_cloud(record.files["xyz"])
        require_equal_size(record, "xyz", valid.shape, rgb.shape[:2])
        if "mask" not in record.files:
            return Sample(record, rgb, xyz, valid, np.zeros_like(valid))
        mask = read_mask(record.files["mask"])
        require_equal_size(record, "mask", mask.shape, rgb.shape[:2])
        if record.defect == GOOD and mask.any():
            raise DataError(
                f"{record.files['mask']}: the mask of a good part marks {int(mask.sum())} defect pixels.",
                hint="Move the sample to the folder of its defect, or empty its mask.",
            )
        return Sample(record, rgb, xyz, valid, mask)


class Synthetic(Mvtec3d):
    """Generated parts, written in the layout of MVTec 3D-AD."""

    name = "synthetic"
    stand_in_ok = True


def _split_records(category: Path, split: Split, missing: list[str]) -> list[SampleRecord]:
    """The samples of one split in order; files that should be there and are not are added to `missing`."""
    folder = category / split
    if not is_folder(folder):
        return []
    if split != "test":
        return _defect_records(folder / GOOD, split, ("rgb", "xyz"), missing) if is_folder(folder / GOOD) else []
    records: list[SampleRecord] = []
    for defect in folders(folder):
        # Copies of the set without the (empty) masks of good samples are common, and lose nothing.
        maskless = defect.name == GOOD and not (defect / "gt").exists()
        found = _defect_records(defect, split, ("rgb", "xyz") if maskless else ("rgb", "xyz", "mask"), missing)
        if not found:
            raise DataError(
                f"{defect} holds no samples: expected rgb, xyz and gt in it, found {listing(defect)}.",
                hint="Remove the folder, or unpack the category again.",
            )
        records += found
    return records


def _defect_records(folder: Path, split: Split, roles: tuple[str, ...], missing: list[str]) -> list[SampleRecord]:
    """The samples of one folder such as test/hole, whose files have the given roles."""
    found = {role: stems(folder / FOLDERS[role][0], FOLDERS[role][1]) for role in roles}
    records = []
    for stem in sorted(set[str]().union(*found.values())):
        files = {role: folder / FOLDERS[role][0] / f"{stem}{FOLDERS[role][1]}" for role in roles}
        for role in roles:
            if stem not in found[role]:
                missing.append(files[role].relative_to(folder.parents[1]).as_posix())
        records.append(SampleRecord(f"{split}/{folder.name}/{stem}", split, folder.name, files))
    return records
