"""Random streams by name, and the noise that textures are made of.

Everything that varies between two synthetic samples comes from a stream named after the sample, so that a sample's
bytes depend on the seed and its name alone: not on how many others are made, in which order or by how many workers.
"""

import zlib

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]

LATTICE = 32
"""Side of the periodic lattice of solid noise, a power of two."""


def stream(seed: int, name: str) -> np.random.Generator:
    """The generator of everything called `name` ("fitting/test/hole/3/pose") under `seed`."""
    return np.random.default_rng(np.random.SeedSequence([seed, zlib.crc32(name.encode("utf-8"))]))


class SolidNoise:
    """Smooth noise in space: random values on a periodic cubic lattice, interpolated with smoothstep weights.

    Roughly uniform in [-1, 1] with standard deviation 0.3; features have the size of one lattice cell.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._values: Array = rng.uniform(-1.0, 1.0, LATTICE**3).astype(np.float32)

    def __call__(self, points: Array, cell: float | tuple[float, float, float]) -> Array:
        """Noise at `points` (n, 3) mm with cells of `cell` mm (one size, or one an axis for grain): (n,)."""
        scaled = np.asarray(points / np.asarray(cell, dtype=np.float32), dtype=np.float32)
        corner = np.floor(scaled)
        within: Array = scaled - corner
        weight: Array = within * within * (3.0 - 2.0 * within)
        low = corner.astype(np.int32) & (LATTICE - 1)
        high = (low + 1) & (LATTICE - 1)
        x0, x1 = low[:, 0] * LATTICE**2, high[:, 0] * LATTICE**2
        y0, y1 = low[:, 1] * LATTICE, high[:, 1] * LATTICE
        z0, z1 = low[:, 2], high[:, 2]
        wx, wy, wz = weight[:, 0], weight[:, 1], weight[:, 2]
        values = self._values

        def along_z(base: NDArray[np.int32]) -> Array:
            start: Array = values[base + z0]
            result: Array = start + (values[base + z1] - start) * wz
            return result

        near = along_z(x0 + y0)
        near += (along_z(x0 + y1) - near) * wy
        far = along_z(x1 + y0)
        far += (along_z(x1 + y1) - far) * wy
        result: Array = near + (far - near) * wx
        return result

    def octaves(self, points: Array, cell: float, count: int, gain: float = 0.5) -> Array:
        """Fractal noise: `count` octaves, each half the cell size and `gain` times the strength of the one before."""
        total = np.zeros(len(points), dtype=np.float32)
        strength = 1.0
        for octave in range(count):
            # A shift an octave keeps the lattices of different octaves from lining up.
            shifted = points + np.float32(17.3 * octave)
            total += np.float32(strength) * self(shifted, cell / 2**octave)
            strength *= gain
        return total


def field(rng: np.random.Generator, size: int, cells: int) -> Array:
    """A smooth random image (size, size) with unit deviation and `cells` independent values along a side."""
    coarse = rng.standard_normal((cells + 3, cells + 3)).astype(np.float32)
    weights = _spline_weights(size, cells)
    full = weights @ coarse @ weights.T
    result: Array = full / max(float(full.std()), 1e-6)
    return result


def _spline_weights(size: int, cells: int) -> Array:
    """Cubic B-spline weights (size, cells + 3) of each pixel for the knots around it."""
    position = np.linspace(1.0, cells + 1.0, size)[:, None] - np.arange(cells + 3)[None, :]
    away = np.abs(position)
    near = (4.0 - 6.0 * away**2 + 3.0 * away**3) / 6.0
    far = np.clip(2.0 - away, 0.0, None) ** 3 / 6.0
    weights: Array = np.where(away < 1.0, near, far).astype(np.float32)
    return weights


def smoothstep(low: float, high: float, value: Array) -> Array:
    """0 below `low`, 1 above `high`, smooth between; `low` > `high` turns it round."""
    position = np.clip((value - np.float32(low)) / np.float32(high - low), 0.0, 1.0)
    result: Array = position * position * (3.0 - 2.0 * position)
    return result
