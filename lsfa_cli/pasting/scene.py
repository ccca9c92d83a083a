"""What a defect needs to know of the sample that it is pasted into: the part, its size, the camera and the light."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lsfa_cli.errors import DataError
from lsfa_cli.pasting.camera import Camera, Points, camera_of
from lsfa_cli.pasting.relief import normals, smoothed
from lsfa_cli.preprocessing import PreprocessOptions, part_points
from lsfa_cli.preprocessing.plane import Plane, border
from lsfa_cli.samples import BoolArray, FloatArray, Sample

REFERENCE_SIZE = 0.04
"""Metres: the size (the root of the visible area) of a part on which millimetres in tables of defects are just that."""

HALO = 2
"""Pixels around the part that show some of it."""

_SMALLEST_PART = 64  # pixels
_SMALL_GAP = 0.02  # of the part: larger enclosed areas without points are openings
_GAPS = 0.0005  # of the part: fewer enclosed pixels without a point come from no sensor that loses points
_DEFAULT_LIGHT = (-0.48, -0.6, -0.64)  # unit, from the upper left
_AMBIENT = 0.3  # share of light that reaches every slope
_EXPLAINED = 0.15  # of the brightness' variance: where slopes explain less, the light's direction is unknown
_LOWEST = 0.35  # sine of the lowest light over the image plane
_LIGHT_SAMPLES = 4000
_SMOOTHED = 8  # pixels: farther apart, points have nothing to do with each other's normals
_COLOUR_DISTANCE = 24.0  # of 255, at least, between a part and a plain background
_BORDER_SPREADS = 6.0  # and this many deviations of the background
_PLAIN = 22.0  # of 255: a border that varies more is no plain background


@dataclass(frozen=True)
class Scene:
    """A sample and what was found out about it.

    part: (H, W), the part's silhouette, which includes pixels where the sensor lost a point. points: (H, W), where
    there is a point of the part; None without a scan. pitch: metres from pixel to pixel on the part. camera: None
    without a scan, whose part then is taken to be as large as the reference. axis: (3,), unit, the direction in which
    the part is seen. plane: the background's, where it is
    flat. light: (3,) unit vector towards the light. gaps: whether the sensor loses points on the part.
    """

    sample: Sample
    part: BoolArray
    points: BoolArray | None
    pitch: float
    camera: Camera | None
    axis: Points
    plane: Plane | None
    light: Points
    gaps: bool

    @property
    def size(self) -> float:
        """The part's size in pixels: the root of its visible area."""
        return float(np.sqrt(self.part.sum()))

    def metres(self, millimetres: float) -> float:
        """A length given for a part of the reference size, on this part."""
        return millimetres / 1000 * self.size * self.pitch / REFERENCE_SIZE

    @cached_property
    def depth_inside(self) -> NDArray[np.float32]:
        """Distance (H, W) in pixels from the part's silhouette, 0 outside; the image's border is no silhouette."""
        return np.asarray(ndimage.distance_transform_edt(np.pad(self.part, 1, mode="edge"))[1:-1, 1:-1], np.float32)

    @cached_property
    def outline(self) -> BoolArray:
        """The part (H, W) with its cracks, slots and gaps closed. What is outside is around it or shows through."""
        reach = max(round(0.03 * self.size), 1)
        box = ndimage.find_objects(self.part.astype(np.int8))[0]
        # By distances, since a dilation of so many pixels takes longer; what is beyond the image closes nothing.
        outside = ndimage.distance_transform_edt(~np.pad(self.part[box], 2 * reach)) > reach
        closed = ndimage.distance_transform_edt(~outside)[2 * reach : -2 * reach, 2 * reach : -2 * reach] > reach
        outline = self.part.copy()
        outline[box] |= closed
        return outline

    @cached_property
    def halo(self) -> BoolArray:
        """The outline (H, W) and the pixels around it that the image mixes with the background."""
        return np.asarray(ndimage.binary_dilation(self.outline, iterations=HALO))

    @cached_property
    def silhouette(self) -> NDArray[np.int64]:
        """Pixels (n, 2) of the part that touch what is around it; none where the part fills the image."""
        around = ndimage.binary_dilation(~self.outline, iterations=2)
        return np.argwhere(self.part & around)

    @cached_property
    def surroundings(self) -> BoolArray:
        """Pixels (H, W) that are certainly none of the part's, away from its edge."""
        near: BoolArray = ndimage.binary_dilation(self.part, iterations=max(int(0.02 * self.size), 2))
        return ~near

    @cached_property
    def grain(self) -> float:
        """Deviation of the image's noise on the part, of 255: from the differences of neighbours' differences."""
        if self.sample.rgb is None:
            return 0.0
        grey = self.sample.rgb.mean(axis=2)
        second = grey[:, 2:] - 2 * grey[:, 1:-1] + grey[:, :-2]
        inside = second[self.part[:, 1:-1]]
        return float(np.clip(np.median(np.abs(inside)) / 0.6745 / np.sqrt(6), 0.3, 6.0)) if inside.size else 1.0


