"""Eyecandies (Bonfiglioli, Toschi, Silvestri, Fioraio, De Gregorio 2022), as published or as M3DM converts it.

Published: ROOT/CATEGORY/{train,val,test_public}/data/ID_ITEM, with the items image_LIGHT.png, depth.png,
info_depth.yaml, pose.txt, metadata.yaml and mask.png; their meaning is in reference notes 1.2. test_private has no
masks and is left out.
Converted: ROOT/CATEGORY/{train/good,test/good,test/bad}/{rgb,xyz,gt}, as MVTec 3D-AD is laid out.
"""

import re
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from lsfa_cli.datasets import DATASETS
from lsfa_cli.datasets.base import ReadOptions
from lsfa_cli.datasets.categories import CategoryLayout
from lsfa_cli.datasets.eyecandies_cloud import SIDE, depth_in_metres, part_of_scene
from lsfa_cli.datasets.files import read_grey16, read_mask, read_rgb
from lsfa_cli.datasets.folders import entries, is_folder, require_complete, require_equal_size
from lsfa_cli.datasets.mvtec3d import Mvtec3d
from lsfa_cli.datasets.small_files import InfoFile, read_table
from lsfa_cli.datasets.tiffs import read_cloud_pixels
from lsfa_cli.errors import DataError
from lsfa_cli.preprocessing import RESIZING_ALONE, Recipe
from lsfa_cli.regular_files import COPY_AGAIN, folder_instead
from lsfa_cli.samples import GOOD, MODALITIES, SPLITS, BoolArray, Modality, Sample, SampleRecord, Split
from lsfa_cli.wording import few

LAYOUT = CategoryLayout(DATASETS["eyecandies"].layout, ("train/data", "train/good"))
FOLDERS = MappingProxyType[Split, str]({"train": "train", "validation": "val", "test": "test_public"})
DEFECTS = ("bumps", "dents", "colors", "normals")
COMBINED = "combined"
"""What a sample with several kinds of defects is filed under, as in MVTec 3D-AD."""

_ITEMS = MappingProxyType(
    {"xyz": "depth.png", "depth_range": "info_depth.yaml", "pose": "pose.txt", "defects": "metadata.yaml"}
)
"""Role of a file -> its item; the image depends on the light, the mask on the split."""
_NAME = re.compile(r"(\d+)_(.+)", re.ASCII)
_LIGHT = re.compile(r"\d+_image_(\d+)\.png", re.ASCII)
# Beyond this many metres a depth or a pose is damaged; the scenes measure five.
_FAR = 1000.0
# Of lengths and angles in a pose, which is written with all its digits.
_POSE_TOLERANCE = 1e-4
# Removed points of one file are the same up to rounding, in the clouds' unit; neighbouring points are 1e-4 apart.
_FILL_TOLERANCE = 1e-9


class Eyecandies:
    """Eyecandies under `root`; each category in its published layout or in that of M3DM's script."""

    name = "eyecandies"
    stand_in_ok = False

    def __init__(self, root: Path, options: ReadOptions = ReadOptions()) -> None:
        self.root = root
        self._options = options

    def modalities(self, category: str) -> tuple[Modality, ...]:
        """An image and a scan."""
        return MODALITIES

    def recipe(self, category: str) -> Recipe:
        """Resizing alone: reading removes the background, which stays in the image, as M3DM and CFM have it."""
        return RESIZING_ALONE

    def categories(self) -> list[str]:
        """The folders of `root` that have train/data or train/good, sorted."""
        return LAYOUT.categories(self.root)

    def records(self, category: str) -> list[SampleRecord]:
        """All samples: train, validation, test (test_public); defects and ids in alphabetical order."""
        folder = LAYOUT.folder(self.root, category)
        if not is_folder(folder / "train" / "data"):
            return Mvtec3d(self.root, self._options).records(category)
        missing: list[str] = []
        splits = tuple(split for split in SPLITS if self._options.test or split != "test")
        found = {split: _samples(folder, split, self._options.light, missing) for split in splits}
        records = [
            _record(split, stem, files)
            for split in splits
            for stem, files in found[split].items()
            if f"{FOLDERS[split]}/data/{files['defects'].name}" not in missing
        ]
        records.sort(key=lambda record: (SPLITS.index(record.split), record.name))
        hint = "A sample has the same id in all its files. Unpack the category again."
        require_complete(folder, missing, hint, records)
        for split in splits:
            if not found[split] and split != "validation":
                raise DataError(
                    f"{folder / FOLDERS[split]} holds no samples.",
                    hint=f"Expected {LAYOUT.text}. Unpack the category again.",
                )
        return records

    def read(self, record: SampleRecord) -> Sample:
        """RGB, cloud and mask of one sample; the mask is all False in training and validation."""
        rgb = read_rgb(record.files["rgb"])
        if "pose" in record.files:
            xyz, valid = _cloud_from_depth(record)
        else:
            xyz, valid = read_converted_cloud(record.files["xyz"])
        require_equal_size(record, "xyz", valid.shape, rgb.shape[:2])
        return Sample(record, rgb, xyz, valid, _mask(record, valid.shape))


