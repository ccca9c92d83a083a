"""Scores of the points of unorganized clouds, from those of their groups."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lsfa_cli.artifacts.features import Features
from lsfa_cli.artifacts.store import ArtifactWriter
from lsfa_cli.errors import ArtifactError


def write_points(writer: ArtifactWriter, features: Features, groups: Sequence[NDArray[np.float32]]) -> None:
    """Give every point of every test cloud the score of its nearest group, as Real3D-AD's protocol does.

    groups: for each cloud the scores of its m groups. A category may have 160 million points, so they pass through
    memory cloud by cloud.
    """
    offsets = features.point_offsets()
    scores, defects = writer.growing("points/xyz", compress=True), writer.growing("points/defect", compress=True)
    for index, own in enumerate(groups):
        points = features.points(slice(int(offsets[index]), int(offsets[index + 1])))
        if points.group.size and not 0 <= int(points.group.min()) <= int(points.group.max()) < len(own):
            raise ArtifactError(
                f"{features.artifact.path}: a point of cloud {index} belongs to none of its {len(own)} groups",
                hint="The file is damaged. Run: lsfa extract --rerun",
            )
        scores.append(own[points.group])
        defects.append(points.defect)
        writer.check()
    writer.write("points/offsets", offsets)
