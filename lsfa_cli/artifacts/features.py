"""The features artifact, as the stages see it."""

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lsfa_cli.artifacts.store import Artifact, ArtifactWriter, GrowingRows, open_artifact
from lsfa_cli.errors import ArtifactError
from lsfa_cli.samples import MODALITIES, BoolArray, FloatArray, Modality, PatchFeatures, SampleRecord, Split


class SplitFeatures:
    """The samples of one split; indexing reads one sample's patches, so a split never lies in memory whole.

    split: "train", "validation" or "test", or another group of the artifact that is laid out as they are. chosen: the
    places of the samples to take; None takes all.
    """

    def __init__(self, artifact: Artifact, split: str, chosen: NDArray[np.int64] | None = None) -> None:
        self._artifact = artifact
        self._split = split
        names, defects = artifact.text(f"{split}/names"), artifact.text(f"{split}/defects")
        self._places = np.arange(len(names)) if chosen is None else chosen
        self.names = [names[place] for place in self._places]
        self.labels: NDArray[np.uint8] = artifact.read(f"{split}/labels")[self._places]
        self.defects = [defects[place] for place in self._places]
        self._offsets = artifact.read(f"{split}/xyz/offsets") if f"{split}/xyz/offsets" in artifact else None
        self.modalities = tuple(modality for modality in MODALITIES if f"{split}/{_KEY[modality]}" in artifact)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Mapping[Modality, PatchFeatures]:
        return {modality: self.patches(index, modality) for modality in self.modalities}

    def patches(self, index: int, modality: Modality) -> PatchFeatures:
        """One sample's patches of one modality; of an unorganized cloud its groups, all valid, grid 0."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        place = int(self._places[index])
        if modality == "rgb":
            values = self._artifact.rows(f"{self._split}/rgb", place)
            return PatchFeatures(values, np.ones(len(values), dtype=bool), self.grid(modality))
        if self._offsets is None:
            raise ArtifactError(f"{self._artifact.path} has no 3D features", hint="Run: lsfa extract --modality both")
        where = slice(int(self._offsets[place]), int(self._offsets[place + 1]))
        values, grid = self._artifact.rows(f"{self._split}/xyz/values", where), self.grid(modality)
        if grid == NO_GRID:
            return PatchFeatures(values, np.ones(len(values), dtype=bool), grid)
        return PatchFeatures(values, self.scan_valid(index), grid)

    def scan_valid(self, index: int) -> BoolArray:
        """(G * G,), which patches of one sample's scan are valid, that is, touch the part."""
        return np.asarray(self._valid[int(self._places[index])])

    @cached_property
    def _valid(self) -> BoolArray:
        """(n, G * G), of all samples: a byte a patch, and to read each sample's alone takes longer than all."""
        return self._artifact.read(f"{self._split}/xyz/valid")

    def counts(self, modality: Modality) -> NDArray[np.int64]:
        """How many valid patches, or groups of a cloud, each sample has."""
        if modality == "rgb":
            return np.full(len(self), self._artifact.dataset(f"{self._split}/rgb").shape[1], dtype=np.int64)
        if self._offsets is None:
            return np.zeros(len(self), dtype=np.int64)
        return np.asarray(np.diff(self._offsets)[self._places])

    def grid(self, modality: Modality) -> int:
        """Patches a side; 0 for the groups of a cloud."""
        return int(self._artifact.attributes[f"{modality}_grid"])


_KEY: Mapping[Modality, str] = {"rgb": "rgb", "xyz": "xyz/values"}
NO_GRID = 0  # the grid of what lies on no raster: the groups of an unorganized cloud


class CloudPoints(NamedTuple):
    """The points of one test cloud, in the file's order: whether on a defect (N,), and the nearest group (N,)."""

    defect: BoolArray
    group: NDArray[np.int32]


class CloudPicture(NamedTuple):
    """A rendering of one test cloud (S, S) uint8, 0 where there is nothing, and the point shown there, -1 for none."""

    depth: NDArray[np.uint8]
    point: NDArray[np.int32]