def scene_of(sample: Sample, options: PreprocessOptions) -> Scene:
    """Find the part on a raw sample as preprocessing with `options` will, its size, the camera and the light.

    Without a scan, the part is what differs from a plain background, or the whole image. Raises `DataError` naming
    the sample's file when there is no part, ValueError for a sample with neither image nor scan.
    """
    if sample.xyz is None or sample.valid is None:
        return _image_scene(sample)
    points, plane = part_points(sample, options)
    part = _with_small_gaps(points, sample.valid)
    _require_part(sample, points)
    camera = camera_of(sample.xyz, points)
    axis = camera.away(sample.xyz[points].mean(axis=0, dtype=np.float64))
    enclosed = int((part & ~points).sum())
    return Scene(
        sample=sample,
        part=part,
        points=points,
        pitch=_pitch(sample, points),
        camera=camera,
        axis=axis,
        plane=plane,
        light=_light(sample, points, axis),
        gaps=enclosed > _GAPS * part.sum(),
    )


def _image_scene(sample: Sample) -> Scene:
    if sample.rgb is None:
        raise ValueError(f"{sample.record.name} has neither image nor scan")
    part = _part_of_image(sample.rgb)
    _require_part(sample, part)
    pitch = REFERENCE_SIZE / float(np.sqrt(part.sum()))
    axis = np.array([0.0, 0.0, 1.0])
    return Scene(sample, part, None, pitch, None, axis, None, np.array(_DEFAULT_LIGHT), False)


def _require_part(sample: Sample, part: BoolArray) -> None:
    if part.sum() < _SMALLEST_PART:
        file = next(iter(sample.record.files.values()), sample.record.name)
        raise DataError(
            f"{file}: {int(part.sum())} pixels show the part, too few to paste a defect into.",
            hint="Look at what preprocessing keeps: lsfa data show SAMPLE --preprocessed.",
        )


def _with_small_gaps(points: BoolArray, valid: BoolArray) -> BoolArray:
    """The points of the part and the small enclosed gaps between them where the sensor has no point."""
    gaps, count = ndimage.label(ndimage.binary_fill_holes(points) & ~points)
    if count == 0:
        return points
    sizes = np.bincount(gaps.ravel())
    missing = np.bincount(gaps.ravel(), weights=(~valid).ravel())
    small = (sizes <= max(_SMALL_GAP * points.sum(), 4)) & (missing == sizes)
    small[0] = False
    return np.asarray(points | small[gaps])


