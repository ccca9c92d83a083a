"""A user's own parts: folders of good samples, and of defective ones for testing, as a camera wrote them.

ROOT is a part, or holds one folder a part. PART/good, optional PART/validation, PART/test/good, PART/test/DEFECT and
PART/masks/DEFECT. Images, organized clouds or depth images are in subfolders rgb, xyz and depth of each, directly in
it, or where `lsfa-part.toml` says. What is in the files is said there too (see `part_file`).
"""

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lsfa_cli.datasets.base import ReadOptions
from lsfa_cli.datasets.clouds import read_organized_points
from lsfa_cli.datasets.folders import is_folder, require_equal_size
from lsfa_cli.datasets.images import read_depth, read_image, read_mask_image
from lsfa_cli.datasets.part_file import METRES, PART_FILE, CloudTable, Intrinsics, PartFile, load_part_file
from lsfa_cli.datasets.part_layout import LAYOUT, part_records
from lsfa_cli.datasets.point_files import MAX_POINTS
from lsfa_cli.datasets.tiffs import read_tiff
from lsfa_cli.errors import DataError, UnknownNameError
from lsfa_cli.preprocessing import Recipe
from lsfa_cli.regular_files import COPY_AGAIN
from lsfa_cli.samples import GOOD, BoolArray, Modality, Sample, SampleRecord, Scan
from lsfa_cli.wording import size_of

# Roles of the two part files in a record, the one for all parts first: later values count.
_SETTINGS = ("all_parts", "part")
# Two views are the same when their sides have the same ratio within this.
_SAME_VIEW = 0.01


class Folder:
    """A user's own parts under `root`."""

    name = "folder"
    stand_in_ok = False

    def __init__(self, root: Path, options: ReadOptions = ReadOptions()) -> None:
        self.root = root
        self._test = options.test

    def categories(self) -> list[str]:
        """The parts: the folders of `root` that have good/, or `root` itself where it has one."""
        return [self._own_name()] if self._is_part() else LAYOUT.categories(self.root)

    def folder(self, category: str) -> Path:
        """The folder of a part."""
        if not self._is_part():
            return LAYOUT.folder(self.root, category)
        if category != self._own_name():
            raise UnknownNameError("category", category, [self._own_name()])
        return self.root

    def part_file(self, category: str) -> PartFile:
        """What the user wrote about a part, and defaults for the rest."""
        return load_part_file(self._settings(category).values())

    def modalities(self, category: str) -> tuple[Modality, ...]:
        """What the samples in good/ have."""
        files = self.records(category)[0].files
        found: list[Modality] = ["rgb"] if "rgb" in files else []
        return (*found, "xyz") if "xyz" in files or "depth" in files else tuple(found)

    def recipe(self, category: str) -> Recipe:
        """[preprocessing] of the part file, which `lsfa data fit` writes; else METHOD 1's, without padding."""
        return self.part_file(category).recipe

    def records(self, category: str) -> list[SampleRecord]:
        """All samples: train (good/), validation, test; each without the folders that are absent or empty."""
        settings = self._settings(category)
        files = load_part_file(settings.values()).files
        return part_records(self.folder(category), files, settings, test=self._test)

    def read(self, record: SampleRecord) -> Sample:
        """The image, the scan in metres, and the mask: all False on a good part, None where nobody has drawn one."""
        settings = _part_file(record)
        rgb = read_image(record.files["rgb"]) if "rgb" in record.files else None
        scan = self.read_scan(record)
        mask = read_mask_image(record.files["mask"]) if "mask" in record.files else None
        if rgb is not None:
            size: tuple[int, ...] = rgb.shape[:2]
            if mask is not None:
                require_equal_size(record, "mask", mask.shape, size)
            if scan is not None and scan.valid.shape != size:
                if not settings.rgb.resize_to_scan:
                    raise _other_size(record, scan.valid.shape, size)
                rgb, mask = _resized(record, rgb, mask, scan.valid.shape)
        elif scan is not None and mask is not None and mask.shape != scan.valid.shape:
            raise _mask_size(record, mask.shape, scan.valid.shape)
        if record.defect == GOOD:
            mask = _empty_mask(record, mask, rgb.shape[:2] if rgb is not None else _shape(record, scan))
        return Sample(record, rgb, scan.xyz if scan else None, scan.valid if scan else None, mask)

    def read_scan(self, record: SampleRecord) -> Scan | None:
        """The scan alone: xyz (H, W, 3) float32, metres, camera frame, and valid (H, W); None without one."""
        settings = _part_file(record)
        if "xyz" in record.files:
            return _read_cloud(record.files["xyz"], settings.cloud)
        if "depth" in record.files:
            path, sources = record.files["depth"], _sources(record)
            camera, scale = settings.intrinsics(sources, path), settings.depth_scale(sources, path)
            return unproject(path, read_depth(path), camera, scale, settings.depth.invalid)
        return None

    def _is_part(self) -> bool:
        return is_folder(self.root / GOOD)

    def _own_name(self) -> str:
        return self.root.absolute().name or "part"

    def _settings(self, category: str) -> dict[str, Path]:
        """The part files that there are, by role."""
        folder = self.folder(category)
        places = dict(zip(_SETTINGS, (self.root, folder), strict=True))
        if folder == self.root:
            places.pop(_SETTINGS[0])
        # A link that leads nowhere counts too, and is an error when it is read: its owner meant it to be heeded.
        return {role: place / PART_FILE for role, place in places.items() if os.path.lexists(place / PART_FILE)}