def read_converted_cloud(path: Path) -> tuple[NDArray[np.float32], BoolArray]:
    """A cloud (512, 512, 3) as M3DM's script writes it, and its validity.

    The script moves removed points to one place where x is 0 and the others nearly are. The loaders of M3DM and CFM
    take any 0 for missing and so lose the part's points on the image's middle column too, where x is 0 as well.
    Here missing is what lies at the place that is the most frequent one among those with x = 0.
    """
    pixels = read_cloud_pixels(path, (4, 8))
    if pixels.shape[:2] != (SIDE, SIDE):
        raise _wrong_size(path, pixels.shape)
    with np.errstate(over="ignore", invalid="ignore"):  # what float32 cannot hold is not finite, and so no point
        xyz = pixels.astype(np.float32)
        valid = _no_fill(pixels)
    valid &= np.isfinite(xyz[..., 0]) & np.isfinite(xyz[..., 1]) & np.isfinite(xyz[..., 2])
    if not valid.any():
        raise DataError(f"{path}: the cloud has no valid point.", hint=COPY_AGAIN)
    xyz[~valid] = 0
    return xyz, valid


def _no_fill(pixels: NDArray[np.floating]) -> BoolArray:
    """Where (H, W) a converted cloud has something else than its place of removed points."""
    x, y, z = pixels[..., 0], pixels[..., 1], pixels[..., 2]
    missing: BoolArray = np.equal(x, 0)
    for axis in (y, z):
        values, counts = np.unique(np.round(axis[missing] / _FILL_TOLERANCE), return_counts=True)
        # One point alone is the part's.
        common = values[counts.argmax()] * _FILL_TOLERANCE if counts.max(initial=0) > 1 else np.nan
        missing &= np.abs(axis - common) <= 2 * _FILL_TOLERANCE
    return ~missing


def _samples(category: Path, split: Split, light: int, missing: list[str]) -> dict[str, dict[str, Path]]:
    """Id -> role -> file, for one split; files that should be there and are not are added to `missing`."""
    folder = category / FOLDERS[split] / "data"
    if not is_folder(folder):
        return {}
    items = {"rgb": f"image_{light}.png", **_ITEMS} | ({"mask": "mask.png"} if split == "test" else {})
    names = [entry.name for entry in entries(folder)]
    present = set(names)
    stems = sorted({match[1] for name in names if (match := _NAME.fullmatch(name))})
    samples = {stem: {role: folder / f"{stem}_{item}" for role, item in items.items()} for stem in stems}
    for files in samples.values():
        if files["rgb"].name not in present:
            _require_light(files["rgb"], names)
        for path in files.values():
            if is_folder(path):
                raise folder_instead(path)
            if path.name not in present:
                missing.append(path.relative_to(category).as_posix())
    return samples


