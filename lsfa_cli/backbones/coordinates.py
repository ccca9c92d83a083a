"""Registered coordinates as features: where a point is, in the frame of the template (Reg3D-AD's second bank)."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lsfa_cli.backbones.base import (
    BackboneArguments,
    GroupFeatures,
    IdentityValue,
    Projection,
    refuse_weights,
)
from lsfa_cli.samples import FloatArray, Modality

MILLIMETRES = 1000  # a metre


class Coordinates:
    """The coordinates of every point of an unorganized, registered cloud, millimetres; a point is a group.

    The distance to the nearest entry of the bank is then the distance to the nearest surface of a good part.
    """

    @dataclass(frozen=True)
    class Arguments(BackboneArguments):
        """Nothing can follow `coordinates?`."""

    modality: Modality = "xyz"
    dimension = 3
    minimum_points = 1

    def __init__(
        self,
        arguments: Arguments,
        *,
        weights: Path | None = None,
        device: str = "cpu",
        image_size: int = 224,
        grid: int = 56,
        projection: Projection = "public",
        local_average: bool = False,
    ) -> None:
        refuse_weights("coordinates", weights)
        self.arguments = arguments
        self.identity: dict[str, IdentityValue] = {"name": "coordinates", "arguments": arguments.canonical()}
        self.notes: tuple[str, ...] = ()

    def group_features(self, points: FloatArray) -> GroupFeatures:
        """Points (n, 3), metres, as groups with their coordinates in millimetres (n, 3)."""
        if len(points) < self.minimum_points:
            raise ValueError("the cloud has no points")
        return GroupFeatures(points, points.astype(np.float32) * np.float32(MILLIMETRES))