class Features:
    """A features artifact open for reading."""

    def __init__(self, artifact: Artifact) -> None:
        self.artifact = artifact
        self.dataset = str(artifact.attributes["dataset"])
        self.category = str(artifact.attributes["category"])
        self.image_size = int(artifact.settings["image_size"])
        self.backbones: dict[str, Any] = json.loads(artifact.attributes["backbones"])
        self._training: NDArray[np.int64] | None = None

    def split(self, split: Split) -> SplitFeatures:
        """The samples of a split, which must be there."""
        return SplitFeatures(self.artifact, split, self._training if split == "train" else None)

    def limit_training(self, count: int | None, seed: int) -> None:
        """From now on take `count` training samples drawn by the seed, in their order; for None, or no more, all."""
        total = len(SplitFeatures(self.artifact, "train"))
        if count is not None and count < total:
            self._training = np.sort(np.random.default_rng(seed).choice(total, count, replace=False))

    @property
    def training(self) -> NDArray[np.int64]:
        """The places of the training samples that are taken."""
        return np.arange(len(SplitFeatures(self.artifact, "train"))) if self._training is None else self._training

    def has(self, split: Split) -> bool:
        """Whether the split is there."""
        return f"{split}/names" in self.artifact

    def modalities(self, choice: str) -> tuple[Modality, ...]:
        """The modalities that a stage asked for ("rgb", "xyz"), checked against what was extracted; "both" is all."""
        present = self.split("train").modalities
        wanted = present if choice == "both" else tuple(m for m in MODALITIES if m == choice)
        missing = [modality for modality in wanted if modality not in present]
        if missing:
            raise ArtifactError(
                f"{self.artifact.path} has no {missing[0]} features, and --modality {choice} needs them",
                hint=f"Use --modality {present[0]}, or run: lsfa extract --modality {choice}",
            )
        return wanted

    @property
    def is_cloud(self) -> bool:
        """Whether the samples are unorganized point clouds: groups and points in place of patches and pixels."""
        return int(self.artifact.attributes.get("xyz_grid", -1)) == NO_GRID

    def point_offsets(self) -> NDArray[np.int64]:
        """(n + 1,), where the points of each test cloud begin. Raises ArtifactError when they do not fit."""
        return self.artifact.offsets("test/points", len(self.split("test")), ("defect", "group"))

    def points(self, where: slice) -> CloudPoints:
        """Points of the test clouds, `where` from one of `point_offsets` to the next."""
        read = self.artifact.rows
        return CloudPoints(read("test/points/defect", where), read("test/points/group", where))

    def cloud_picture(self, index: int) -> CloudPicture:
        """The rendering of a test cloud."""
        read = self.artifact.rows
        return CloudPicture(read("test/pictures/depth", index), read("test/pictures/point", index))

    def masks(self, index: int) -> BoolArray:
        """The defect pixels of a test sample."""
        return self.artifact.rows("test/masks", index)

    @property
    def masked(self) -> BoolArray:
        """(n,), of which test samples somebody has marked the defect pixels; good samples have none to mark."""
        if "test/masked" in self.artifact:
            return self.artifact.read("test/masked")
        return np.ones(len(self.split("test")), dtype=bool)


@contextlib.contextmanager
def open_features(path: Path) -> Iterator[Features]:
    """Open a features artifact for reading."""
    with open_artifact(path, "features") as artifact:
        yield Features(artifact)


@dataclass(frozen=True)
class Layout:
    """What every sample of a modality has in common: patches a side and values a patch."""

    grid: int
    dimension: int


class PatchWriter:
    """Writes the patches of `count` samples under a group of the artifact, in order. `close` at the end."""

    def __init__(self, writer: ArtifactWriter, group: str, count: int, layouts: Mapping[Modality, Layout]) -> None:
        self._writer, self._group = writer, group
        self._offsets = [0]
        self._rgb = self._valid = None
        self._values: GrowingRows | None = None
        if (rgb := layouts.get("rgb")) is not None:
            self._rgb = writer.reserve(f"{group}/rgb", (count, rgb.grid**2, rgb.dimension))
        if (xyz := layouts.get("xyz")) is not None:
            self._values = writer.growing(f"{group}/xyz/values", xyz.dimension)
            self._valid = writer.reserve(f"{group}/xyz/valid", (count, xyz.grid**2))

    def patches(self, index: int, patches: Mapping[Modality, PatchFeatures]) -> None:
        """Write the features of sample `index`; samples come in order."""
        if self._rgb is not None:
            self._rgb[index] = patches["rgb"].values.astype(np.float16, copy=False)
        if self._values is not None and self._valid is not None:
            self._values.append(patches["xyz"].values.astype(np.float16, copy=False))
            self._valid[index] = patches["xyz"].valid
            self._offsets.append(self._offsets[-1] + len(patches["xyz"].values))
        self._writer.check()

    def close(self) -> None:
        """Write what is known only at the end."""
        if self._values is not None:
            self._writer.write(f"{self._group}/xyz/offsets", self._offsets)