def _part_of_image(rgb: NDArray[np.uint8]) -> BoolArray:
    """The largest thing that differs from the colours along the image's border; the whole image where they vary."""
    height, width = rgb.shape[:2]
    on_border = border(height, width, max(min(height, width) // 40, 1))
    colours = rgb[on_border].astype(np.float32)
    middle = np.median(colours, axis=0)
    spread = float(np.median(np.abs(colours - middle).max(axis=1))) * 1.4826
    if spread > _PLAIN:
        return np.ones((height, width), dtype=bool)
    difference = np.abs(ndimage.uniform_filter(rgb.astype(np.float32), (3, 3, 0)) - middle).max(axis=2)
    different = difference > max(_COLOUR_DISTANCE, _BORDER_SPREADS * spread)
    pieces, count = ndimage.label(ndimage.binary_closing(different, iterations=2))
    if count == 0:
        return np.ones((height, width), dtype=bool)
    largest = pieces == np.bincount(pieces.ravel())[1:].argmax() + 1
    filled: BoolArray = ndimage.binary_fill_holes(largest)
    # Texture that differs from its border here and there is no part on a background.
    return filled if 0.02 < filled.mean() < 0.97 else np.ones((height, width), dtype=bool)


def _pitch(sample: Sample, points: BoolArray) -> float:
    """Metres from one point of the part to the next, the median."""
    if sample.xyz is None:
        raise ValueError("an image has no points")
    steps = []
    for axis in (0, 1):
        both = np.logical_and(np.delete(points, 0, axis), np.delete(points, -1, axis))
        steps.append(np.linalg.norm(np.diff(sample.xyz, axis=axis)[both], axis=1))
    known = np.concatenate(steps)
    if not known.size or not (median := float(np.median(known))) > 0:
        raise DataError(
            f"{sample.record.files.get('xyz', sample.record.name)}: the points of the part are not next to each other.",
            hint="Defects are pasted into organized clouds: one point a pixel, neighbours in space being neighbours.",
        )
    return median


def _light(sample: Sample, points: BoolArray, axis: Points) -> Points:
    """The direction (3,) towards the light: where Lambert's law explains the part's brightness, as it does."""
    default: Points = np.array(_DEFAULT_LIGHT)
    if sample.xyz is None or sample.rgb is None:
        return default
    # The part and as much around it as smoothing sees.
    found = ndimage.find_objects(points.astype(np.int8))[0]
    box = tuple(slice(max(side.start - _SMOOTHED, 0), side.stop + _SMOOTHED) for side in found)
    points, xyz, rgb = points[box], sample.xyz[box], sample.rgb[box]
    facing = normals(smoothed(xyz, points), axis)
    inside = ndimage.binary_erosion(points, iterations=3)
    if inside.sum() < _SMALLEST_PART:
        return default
    step = max(int(inside.sum()) // _LIGHT_SAMPLES, 1)
    grey = rgb.mean(axis=2)[inside][::step]
    slopes = np.concatenate([facing[inside][::step], np.ones((len(grey), 1))], axis=1)
    squares = np.einsum("ij,ik->jk", slopes, slopes) + 1e-3 * len(grey) * np.diag([1.0, 1.0, 1.0, 0.0])
    factors = np.linalg.solve(squares, np.einsum("ij,i->j", slopes, grey))
    rest = grey - np.einsum("ij,j->i", slopes, factors)
    length = float(np.linalg.norm(factors[:3]))
    if rest.var() > (1 - _EXPLAINED) * grey.var() or length == 0:
        return default
    towards = factors[:3] / length
    along = float((towards * axis).sum())
    if along > 0.5:  # brighter where the part turns away
        return default
    # Never from the side alone: changes of colour pass for a low light.
    towards = towards - max(along + _LOWEST, 0.0) * axis
    return np.asarray(towards / np.linalg.norm(towards))


def shade(facing: FloatArray, light: Points) -> NDArray[np.float32]:
    """Brightness (...) of slopes with unit normals (..., 3): Lambert's law and light from everywhere."""
    lit = np.maximum(np.einsum("...i,i->...", facing, light), 0.0)
    return np.asarray(_AMBIENT + (1 - _AMBIENT) * lit, dtype=np.float32)
