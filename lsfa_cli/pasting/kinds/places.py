"""Draws that several kinds share: places, sizes, heights and colours."""

import colorsys

import numpy as np

from lsfa_cli.pasting.scene import Scene
from lsfa_cli.pasting.shapes import Field

Place = tuple[int, int]
Range = tuple[float, float]


def on_part(scene: Scene, generator: np.random.Generator, clear: float = 0.0) -> Place:
    """A pixel of the part, at least `clear` pixels inside its silhouette where the part is wide enough for that."""
    depth = scene.depth_inside
    free = np.argwhere(depth > min(clear, 0.7 * float(depth.max())))
    row, column = free[generator.integers(len(free))]
    return int(row), int(column)


def on_silhouette(scene: Scene, generator: np.random.Generator) -> Place | None:
    """A pixel of the part's edge; None where the part fills the image."""
    edge = scene.silhouette
    if len(edge) == 0:
        return None
    row, column = edge[generator.integers(len(edge))]
    return int(row), int(column)


def pixels(scene: Scene, generator: np.random.Generator, shares: Range) -> float:
    """A length in pixels between two shares of the part's size; no less than a pixel and a half."""
    return max(float(generator.uniform(*shares)) * scene.size, 1.5)


def drawn_metres(scene: Scene, generator: np.random.Generator, millimetres: Range) -> float:
    """A length in metres between two in millimetres on a part of the reference size; small ones are as likely."""
    low, high = np.log(millimetres[0]), np.log(millimetres[1])
    return scene.metres(float(np.exp(generator.uniform(low, high))))


def drawn_colour(generator: np.random.Generator, saturation: float) -> Field:
    """A colour (3,) as factors of light: any hue, from nearly black to nearly white."""
    value = float(generator.uniform(0.15, 1.2))
    return np.array(colorsys.hsv_to_rgb(float(generator.random()), saturation, 1.0), np.float32) * np.float32(value)


def exposure(scene: Scene) -> float:
    """How bright (of 255) something light is on this part."""
    if scene.sample.rgb is None:
        return 128.0
    return float(np.clip(np.percentile(scene.sample.rgb.max(axis=2)[scene.part], 75) * 1.15, 40.0, 235.0))