class SplitWriter(PatchWriter):
    """Writes one split, sample by sample, in the order of its records."""

    def __init__(
        self,
        writer: ArtifactWriter,
        split: Split,
        records: Sequence[SampleRecord],
        layouts: Mapping[Modality, Layout],
        picture_size: int,
    ) -> None:
        count = len(records)
        write_records(writer, split, records)
        super().__init__(writer, split, count, layouts)
        self._masks = self._images = self._depths = None
        self._masked = np.ones(count, dtype=bool)
        if split == "test":
            square = (count, picture_size, picture_size)
            self._masks = writer.reserve("test/masks", square, compress=True)
            if "rgb" in layouts:
                self._images = writer.reserve("test/pictures/rgb", (*square, 3), compress=True)
            if "xyz" in layouts:
                self._depths = writer.reserve("test/pictures/depth", square, compress=True)

    def pictures(
        self, index: int, mask: BoolArray | None, image: NDArray[np.uint8] | None, depth: NDArray[np.uint8] | None
    ) -> None:
        """Write what the report needs of test sample `index`: mask, image (S, S, 3) and shaded scan."""
        if mask is None:
            self._masked[index] = False
        elif self._masks is not None:
            self._masks[index] = mask
        if self._images is not None and image is not None:
            self._images[index] = image
        if self._depths is not None and depth is not None:
            self._depths[index] = depth

    def close(self) -> None:
        """Write what is known only at the end."""
        super().close()
        if not self._masked.all():
            self._writer.write("test/masked", self._masked)


class CloudWriter:
    """Writes one split of unorganized clouds (the data set's attribute `xyz_grid` is then `NO_GRID`), in order.

    For every sample `groups`, and in the test split `points` too; `close` at the end. picture_size: S.
    """

    def __init__(
        self, writer: ArtifactWriter, split: Split, records: Sequence[SampleRecord], dimension: int, picture_size: int
    ) -> None:
        write_records(writer, split, records)
        self._writer, self._split, self._size = writer, split, picture_size
        self._count = len(records)
        self._values = writer.growing(f"{split}/xyz/values", dimension)
        self._groups = [0]
        self._points = [0]
        if split == "test":
            square = (len(records), picture_size, picture_size)
            self._defect = writer.growing("test/points/defect", compress=True)
            self._group = writer.growing("test/points/group", compress=True)
            self._depths = writer.reserve("test/pictures/depth", square, compress=True)
            self._shown = writer.reserve("test/pictures/point", square, compress=True)

    def groups(self, values: FloatArray) -> None:
        """Write the group features (m, D) of the next sample."""
        self._values.append(values.astype(np.float16, copy=False))
        self._groups.append(self._groups[-1] + len(values))
        self._writer.check()

    def points(
        self, defect: BoolArray, group: NDArray[np.integer], picture: NDArray[np.uint8], shown: NDArray[np.integer]
    ) -> None:
        """Write what scoring and the report need of the next test cloud of N points, after its `groups`.

        defect: (N,), points on a defect. group: (N,), the nearest of the sample's groups. picture: (S, S), a
        rendering, 0 where nothing is seen. shown: (S, S), the point seen at each pixel, -1 for none.
        """
        index = len(self._points) - 1
        groups = self._groups[index + 1] - self._groups[index]
        if group.shape != defect.shape or (group.size and not 0 <= int(group.min()) <= int(group.max()) < groups):
            raise ValueError(f"points of {defect.shape} need the index of one of {groups} groups each")
        if picture.shape != shown.shape or int(shown.max(initial=-1)) >= len(defect) or int(shown.min(initial=0)) < -1:
            raise ValueError(f"a picture of {picture.shape} needs the index of one of {len(defect)} points a pixel")
        self._defect.append(defect)
        self._group.append(group.astype(np.int32))
        self._depths[index], self._shown[index] = picture, shown.astype(np.int32)
        self._points.append(self._points[-1] + len(defect))
        self._writer.check()

    def close(self) -> None:
        """Write what is known only at the end."""
        written = len(self._points) if self._split == "test" else len(self._groups)
        if not self._count + 1 == len(self._groups) == written:
            raise ValueError(f"{self._split}: not every one of {self._count} samples was written")
        self._writer.write(f"{self._split}/xyz/offsets", self._groups)
        if self._split == "test":
            self._writer.write("test/points/offsets", self._points)


def write_records(writer: ArtifactWriter, split: str, records: Sequence[SampleRecord]) -> None:
    """Write what the records of a split, or of another group of samples, say."""
    writer.write(f"{split}/names", [record.name for record in records])
    writer.write(f"{split}/labels", [record.label for record in records])
    writer.write(f"{split}/defects", [record.defect for record in records])
