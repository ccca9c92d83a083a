"""MVTec AD (Bergmann, Fauser, Sattlegger, Steger 2019): images alone.

ROOT/CATEGORY/train/good/ID.png, ROOT/CATEGORY/test/DEFECT/ID.png and ROOT/CATEGORY/ground_truth/DEFECT/ID_mask.png.
Three categories (grid, screw, zipper) are grey. There is no validation split.
"""

from pathlib import Path

import numpy as np

from lsfa_cli.datasets import DATASETS
from lsfa_cli.datasets.base import ReadOptions
from lsfa_cli.datasets.categories import CategoryLayout
from lsfa_cli.datasets.files import read_mask, read_rgb
from lsfa_cli.datasets.folders import folders, is_folder, listing, require_complete, require_equal_size, stems
from lsfa_cli.errors import DataError
from lsfa_cli.preprocessing import RESIZING_ALONE, Recipe
from lsfa_cli.samples import GOOD, Modality, Sample, SampleRecord

LAYOUT = CategoryLayout(DATASETS["mvtec2d"].layout)
MASKS = "ground_truth"
MASK_ENDING = "_mask"
"""Between the id and the suffix of a mask's file."""


class Mvtec2d:
    """MVTec AD in its published layout under `root`."""

    name = "mvtec2d"
    stand_in_ok = False

    def __init__(self, root: Path, options: ReadOptions = ReadOptions()) -> None:
        self.root = root
        self._test = options.test

    def modalities(self, category: str) -> tuple[Modality, ...]:
        """An image."""
        return ("rgb",)

    def recipe(self, category: str) -> Recipe:
        """Resizing alone."""
        return RESIZING_ALONE

    def categories(self) -> list[str]:
        """The folders of `root` that have train/good, sorted."""
        return LAYOUT.categories(self.root)

    def records(self, category: str) -> list[SampleRecord]:
        """All samples: train, test; defects and ids in alphabetical order. Training reads `good` alone."""
        folder = LAYOUT.folder(self.root, category)
        missing: list[str] = []
        train = [
            SampleRecord(f"train/{GOOD}/{stem}", "train", GOOD, {"rgb": folder / "train" / GOOD / f"{stem}.png"})
            for stem in sorted(stems(folder / "train" / GOOD, ".png"))
        ]
        test = _test_records(folder, missing) if self._test else []
        for place, records in ((folder / "train" / GOOD, train), (folder / "test", test)):
            if not records and (self._test or records is train):
                found = listing(place) if is_folder(place) else "no such folder"
                raise DataError(
                    f"{place} holds no samples: expected ID.png in it, found {found}.", hint=f"Expected {LAYOUT.text}."
                )
        require_complete(
            folder,
            missing,
            f"test/DEFECT/ID.png has its mask in {MASKS}/DEFECT. Unpack the category again.",
            train + test,
        )
        return train + test

    def read(self, record: SampleRecord) -> Sample:
        """The image and its mask, which is all False on good parts; grey images have three equal channels."""
        rgb = read_rgb(record.files["rgb"], or_grey=True)
        if "mask" not in record.files:
            return Sample(record, rgb, None, None, np.zeros(rgb.shape[:2], dtype=np.bool_))
        mask = read_mask(record.files["mask"])
        require_equal_size(record, "mask", mask.shape, rgb.shape[:2])
        return Sample(record, rgb, None, None, mask)


def _test_records(category: Path, missing: list[str]) -> list[SampleRecord]:
    """The test samples in order; images and masks without their counterpart are added to `missing`."""
    records: list[SampleRecord] = []
    if not is_folder(category / "test"):
        return records
    for folder in folders(category / "test"):
        found = stems(folder, ".png")
        if not found:
            raise DataError(
                f"{folder} holds no samples: expected ID.png in it, found {listing(folder)}.",
                hint="Remove the folder, or unpack the category again.",
            )
        masks = category / MASKS / folder.name
        masked = {stem.removesuffix(MASK_ENDING) for stem in stems(masks, ".png") if stem.endswith(MASK_ENDING)}
        expected = set() if folder.name == GOOD else found
        missing += [f"{MASKS}/{folder.name}/{stem}{MASK_ENDING}.png" for stem in sorted(expected - masked)]
        missing += [f"test/{folder.name}/{stem}.png" for stem in sorted(masked - found)]
        for stem in sorted(found):
            files = {"rgb": folder / f"{stem}.png"}
            if stem in expected:
                files["mask"] = masks / f"{stem}{MASK_ENDING}.png"
            records.append(SampleRecord(f"test/{folder.name}/{stem}", "test", folder.name, files))
    return records
