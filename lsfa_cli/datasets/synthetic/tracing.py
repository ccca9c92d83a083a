"""Rays against implicit surfaces: sphere tracing, normals, soft shadows and ambient occlusion.

A surface is a function from points (n, 3) mm to a signed distance (n,) mm, negative inside. It need not be exact:
it must not change faster than 1 / STEP times the distance walked.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
Surface = Callable[[Array], Array]

STEP = np.float32(0.8)
"""Share of the distance that one step walks; below 1 because threads and reliefs are steeper than a true distance."""
TOLERANCE_MM = np.float32(0.012)
MAX_STEPS = 72


def box_interval(origins: Array, directions: Array, low: Array, high: Array) -> tuple[Array, Array]:
    """Where rays enter and leave an axis-aligned box: two (n,) of ray parameters, enter > leave for a miss."""
    enter = np.full(len(directions), -np.inf, dtype=np.float32)
    leave = np.full(len(directions), np.inf, dtype=np.float32)
    for axis in range(3):
        step = directions[:, axis]
        inverse = 1.0 / np.where(np.abs(step) < 1e-9, np.float32(1e-9), step)
        first = (low[axis] - origins[..., axis]) * inverse
        second = (high[axis] - origins[..., axis]) * inverse
        np.maximum(enter, np.minimum(first, second), out=enter)
        np.minimum(leave, np.maximum(first, second), out=leave)
    return enter, leave


def trace(surface: Surface, origins: Array, directions: Array, enter: Array, leave: Array) -> Array:
    """First hit of each ray as a ray parameter (n,), infinity where it misses. Directions have any length."""
    scale = length(directions)
    hit = np.full(len(directions), np.inf, dtype=np.float32)
    active = np.nonzero(enter < leave)[0]
    position = enter[active].copy()
    for _ in range(MAX_STEPS):
        if active.size == 0:
            break
        points = origins[active] + directions[active] * position[:, None]
        distance = surface(points)
        found = distance < TOLERANCE_MM
        hit[active[found]] = position[found]
        position = position + STEP * distance / scale[active]
        going = ~found & (position < leave[active])
        active, position = active[going], position[going]
    return hit


def normals(surface: Surface, points: Array, step_mm: float = 0.2) -> Array:
    """Unit outward normals (n, 3), from four evaluations at the corners of a tetrahedron as wide as a pixel sees."""
    corners = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=np.float32)
    gradient = np.zeros_like(points)
    for corner in corners:
        gradient += corner * surface(points + corner * np.float32(step_mm))[:, None]
    return unit(gradient)


def unit(vectors: Array) -> Array:
    """Vectors (..., 3) at length 1."""
    result: Array = vectors / np.maximum(length(vectors), np.float32(1e-12))[..., None]
    return result


def length(vectors: Array) -> Array:
    """Euclidean length (...,) of vectors (..., 3)."""
    result: Array = np.sqrt(np.einsum("...i,...i->...", vectors, vectors))
    return result


def visibility(
    surface: Surface, points: Array, light: Array, low: Array, high: Array, *, sharpness: float = 14.0, steps: int = 28
) -> Array:
    """How much of a small light at `light` (3,) each point sees: 1 lit, 0 in shadow, soft at the edge.

    The penumbra is the smallest ratio of clearance to distance walked along the ray, times `sharpness`
    (distance to the light over its radius).
    """
    result = np.ones(len(points), dtype=np.float32)
    directions = unit(light - points)
    enter, leave = box_interval(points, directions, low, high)
    position = np.maximum(enter, np.float32(0.25))
    active = np.nonzero(position < leave)[0]
    position = position[active]
    for _ in range(steps):
        if active.size == 0:
            break
        distance = surface(points[active] + directions[active] * position[:, None])
        clear = np.float32(sharpness) * distance / position
        result[active] = np.minimum(result[active], np.maximum(clear, 0.0))
        position = position + np.maximum(STEP * distance, np.float32(0.1))
        going = (distance > 0.0) & (position < leave[active])
        active, position = active[going], position[going]
    return np.minimum(result, 1.0)


def openness(surface: Surface, points: Array, normal: Array, reach_mm: tuple[float, ...] = (0.5, 1.5, 4.0)) -> Array:
    """Ambient occlusion (n,): 1 in the open, falling where the surface closes in (grooves, pockets, holes)."""
    closed = np.zeros(len(points), dtype=np.float32)
    for weight, reach in zip((0.35, 0.35, 0.3), reach_mm, strict=True):
        clearance = surface(points + normal * np.float32(reach))
        closed += np.float32(weight) * np.clip(1.0 - clearance / np.float32(reach), 0.0, 1.0)
    return 1.0 - closed
