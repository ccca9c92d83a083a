"""`lsfa-part.toml`: what a user knows of the camera, the units and the files of a part.

One in a part's folder, and one in the folder of all parts, whose values count where the part's file has none.
"""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from lsfa_cli.datasets.patterns import Pattern
from lsfa_cli.errors import DataError, UnknownNameError
from lsfa_cli.preprocessing import Recipe
from lsfa_cli.toml_files import read_toml

PART_FILE = "lsfa-part.toml"
METRES = {"m": 1.0, "cm": 1e-2, "mm": 1e-3, "um": 1e-6, "inch": 0.0254}
_AXES = ("x", "y", "z")

Axis = Literal["x", "y", "z", "-x", "-y", "-z"]


class Intrinsics(NamedTuple):
    """A pinhole camera in pixels; pixel (0, 0) is the centre of the upper left one."""

    fx: float
    fy: float
    cx: float
    cy: float


class Table(BaseModel):
    """What the tables of the file share: no unknown keys, no conversions, no infinite numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class CameraTable(Table):
    """The camera that took the depth images. Needed for depth images only."""

    fx: float | None = Field(None, gt=0, description="Focal length along a row, pixels.", examples=[615.0])
    fy: float | None = Field(None, gt=0, description="Focal length along a column, pixels.", examples=[615.0])
    cx: float | None = Field(
        None, description="Column of the principal point, pixels; the first column's centre is 0.", examples=[319.5]
    )
    cy: float | None = Field(
        None, description="Row of the principal point, pixels; the first row's centre is 0.", examples=[239.5]
    )


class DepthTable(Table):
    """The numbers in the depth images: distance along the optical axis (z), not along the ray."""

    scale: float | None = Field(
        None,
        gt=0,
        description="Metres a stored unit: 0.001 where 16-bit images hold millimetres, 1.0 where floats hold metres.",
        examples=[0.001],
    )
    invalid: float = Field(
        0.0, description="The number that means: no measurement. 0, negative and not finite ones always do."
    )


class CloudTable(Table):
    """The numbers in the organized clouds."""

    unit: Literal["m", "cm", "mm", "um", "inch"] = Field(
        "m", description='Unit of the coordinates: "m", "cm", "mm", "um" or "inch".'
    )
    axes: list[Axis] = Field(
        ["x", "y", "z"],
        description="Which of the file's axes point right, down and away from the camera: "
        '["x", "-y", "-z"] where y points up and z at the camera.',
    )
    width: int | None = Field(
        None,
        ge=2,
        description="Points a row, for clouds in row order whose file does not say it (.ply often does not).",
        examples=[640],
    )

    @field_validator("axes")
    @classmethod
    def _each_axis_once(cls, axes: list[str]) -> list[str]:
        if sorted(axis.lstrip("-") for axis in axes) != list(_AXES):
            raise ValueError("x, y and z must each appear once, each with or without a minus")
        return axes


class RgbTable(Table):
    """The images."""

    resize_to_scan: bool = Field(
        False,
        description="Resize the image (and its mask) to the scan where both show exactly the same view. "
        "Otherwise different sizes are an error.",
    )


class FilesTable(Table):
    """Where the files are, below good/, validation/, test/good/ and test/DEFECT/. {id} is what the files share."""

    rgb: str | None = Field(
        None, description="Images. Default: rgb/{id}.*, or {id}.* without subfolders.", examples=["{id}_color.png"]
    )
    xyz: str | None = Field(
        None, description="Organized clouds. Default: xyz/{id}.*, or {id}.* without subfolders.", examples=["{id}.ply"]
    )
    depth: str | None = Field(None, description="Depth images. Default: depth/{id}.*", examples=["{id}_depth.png"])

    @field_validator("rgb", "xyz", "depth")
    @classmethod
    def _is_pattern(cls, text: str | None) -> str | None:
        if text is not None:
            Pattern(text)
        return text


class PreprocessingTable(Table):
    """How the background is taken away. `lsfa data fit` measures good parts and writes these."""

    remove_plane: bool = Field(True, description="Remove the plane that the part lies on.")
    plane_inlier_distance: float = Field(
        0.004, gt=0, description="A border point nearer than this belongs to the plane, metres."
    )
    plane_removal_distance: float = Field(
        0.005, ge=0, description="Points nearer to the plane than this are background, metres."
    )
    keep_largest_cluster: bool = Field(True, description="Keep only the largest cluster of points.")
    cluster_distance: float = Field(
        0.006, gt=0, description="Points nearer to each other than this may share a cluster, metres."
    )
    cluster_min_points: int = Field(30, ge=1, description="Points within that distance that make a cluster.")
    pad_multiple: int = Field(
        1, ge=1, description="Images are padded to a square whose side is a multiple of this, pixels."
    )


class PartFile(Table):
    """Everything that `lsfa-part.toml` may hold."""

    camera: CameraTable = CameraTable()
    depth: DepthTable = DepthTable()
    cloud: CloudTable = CloudTable()
    rgb: RgbTable = RgbTable()
    files: FilesTable = FilesTable()
    preprocessing: PreprocessingTable = PreprocessingTable()

    @property
    def recipe(self) -> Recipe:
        """The constants of preprocessing."""
        return Recipe(**self.preprocessing.model_dump())

    def intrinsics(self, sources: Iterable[Path], wanted_by: Path) -> Intrinsics:
        """The camera. `DataError` naming the keys that `sources`, the files that were read, lack."""
        camera = self.camera
        if camera.fx is None or camera.fy is None or camera.cx is None or camera.cy is None:
            lacking = [key for key, value in camera.model_dump().items() if value is None]
            raise _lacking("camera", lacking, sources, wanted_by, "They are in the camera's calibration, in pixels.")
        return Intrinsics(camera.fx, camera.fy, camera.cx, camera.cy)

    def depth_scale(self, sources: Iterable[Path], wanted_by: Path) -> float:
        """Metres a stored unit of depth. `DataError` where nobody has said it: a guess would be off by a thousand."""
        if self.depth.scale is None:
            hint = "Write scale = 0.001 where the images hold millimetres, 1.0 where they hold metres."
            raise _lacking("depth", ["scale"], sources, wanted_by, hint)
        return self.depth.scale


def load_part_file(paths: Iterable[Path]) -> PartFile:
    """The values of several files together; those of later files count. `DataError` names file and key."""
    merged: dict[str, dict[str, Any]] = {}
    for path in paths:
        file = _validated(path, read_toml(path, "Compare it with the template: lsfa data init"))
        for name, values in file.model_dump(exclude_unset=True).items():
            merged[name] = merged.get(name, {}) | values
    return PartFile.model_validate(merged)


def _validated(path: Path, content: Mapping[str, Any]) -> PartFile:
    for name, values in content.items():
        _require_known(f"table in {path}", name, PartFile)
        if not isinstance(values, Mapping):
            raise DataError(f"{path}: {name} must be a table.", hint=f"Write [{name}] and its keys below.")
        for key in values:
            _require_known(f"key in [{name}] of {path}", key, _table(name))
    try:
        return PartFile.model_validate(content)
    except ValidationError as error:
        problems = [
            f"[{problem['loc'][0]}] {problem['loc'][1]} = {_shown(problem['input'])}: {problem['msg']}"
            for problem in error.errors()
        ]
        raise DataError(
            f"{path}: {'; '.join(problems)}.", hint="The template explains each key: lsfa data init"
        ) from error


def _table(name: str) -> type[Table]:
    kind = PartFile.model_fields[name].annotation
    if not isinstance(kind, type) or not issubclass(kind, Table):
        raise TypeError(f"{name} is no table")
    return kind


def _require_known(kind: str, name: str, model: type[BaseModel]) -> None:
    if name not in model.model_fields:
        unknown = UnknownNameError(kind, name, model.model_fields)
        raise DataError(unknown.message, hint=unknown.hint)


def _shown(value: object) -> str:
    """A value as TOML has it, near enough to be found in the file."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return str(value).lower() if isinstance(value, bool) else repr(value)


def _lacking(table: str, keys: list[str], sources: Iterable[Path], wanted_by: Path, hint: str) -> DataError:
    where = " and ".join(str(path) for path in sources) or f"there is no {PART_FILE}, so"
    return DataError(f"{where}: [{table}] lacks {', '.join(keys)}, which {wanted_by} needs.", hint=hint)
