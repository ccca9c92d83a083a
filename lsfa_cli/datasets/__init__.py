"""The data sets by name. Adding one takes a file with a `Dataset` class and a row here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lsfa_cli.catalog import Entry, lookup
from lsfa_cli.errors import DataError

if TYPE_CHECKING:
    from lsfa_cli.datasets.base import Dataset

RASTER_FIGURES = "I-AUROC (image), P-AUROC and AUPRO (pixel)"


@dataclass(frozen=True)
class DatasetEntry(Entry):
    """A row of `DATASETS`: also the layout that is read, what a sample has, and what its figures are called."""

    layout: str = ""
    has: str = ""
    figures: str = RASTER_FIGURES


DATASETS: dict[str, DatasetEntry] = {
    "mvtec3d": DatasetEntry(
        "lsfa_cli.datasets.mvtec3d",
        "Mvtec3d",
        "MVTec 3D-AD: ten categories of industrial parts, RGB and organized point cloud.",
        needs="the unpacked data set (CC BY-NC-SA 4.0, from MVTec)",
        layout="CATEGORY/train/good/{rgb,xyz}, CATEGORY/test/DEFECT/{rgb,xyz,gt}",
        has="RGB image, organized point cloud, mask",
    ),
    "synthetic": DatasetEntry(
        "lsfa_cli.datasets.mvtec3d",
        "Synthetic",
        "Generated parts in the layout of MVTec 3D-AD, for trying things out.",
        needs="files written by lsfa synthesize",
        layout="CATEGORY/train/good/{rgb,xyz}, CATEGORY/test/DEFECT/{rgb,xyz,gt}",
        has="RGB image, organized point cloud, mask",
    ),
    "eyecandies": DatasetEntry(
        "lsfa_cli.datasets.eyecandies",
        "Eyecandies",
        "Eyecandies: ten categories of rendered sweets, RGB and depth.",
        needs="the unpacked data set (terms on its project page)",
        layout="CATEGORY/{train,val,test_public}/data/ID_ITEM, or M3DM's CATEGORY/{train,test}/good/{rgb,xyz}",
        has="RGB image under one of six lights, depth image, mask",
    ),
    "mvtec2d": DatasetEntry(
        "lsfa_cli.datasets.mvtec2d",
        "Mvtec2d",
        "MVTec AD: fifteen categories of parts and textures, RGB alone.",
        needs="the unpacked data set (CC BY-NC-SA 4.0, from MVTec)",
        layout="CATEGORY/train/good/ID.png, CATEGORY/test/DEFECT/ID.png, CATEGORY/ground_truth/DEFECT/ID_mask.png",
        has="RGB or grey image, mask",
    ),
    "folder": DatasetEntry(
        "lsfa_cli.datasets.folder",
        "Folder",
        "Your own parts: images, organized clouds, depth images, or images with one of these.",
        needs="good parts in PART/good; lsfa data init writes a template, lsfa data fit measures the preprocessing",
        layout="PART/good, PART/validation, PART/test/{good,DEFECT}, PART/masks/DEFECT; files as lsfa-part.toml says",
        has="RGB image, organized point cloud or depth image, or one of them; mask where one was drawn",
    ),
    "real3d_ad": DatasetEntry(
        "lsfa_cli.datasets.real3d_ad",
        "Real3dAd",
        "Real3D-AD: twelve categories of small objects, unorganized point clouds alone.",
        needs="the unpacked data set (from its authors)",
        layout="CATEGORY/train/*template*.pcd, CATEGORY/test/N_KIND.pcd, CATEGORY/gt/N_KIND.txt",
        has="unorganized point cloud, labelled points",
        figures="object AUROC and AUPR, point AUROC and AUPR",
    ),
}

ROOT_HINT = "Set --root, LSFA_DATA_ROOT or root in lsfa.toml to the folder that holds the categories."


def open_dataset(name: str, root: Path | None, *, light: int = 4, test: bool = True) -> Dataset:
    """The data set called `name` whose categories are folders of `root`. light: of Eyecandies' images, 0 to 5.

    test: False leaves its test samples out; nothing of them is looked at.

    Raises `UnknownNameError` for a name that is not in `DATASETS`, `DataError` when `root` is not given,
    does not exist or is not a folder. The layout is checked when categories or records are asked for.
    """
    entry = lookup(DATASETS, "dataset", name)
    if root is None:
        raise DataError(f"no folder given for the data set '{name}'.", hint=ROOT_HINT)
    try:
        root = root.expanduser()
        str(root.absolute()).encode()  # the memo of digests holds paths as text
        folder, there = root.is_dir(), root.exists()
    except (OSError, RuntimeError, ValueError) as error:  # no permission, no such user, no possible name
        raise DataError(f"{root} cannot be used (data set '{name}'): {error}.", hint=ROOT_HINT) from error
    if not there:
        raise DataError(f"{root} does not exist (data set '{name}').", hint=ROOT_HINT)
    if not folder:
        raise DataError(f"{root} is a file, not a folder (data set '{name}').", hint=ROOT_HINT)
    from lsfa_cli.datasets.base import ReadOptions

    dataset: Dataset = entry.load()(root, ReadOptions(light=light, test=test))
    return dataset
