"""Irregular shapes on a raster: blobs with ragged outlines, and random walks."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lsfa_cli.samples import BoolArray, FloatArray

Field = NDArray[np.float32]
Window = tuple[slice, slice]

_STRETCH = (1.0, 2.2)  # the longer axis of a blob over the shorter one


class Shape(NamedTuple):
    """A shape on the part of a raster that `window` cuts out.

    level: (h, w) of the window; 0 or less outside, up to 1 in the middle. radius: pixels, of the disk of about its
    size (of a stroke: half its width).
    """

    window: Window
    level: Field
    radius: float


def smoothstep(low: float, high: float, values: FloatArray) -> Field:
    """0 below `low`, 1 above `high`, a cubic without a kink between."""
    share = np.clip((values - low) / (high - low), 0.0, 1.0)
    return np.asarray(share * share * (3.0 - 2.0 * share), dtype=np.float32)


def smooth_noise(generator: np.random.Generator, shape: tuple[int, int], wavelength: float, octaves: int = 1) -> Field:
    """Noise (h, w), mean 0 and deviation about 1, that varies over `wavelength` pixels, each octave over half."""
    total = np.zeros(shape, dtype=np.float32)
    strength, weight = 1.0, 0.0
    for _ in range(octaves):
        step = max(wavelength / 2, 1.0)
        coarse = generator.standard_normal([int(side / step) + 4 for side in shape]).astype(np.float32)
        along = [np.arange(side, dtype=np.float32) / step + 1 for side in shape]
        grid = np.stack(np.meshgrid(*along, indexing="ij"))
        # Splines between independent values have a deviation of about 0.7.
        total += strength / 0.7 * ndimage.map_coordinates(coarse, grid, order=3, prefilter=False)
        weight += strength**2
        strength, wavelength = strength / 2, wavelength / 2
    return total / np.float32(np.sqrt(weight))


def window_around(row: float, column: float, reach: float, shape: tuple[int, ...]) -> Window:
    """The pixels within `reach` of a place, on a raster of `shape`."""
    return (
        slice(max(int(row - reach), 0), min(int(row + reach) + 2, shape[0])),
        slice(max(int(column - reach), 0), min(int(column + reach) + 2, shape[1])),
    )


def irregular_blob(
    generator: np.random.Generator,
    at: tuple[int, int],
    radius: float,
    shape: tuple[int, ...],
    ragged: float,
    octaves: int = 3,
) -> Shape:
    """The level set of an ellipse, its outline moved by smooth noise. ragged: how far, as a share of the radius.

    octaves: 1 for a rounded outline, 3 for one with detail.
    """
    stretch = float(np.sqrt(generator.uniform(*_STRETCH)))
    angle = generator.uniform(0.0, np.pi)
    reach = radius * (stretch + 2.5 * ragged) + 2
    window = window_around(at[0], at[1], reach, shape)
    rows, columns = np.mgrid[window].astype(np.float32)
    rows, columns = rows - np.float32(at[0]), columns - np.float32(at[1])
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    along = (cos * columns + sin * rows) / np.float32(radius * stretch)
    across = (cos * rows - sin * columns) / np.float32(radius / stretch)
    noise = smooth_noise(generator, (rows.shape[0], rows.shape[1]), 1.4 * radius, octaves)
    distance = np.sqrt(along**2 + across**2) + np.float32(ragged) * np.clip(noise, -2.0, 2.0)
    # Only what hangs together with the middle: islands would be further defects.
    level = np.minimum(1.0 - distance, 1.0)
    pieces, _ = ndimage.label(level > 0)
    own = pieces[np.unravel_index(int(np.argmax(level)), level.shape)]
    level = np.where(level > 0, level / level.max(), level)
    return Shape(window, np.where(pieces == own, level, np.minimum(level, 0)).astype(np.float32), radius)


def stroke(
    generator: np.random.Generator, allowed: BoolArray, at: tuple[int, int], length: float, width: float, bend: float
) -> Shape | None:
    """A line along a random walk from `at`, of about `length` and `width` pixels, as far as it stays on `allowed`.

    bend: how much the walk's direction changes (radians) over a tenth of the length. Its width tapers to the ends.
    None where less than a third of the length was found.
    """
    steps = max(int(length), 3)
    direction = generator.uniform(0.0, 2 * np.pi) + np.cumsum(generator.normal(0.0, bend, 12))
    turning = np.interp(np.linspace(0, 11, steps), np.arange(12), direction)
    rows = at[0] + np.cumsum(np.sin(turning)) * length / steps
    columns = at[1] + np.cumsum(np.cos(turning)) * length / steps
    inside = (rows >= 0) & (columns >= 0) & (rows <= allowed.shape[0] - 1) & (columns <= allowed.shape[1] - 1)
    inside[inside] = allowed[np.rint(rows[inside]).astype(int), np.rint(columns[inside]).astype(int)]
    count = steps if inside.all() else int(np.argmin(inside))
    if count < steps / 3 or count < 3:
        return None
    rows, columns = rows[:count], columns[:count]
    margin = width + 3
    window = (
        slice(max(int(rows.min() - margin), 0), min(int(rows.max() + margin) + 2, allowed.shape[0])),
        slice(max(int(columns.min() - margin), 0), min(int(columns.max() + margin) + 2, allowed.shape[1])),
    )
    # Discs along the walk, four a pixel, each with a level that falls from its centre: the highest level counts.
    fine = np.linspace(0, count - 1, 4 * count)
    place = np.interp(fine, np.arange(count), rows), np.interp(fine, np.arange(count), columns)
    share = fine / (count - 1)
    half = width / 2 * np.sqrt(np.clip(4 * share * (1 - share), 0.08, 1.0))
    reach = int(np.ceil(width / 2)) + 1
    around = np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 2, indexing="ij")).reshape(2, 1, -1)
    pixels = np.rint(np.stack(place)).astype(np.int64)[:, :, None] + around
    distance = np.hypot(*(pixels - np.stack(place)[:, :, None]))
    level = np.full([side.stop - side.start for side in window], -1.0)
    local = pixels - np.array([side.start for side in window])[:, None, None]
    kept = ((local >= 0) & (local < np.array(level.shape)[:, None, None])).all(axis=0)
    np.maximum.at(level, (local[0][kept], local[1][kept]), (1.0 - distance / half[:, None])[kept])
    return Shape(window, level.astype(np.float32), width / 2)