def _require_light(path: Path, names: list[str]) -> None:
    """Refuse the choice of a light that is not there, though others are. path: the image, names: of all files."""
    prefix = path.name.partition("_")[0]
    lights = sorted({match[1] for name in names if (match := _LIGHT.fullmatch(name)) and name.startswith(f"{prefix}_")})
    if lights:
        raise DataError(
            f"{path} does not exist; there is light {few(lights)}.",
            hint="Choose a light that every sample has: --light.",
        )


def _record(split: Split, stem: str, files: dict[str, Path]) -> SampleRecord:
    """The sample, filed under the kind of its defects."""
    info = InfoFile(files["defects"])
    kinds = [kind for kind in DEFECTS if info.flag(f"anomalous_{kind}")]
    if info.flag("anomalous") != bool(kinds):
        said = "anomalous" if not kinds else "not anomalous"
        raise DataError(
            f"{info.path}: says that the sample is {said}, and {few(kinds) or 'no kind of defect'}.", hint=COPY_AGAIN
        )
    if kinds and split != "test":
        raise DataError(
            f"{info.path}: a {split} sample with a defect ({few(kinds)}).", hint="Only good samples train. Move it."
        )
    defect = GOOD if not kinds else kinds[0] if len(kinds) == 1 else COMBINED
    return SampleRecord(f"{split}/{defect}/{stem}", split, defect, files)


def _cloud_from_depth(record: SampleRecord) -> tuple[NDArray[np.float32], BoolArray]:
    path = record.files["xyz"]
    pixels = read_grey16(path)
    if pixels.shape != (SIDE, SIDE):
        raise _wrong_size(path, pixels.shape)
    depth = depth_in_metres(pixels, *_depth_range(record.files["depth_range"]))
    try:
        xyz, valid = part_of_scene(depth, _pose(record.files["pose"]))
    except ValueError as error:
        raise DataError(f"{path}: no conveyor can be found, {error}.", hint=COPY_AGAIN) from error
    if not valid.any():
        raise DataError(f"{path}: all points are background.", hint=f"Are depth and pose of one sample? {COPY_AGAIN}")
    return xyz, valid


def _depth_range(path: Path) -> tuple[float, float]:
    """The nearest and the farthest depth, metres."""
    info = InfoFile(path)
    nearest, farthest = info.number("normalization", "min"), info.number("normalization", "max")
    if not 0 < nearest < farthest <= _FAR:
        raise DataError(f"{path}: depth from {nearest} to {farthest}, expected metres above 0.", hint=COPY_AGAIN)
    return nearest, farthest


def _pose(path: Path) -> NDArray[np.float64]:
    """The camera's pose (4, 4): a rotation and a shift in metres."""
    pose = read_table(path, 4, 4)
    rotation = pose[:3, :3]
    rigid = np.abs(pose).max() <= _FAR and np.allclose(pose[3], [0, 0, 0, 1], rtol=0, atol=_POSE_TOLERANCE)
    if not rigid or not np.allclose(rotation @ rotation.T, np.eye(3), rtol=0, atol=_POSE_TOLERANCE):
        raise DataError(f"{path}: the pose is no rotation and shift.", hint=COPY_AGAIN)
    return pose


def _mask(record: SampleRecord, size: tuple[int, ...]) -> BoolArray:
    """The defect pixels. A defect may be hidden from the camera, so that the mask of a defective part may be empty."""
    if "mask" not in record.files:
        return np.zeros(size, dtype=np.bool_)
    mask = read_mask(record.files["mask"])
    require_equal_size(record, "mask", mask.shape, size)
    if record.defect == GOOD and mask.any():
        raise DataError(
            f"{record.files['mask']}: the mask of a good part marks {int(mask.sum())} defect pixels.", hint=COPY_AGAIN
        )
    return mask


def _wrong_size(path: Path, shape: tuple[int, ...]) -> DataError:
    return DataError(
        f"{path}: {shape[1]} x {shape[0]} pixels, expected {SIDE} x {SIDE}.",
        hint="The camera's focal length is known for the published size alone.",
    )
