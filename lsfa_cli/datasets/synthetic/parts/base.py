"""What a part is, and the solids that parts are built of."""

import functools
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
BoolArray = NDArray[np.bool_]


class Material(NamedTuple):
    """How points reflect light: `albedo` (n, 3), share of light scattered; `gloss` (n,), strength of the highlight;
    `shininess`, Blinn-Phong exponent; `softness`, how far diffuse light reaches round the terminator (0 to 0.5).
    """

    albedo: Array
    gloss: Array
    shininess: float
    softness: float


class Part(Protocol):
    """One individual of a category, in its own frame: millimetres, z up from the background plane at z = 0."""

    @property
    def box(self) -> tuple[Array, Array]:
        """Lowest and highest corner (3,) of a box that holds the part."""
        ...

    def distance(self, points: Array) -> Array:
        """Signed distance (n,) of points (n, 3) to the surface, negative inside (see `tracing`)."""
        ...

    def relief(self, points: Array) -> Array:
        """Height (n,) of the fine relief above the surface: roughness, grain, machining marks; well below 1 mm."""
        ...

    def material(self, points: Array) -> Material:
        """How the surface at `points` reflects light."""
        ...

    def site(self, name: str, points: Array) -> BoolArray:
        """Whether surface points (n,) belong to the part's region `name`."""
        ...


def union(*solids: Array) -> Array:
    """What is in any of the solids."""
    return functools.reduce(np.minimum, solids)


def intersection(*solids: Array) -> Array:
    """What is in all of the solids."""
    return functools.reduce(np.maximum, solids)


def chamfered(first: Array, second: Array, size_mm: float) -> Array:
    """The intersection of two solids, its edge broken by a chamfer of `size_mm`."""
    bevel = (first + second) * np.float32(0.70710678) + np.float32(size_mm * 0.70710678)
    return intersection(first, second, bevel)


def smooth_union(first: Array, second: Array, radius_mm: float) -> Array:
    """The union of two solids with a fillet of about `radius_mm`."""
    blend = np.maximum(np.float32(radius_mm) - np.abs(first - second), 0.0)
    result: Array = np.minimum(first, second) - blend * blend * np.float32(0.25 / radius_mm)
    return result


def slab(coordinate: Array, centre: float, half: float) -> Array:
    """The solid between two parallel planes."""
    result: Array = np.abs(coordinate - np.float32(centre)) - np.float32(half)
    return result


def rounded_rectangle(x: Array, y: Array, half_x: float, half_y: float, radius_mm: float) -> Array:
    """Distance in the plane to a rectangle with rounded corners."""
    dx = np.abs(x) - np.float32(half_x - radius_mm)
    dy = np.abs(y) - np.float32(half_y - radius_mm)
    outside = np.hypot(np.maximum(dx, 0.0), np.maximum(dy, 0.0))
    result: Array = outside + np.minimum(np.maximum(dx, dy), 0.0) - np.float32(radius_mm)
    return result
