"""The scores artifact, for the report and for anybody else's code."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from functools import cached_property, reduce
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lsfa_cli.artifacts.store import Artifact, ArtifactWriter, open_artifact

FUSED = "fused"  # the name of the scores that both modalities give together


class Scores:
    """Scores of one category's test samples.

    names, defects: n strings. labels: (n,) uint8. masks: (n, S, S) bool.
    image: "rgb", "xyz", "fused" -> (n,) float64. maps: the same -> (n, S, S) float32. normal_image: image scores of
    normal samples. With one modality alone there is that modality's score and no `fused`.
    Unorganized clouds (`is_cloud`) have scores of points in place of maps, and no masks: `point_scores`,
    `point_defects`, and those of all clouds together, `all_point_scores` and `all_point_defects`.
    """

    def __init__(self, artifact: Artifact) -> None:
        self.artifact = artifact
        self.dataset = str(artifact.attributes["dataset"])
        self.category = str(artifact.attributes["category"])
        self.method = str(artifact.attributes["method"])
        self.backbones: dict[str, Any] = json.loads(artifact.attributes["backbones"])
        self.remarks: list[str] = json.loads(artifact.attributes["remarks"])
        self.names = artifact.text("names")
        self.labels: NDArray[np.uint8] = artifact.read("labels")
        self.defects = artifact.text("defects")
        self.image: dict[str, NDArray[np.float64]] = {
            name: artifact.read(f"image/{name}") for name in artifact.names("image")
        }
        self.normal_image: dict[str, NDArray[np.float64]] = {
            name: artifact.read(f"normal/image/{name}") for name in artifact.names("normal/image")
        }

    @property
    def is_cloud(self) -> bool:
        """Whether the samples are unorganized clouds, which have points in place of pixels."""
        return "points/offsets" in self.artifact

    def point_scores(self, index: int) -> NDArray[np.float32]:
        """(N,), the scores of the points of cloud `index`, in the order of its file."""
        return self.artifact.rows("points/xyz", self._points_of(index))

    def point_defects(self, index: int) -> NDArray[np.bool_]:
        """(N,), which points of cloud `index` are on a defect."""
        return self.artifact.rows("points/defect", self._points_of(index))

    def all_point_scores(self) -> NDArray[np.float32]:
        """(P,), the scores of all points, cloud after cloud: up to 160 million in a category of Real3D-AD."""
        return self.artifact.read("points/xyz")

    def all_point_defects(self) -> NDArray[np.bool_]:
        """(P,), which of all points are on a defect, in the order of `all_point_scores`."""
        return self.artifact.read("points/defect")

    @cached_property
    def _offsets(self) -> NDArray[np.int64]:
        return self.artifact.offsets("points", len(self.names), ("xyz", "defect"))

    def _points_of(self, index: int) -> slice:
        if not 0 <= index < len(self.names):
            raise IndexError(index)
        return slice(int(self._offsets[index]), int(self._offsets[index + 1]))

    @cached_property
    def masks(self) -> NDArray[np.bool_]:
        """The defect pixels of all samples, read when they are first asked for: all rows of a report need them."""
        return self.artifact.read("masks")

    @property
    def masked(self) -> NDArray[np.bool_]:
        """(n,), whose defect pixels somebody has marked; without that, pixel figures leave a sample out."""
        if "masked" in self.artifact:
            return self.artifact.read("masked")
        return np.ones(len(self.names), dtype=bool)

    def distances(self, modality: str) -> NDArray[np.float32] | None:
        """(n, grid * grid), of each patch to its bank's nearest entry, NaN without a patch; None where not kept."""
        path = f"distances/{modality}"
        return self.artifact.read(path) if path in self.artifact else None

    @property
    def maps(self) -> "LazyMaps":
        """The anomaly maps by name, read when asked for."""
        return LazyMaps(self.artifact)


def write_mixture(writer: ArtifactWriter, name: str, sources: Mapping[str, tuple[float, float, float]]) -> None:
    """Say that the map `name` is a weighted mean of others: share, mean and deviation of each, see the schema.

    Written out, all the maps between the sources and that of everything would take a third of the time of scoring.
    """
    for source, numbers in sources.items():
        writer.write(f"mixtures/{name}/{source}", numbers)


class LazyMaps(Mapping[str, NDArray[np.float32]]):
    """Anomaly maps by name; a map is read from the file, or mixed from others there, when it is asked for."""

    def __init__(self, artifact: Artifact) -> None:
        self._stored, self._mixed = artifact.names("maps"), artifact.names("mixtures")
        self._artifact = artifact

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        if name in self._stored:
            return self._artifact.read(f"maps/{name}")
        if name not in self._mixed:
            raise KeyError(name)
        sources = self._artifact.names(f"mixtures/{name}")
        mixed: NDArray[np.float32] = reduce(np.add, (self._part(name, source) for source in sources))
        return mixed

    def _part(self, name: str, source: str) -> NDArray[np.float32]:
        """What a source brings into a mixed map."""
        share, mean, deviation = self._artifact.read(f"mixtures/{name}/{source}").tolist()
        values: NDArray[np.float32] = self._artifact.read(f"maps/{source}")
        part: NDArray[np.float32] = share * ((values - mean) / (deviation if deviation > 0 else 1.0))
        return part

    def __iter__(self) -> Iterator[str]:
        return iter([*self._stored, *self._mixed])

    def __len__(self) -> int:
        return len(self._stored) + len(self._mixed)


@contextlib.contextmanager
def open_scores(path: str | Path) -> Iterator[Scores]:
    """Open a scores artifact: `with open_scores("scores.h5") as scores: scores.image["fused"]`."""
    with open_artifact(Path(path), "scores") as artifact:
        yield Scores(artifact)
