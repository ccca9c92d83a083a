"""The features artifact, as the stages see it."""

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lsfa_cli.artifacts.store import Artifact, ArtifactWriter, GrowingRows, open_artifact
from lsfa_cli.errors import ArtifactError
from lsfa_cli.samples import MODALITIES, BoolArray, Modality, PatchFeatures, SampleRecord, Split


class SplitFeatures:
    """The samples of one split; indexing reads one sample's patches, so a split never lies in memory whole."""

    def __init__(self, artifact: Artifact, split: Split) -> None:
        self._artifact = artifact
        self._split = split
        self.names = artifact.text(f"{split}/names")
        self.labels: NDArray[np.uint8] = artifact.read(f"{split}/labels")
        self.defects = artifact.text(f"{split}/defects")
        self._offsets = artifact.read(f"{split}/xyz/offsets") if f"{split}/xyz/offsets" in artifact else None
        self.modalities = tuple(modality for modality in MODALITIES if f"{split}/{_KEY[modality]}" in artifact)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Mapping[Modality, PatchFeatures]:
        return {modality: self.patches(index, modality) for modality in self.modalities}

    def patches(self, index: int, modality: Modality) -> PatchFeatures:
        """One sample's patches of one modality."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        if modality == "rgb":
            values = self._artifact.rows(f"{self._split}/rgb", index)
            return PatchFeatures(values, np.ones(len(values), dtype=bool), self._grid(modality))
        if self._offsets is None:
            raise ArtifactError(f"{self._artifact.path} has no 3D features", hint="Run: lsfa extract --modality both")
        where = slice(int(self._offsets[index]), int(self._offsets[index + 1]))
        values = self._artifact.rows(f"{self._split}/xyz/values", where)
        return PatchFeatures(values, self._artifact.rows(f"{self._split}/xyz/valid", index), self._grid(modality))

    def counts(self, modality: Modality) -> NDArray[np.int64]:
        """How many valid patches each sample has."""
        if modality == "rgb":
            return np.full(len(self), self._artifact.dataset(f"{self._split}/rgb").shape[1], dtype=np.int64)
        return np.diff(self._offsets) if self._offsets is not None else np.zeros(len(self), dtype=np.int64)

    def _grid(self, modality: Modality) -> int:
        return int(self._artifact.attributes[f"{modality}_grid"])


_KEY: Mapping[Modality, str] = {"rgb": "rgb", "xyz": "xyz/values"}


class Features:
    """A features artifact open for reading."""

    def __init__(self, artifact: Artifact) -> None:
        self.artifact = artifact
        self.dataset = str(artifact.attributes["dataset"])
        self.category = str(artifact.attributes["category"])
        self.image_size = int(artifact.settings["image_size"])
        self.backbones: dict[str, Any] = json.loads(artifact.attributes["backbones"])

    def split(self, split: Split) -> SplitFeatures:
        """The samples of a split, which must be there."""
        return SplitFeatures(self.artifact, split)

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


class SplitWriter:
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
        writer.write(f"{split}/names", [record.name for record in records])
        writer.write(f"{split}/labels", [record.label for record in records])
        writer.write(f"{split}/defects", [record.defect for record in records])
        self._offsets = [0]
        self._writer = writer
        self._split = split
        self._rgb = self._valid = self._masks = self._images = self._depths = None
        self._masked = np.ones(count, dtype=bool)
        self._values: GrowingRows | None = None
        if (rgb := layouts.get("rgb")) is not None:
            self._rgb = writer.reserve(f"{split}/rgb", (count, rgb.grid**2, rgb.dimension))
        if (xyz := layouts.get("xyz")) is not None:
            self._values = writer.growing(f"{split}/xyz/values", xyz.dimension)
            self._valid = writer.reserve(f"{split}/xyz/valid", (count, xyz.grid**2))
        if split == "test":
            square = (count, picture_size, picture_size)
            self._masks = writer.reserve("test/masks", square, compress=True)
            if rgb is not None:
                self._images = writer.reserve("test/pictures/rgb", (*square, 3), compress=True)
            if xyz is not None:
                self._depths = writer.reserve("test/pictures/depth", square, compress=True)

    def patches(self, index: int, patches: Mapping[Modality, PatchFeatures]) -> None:
        """Write the features of sample `index`; samples come in order."""
        if self._rgb is not None:
            self._rgb[index] = patches["rgb"].values.astype(np.float16)
        if self._values is not None and self._valid is not None:
            self._values.append(patches["xyz"].values.astype(np.float16))
            self._valid[index] = patches["xyz"].valid
            self._offsets.append(self._offsets[-1] + len(patches["xyz"].values))
        self._writer.check()

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
        if self._values is not None:
            self._writer.write(f"{self._split}/xyz/offsets", self._offsets)
        if not self._masked.all():
            self._writer.write("test/masked", self._masked)