def unproject(path: Path, raw: NDArray[np.float64], camera: Intrinsics, scale: float, invalid: float) -> Scan:
    """The cloud of a depth image: x = (u - cx) z / fx, y = (v - cy) z / fy, with z = scale * raw.

    raw: (H, W) as stored. A pixel has a point when its value is finite, above 0 and not `invalid`.
    """
    valid: BoolArray = np.isfinite(raw) & (raw > 0) & (raw != invalid)
    column, row = np.arange(raw.shape[1]), np.arange(raw.shape[0])[:, None]
    xyz = np.empty((*raw.shape, 3), dtype=np.float32)
    with np.errstate(over="ignore", invalid="ignore"):  # what no float32 can hold is no measurement either
        z = np.where(valid, raw, 0.0) * scale
        for axis, values in enumerate(((column - camera.cx) * z / camera.fx, (row - camera.cy) * z / camera.fy, z)):
            xyz[..., axis] = values
    return _checked(path, xyz, valid & np.isfinite(xyz).all(axis=2))


def _read_cloud(path: Path, table: CloudTable) -> Scan:
    """An organized cloud, turned into the camera frame and metres."""
    if path.suffix.lower() in (".tif", ".tiff"):
        stored = _tiff_points(path)
        valid: BoolArray = np.isfinite(stored).all(axis=2) & (stored != 0).any(axis=2)
    else:
        stored, valid = read_organized_points(path, table.width)
    xyz = np.empty(stored.shape, dtype=np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        for axis, source in enumerate(table.axes):
            factor = METRES[table.unit] * (-1 if source.startswith("-") else 1)
            np.multiply(stored[..., "xyz".index(source[-1])], factor, out=xyz[..., axis], casting="same_kind")
    return _checked(path, xyz, valid & np.isfinite(xyz).all(axis=2))


def _tiff_points(path: Path) -> NDArray[Any]:
    """The numbers (H, W, 3) of a TIFF, as stored."""
    stored = read_tiff(path, MAX_POINTS).pixels
    if stored.ndim != 3 or stored.shape[2] != 3:
        raise DataError(
            f"{path}: expected x, y and z for each pixel (H x W x 3), found {size_of(stored.shape)}.",
            hint="A depth image belongs in depth/, or set [files] depth in lsfa-part.toml.",
        )
    return stored


def _checked(path: Path, xyz: NDArray[np.float32], valid: BoolArray) -> Scan:
    if not valid.any():
        raise DataError(f"{path}: there is no valid point in it.", hint=f"Look at the scan. {COPY_AGAIN}")
    xyz[~valid] = 0
    return Scan(xyz, valid)


def _sources(record: SampleRecord) -> list[Path]:
    return [record.files[role] for role in _SETTINGS if role in record.files]


def _part_file(record: SampleRecord) -> PartFile:
    return load_part_file(_sources(record))


def _resized(
    record: SampleRecord, rgb: NDArray[np.uint8], mask: BoolArray | None, size: tuple[int, ...]
) -> tuple[NDArray[np.uint8], BoolArray | None]:
    """Image and mask in the size (H, W) of the scan, which must show the same view."""
    if not _same_view(size, rgb.shape[:2]):
        raise _other_size(record, size, rgb.shape[:2])
    target = (size[1], size[0])
    small = np.asarray(Image.fromarray(rgb).resize(target, Image.Resampling.BICUBIC))
    if mask is None:
        return small, None
    marks = Image.fromarray(mask.astype(np.uint8) * np.uint8(255))
    # A defect thinner than a pixel of the scan must not get lost, as it would by taking the nearest.
    return small, np.asarray(marks.resize(target, Image.Resampling.BOX)) > 0


def _other_size(record: SampleRecord, scan: tuple[int, ...], image: tuple[int, ...]) -> DataError:
    path = record.files["xyz" if "xyz" in record.files else "depth"]
    if _same_view(scan, image):
        way_out = "Where both show exactly the same view: [rgb] resize_to_scan = true in lsfa-part.toml."
    else:
        way_out = "Their sides differ in ratio: they show different views, and resizing does not help."
    return DataError(
        f"{path} has {scan[1]} x {scan[0]} pixels, its image {record.files['rgb']} has {image[1]} x {image[0]}.",
        hint=f"Save the image registered to the scan, pixel by pixel. {way_out}",
    )


def _same_view(scan: tuple[int, ...], image: tuple[int, ...]) -> bool:
    """Whether two sizes (H, W) may be those of one view: their sides have the same ratio."""
    rows, columns = (new / old for new, old in zip(scan, image, strict=True))
    return abs(rows / columns - 1) <= _SAME_VIEW


def _mask_size(record: SampleRecord, mask: tuple[int, ...], scan: tuple[int, ...]) -> DataError:
    return DataError(
        f"{record.files['mask']} has {mask[1]} x {mask[0]} pixels, its scan has {scan[1]} x {scan[0]}.",
        hint="Draw the mask in the rows and columns of the scan.",
    )


def _shape(record: SampleRecord, scan: Scan | None) -> tuple[int, ...]:
    if scan is None:
        raise ValueError(f"{record.name} has neither an image nor a scan")
    return scan.valid.shape


def _empty_mask(record: SampleRecord, mask: BoolArray | None, size: tuple[int, ...]) -> BoolArray:
    """The mask of a good part."""
    if mask is not None and mask.any():
        raise DataError(
            f"{record.files['mask']}: the mask of a good part marks {int(mask.sum())} defect pixels.",
            hint="Move the sample to the folder of its defect, or remove its mask.",
        )
    return np.zeros(size, dtype=bool)
