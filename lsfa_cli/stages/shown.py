"""What pictures show of a category's test samples: image, scan, defects and anomaly maps.

Of unorganized clouds the scan is a rendering, and defects and scores of points are painted through the point that is
seen at each pixel.
"""

import numpy as np
from numpy.typing import NDArray

from lsfa_cli.artifacts.features import Features
from lsfa_cli.artifacts.scores import FUSED, Scores
from lsfa_cli.errors import ArtifactError
from lsfa_cli.figures import Limits, map_limits
from lsfa_cli.samples import MODALITIES, BoolArray
from lsfa_cli.source_weights import BANK_ALONE, PASTED_ALONE


class Shown:
    """The pictures of one category. maps: score name -> (n, S, S) float32, 0 where a cloud has no point."""

    def __init__(self, scores: Scores, features: Features) -> None:
        self._scores, self._features = scores, features
        # Together first, then each source alone, where there are several.
        alone = ("", BANK_ALONE, PASTED_ALONE)
        names = [name for one in alone for score in (*MODALITIES, FUSED) if (name := f"{score}{one}") in scores.image]
        self._seen: BoolArray | None = None
        self._defects: BoolArray | None = None
        if scores.is_cloud:
            self.maps = {"xyz": self._paint()}
        else:
            self.maps = {name: scores.maps[name] for name in names}

    def pictures(self, index: int) -> tuple[NDArray[np.uint8] | None, NDArray[np.uint8] | None]:
        """The image and the shaded scan of a test sample, of which one may be absent."""
        artifact, paths = self._features.artifact, ("test/pictures/rgb", "test/pictures/depth")
        image, depth = (artifact.rows(path, index) if path in artifact else None for path in paths)
        return image, depth

    def mask(self, index: int) -> BoolArray:
        """(S, S), where the defects of a test sample are seen."""
        return self._features.masks(index) if self._defects is None else self._defects[index]

    def without_mask(self, index: int) -> str:
        """What it means when the mask of a sample is empty."""
        if self._scores.is_cloud:
            return "not seen from here" if self._scores.point_defects(index).any() else "no defect"
        return "no defect" if self._scores.masked[index] else "not marked"

    def limits(self, name: str) -> Limits:
        """One colour scale for all samples; of clouds from the pixels that show a point."""
        values = self.maps[name]
        return map_limits(values if self._seen is None or not self._seen.any() else values[self._seen])

    def _paint(self) -> NDArray[np.float32]:
        """Scores (n, S, S) of the points that are seen; also remembers where there are any, and the defects."""
        points = [self._features.cloud_picture(index).point for index in range(len(self._scores.names))]
        self._seen = np.stack(points) >= 0
        self._defects = np.zeros_like(self._seen)
        maps = np.zeros(self._seen.shape, dtype=np.float32)
        for index, (shown, seen) in enumerate(zip(points, self._seen, strict=True)):
            values, defects = self._scores.point_scores(index), self._scores.point_defects(index)
            if int(shown.max(initial=-1)) >= len(values):
                raise ArtifactError(
                    f"{self._features.artifact.path}: the picture of cloud {index} shows points that it does not have",
                    hint="The file is damaged. Run: lsfa extract --rerun",
                )
            maps[index][seen], self._defects[index][seen] = values[shown[seen]], defects[shown[seen]]
        return maps
