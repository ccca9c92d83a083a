"""Fast point feature histograms (FPFH, 33 values a point) by Open3D, as BTF uses them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lsfa_cli.backbones.base import (
    BackboneArguments,
    GroupFeatures,
    IdentityValue,
    Projection,
    argument,
    refuse_weights,
)
from lsfa_cli.errors import UsageError
from lsfa_cli.open3d_library import import_open3d
from lsfa_cli.pointcloud import points_of
from lsfa_cli.projection import pooling_matrix, require_grid, to_patches
from lsfa_cli.samples import FloatArray, Modality, PatchFeatures, PreparedSample, scan_of

# Two directions span a surface: fewer points have no normal.
MINIMUM_POINTS = 3


class FPFH:
    """FPFH of every valid pixel, pooled to patches (METHOD 2; BTF's 3D branch).

    Open3D's normals (30 neighbours within 0.1 m) and histograms (100 within 0.25 m); on parts of some centimetres the
    numbers of neighbours decide. Histograms reach values of 200. Clouds of fewer than 3 points are a `DataError`.
    """

    @dataclass(frozen=True)
    class Arguments(BackboneArguments):
        """What can follow `fpfh?`."""

        orient: bool = argument(
            True, "Turn normals towards the camera, which makes histograms repeatable; false is BTF's."
        )
        normal_radius: float = argument(0.1, "Neighbourhood of a normal, metres.")
        normal_neighbors: int = argument(30, "Most neighbours of a normal.")
        feature_radius: float = argument(0.25, "Neighbourhood of a histogram, metres.")
        feature_neighbors: int = argument(100, "Most neighbours of a histogram.")

        def __post_init__(self) -> None:
            for name, least in (("normal", self.normal_neighbors), ("feature", self.feature_neighbors)):
                if getattr(self, f"{name}_radius") <= 0:
                    raise UsageError(f"backbone fpfh: {name}_radius must be above 0.")
                if least < MINIMUM_POINTS:
                    raise UsageError(f"backbone fpfh: {name}_neighbors must be at least {MINIMUM_POINTS}.")

    modality: Modality = "xyz"
    dimension = 33
    minimum_points = MINIMUM_POINTS

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
        refuse_weights("fpfh", weights)
        self.arguments = arguments
        self.grid = require_grid(grid, image_size)
        self.projection = projection
        self.identity: dict[str, IdentityValue] = {"name": "fpfh", "arguments": arguments.canonical()}
        self.notes: tuple[str, ...] = ()
        self._open3d = import_open3d("backbone fpfh", "The backbone surface needs no Open3D.")

    def patches(self, samples: Sequence[PreparedSample]) -> list[PatchFeatures]:
        """Patch features (at most grid * grid, 33) of each sample."""
        return [self._patches(sample) for sample in samples]

    def _patches(self, sample: PreparedSample) -> PatchFeatures:
        features = self.point_features(points_of(sample, MINIMUM_POINTS, "fpfh"))
        valid = scan_of(sample).valid
        matrix = pooling_matrix(valid, self.grid, self.projection)
        return to_patches(features, matrix, valid, self.grid)

    def group_features(self, points: FloatArray) -> GroupFeatures:
        """FPFH of an unorganized cloud (n, 3), metres: every point is a group, (n, 33).

        The camera of `orient` is the origin: the middle of the template, where the cloud is registered, so that the
        same place of every part has the same sign.
        """
        if len(points) < MINIMUM_POINTS:
            raise ValueError(f"{len(points)} points, backbone fpfh needs {MINIMUM_POINTS}")
        return GroupFeatures(points, self.point_features(points).astype(np.float32))

    def point_features(self, points: FloatArray) -> NDArray[np.float64]:
        """FPFH of raw points: (n, 3), metres, camera at the origin, to (n, 33)."""
        geometry, registration = self._open3d.geometry, self._open3d.pipelines.registration
        cloud = geometry.PointCloud(self._open3d.utility.Vector3dVector(points.astype(np.float64)))
        wanted = self.arguments
        cloud.estimate_normals(geometry.KDTreeSearchParamHybrid(wanted.normal_radius, wanted.normal_neighbors))
        if wanted.orient:
            cloud.orient_normals_towards_camera_location(np.zeros(3))
        if float(np.linalg.norm(np.ptp(points, axis=0))) >= wanted.feature_radius:
            search = geometry.KDTreeSearchParamHybrid(wanted.feature_radius, wanted.feature_neighbors)
            return np.array(registration.compute_fpfh_feature(cloud, search).data).T
        # All points lie within the radius, so the number of neighbours decides. Open3D's newer code finds them once for
        # both passes over the cloud, in 0.8 of the time; with the radius it would take ten times as long.
        newer, tensor = self._open3d.t, self._open3d.core.Tensor
        same = newer.geometry.PointCloud(tensor(points.astype(np.float64)))
        same.point.normals = tensor(np.asarray(cloud.normals))
        found = newer.pipelines.registration.compute_fpfh_feature(same, max_nn=wanted.feature_neighbors)
        return np.asarray(found.numpy(), dtype=np.float64)
