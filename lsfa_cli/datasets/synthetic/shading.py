"""Light on surfaces: a key light beside the camera, a fill light, sky, highlights; linear reflected light."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lsfa_cli.datasets.synthetic.parts.base import Material
from lsfa_cli.datasets.synthetic.tracing import length, unit

Array = NDArray[np.floating]


@dataclass(frozen=True)
class Lighting:
    """Lights in the camera frame. Positions in millimetres; strengths are the exposure that a white, facing surface
    at the working distance gets. `colour` (3,) tints all of them.
    """

    key_position: Array
    key_strength: float
    fill_direction: Array
    fill_strength: float
    ambient: float
    colour: Array


def sample_lighting(rng: np.random.Generator, strength: float = 1.0) -> Lighting:
    """Lights of one picture: the rig stays where it is but for a few millimetres, lamps age and drift, rooms differ."""
    key = np.array([165.0, -60.0, 25.0]) + rng.normal(0.0, [6.0, 6.0, 4.0])
    fill = np.array([-0.55, -0.45, -0.7]) + rng.normal(0.0, 0.12, 3)
    tint = np.array([1.0, 0.985, 0.965]) * (1.0 + rng.normal(0.0, 0.008, 3))
    return Lighting(
        key_position=key.astype(np.float32),
        key_strength=strength * float(np.exp(rng.normal(0.0, 0.06))),
        fill_direction=unit(fill.astype(np.float32)),
        fill_strength=strength * float(rng.uniform(0.12, 0.18)),
        ambient=strength * float(rng.uniform(0.06, 0.08)),
        colour=tint.astype(np.float32),
    )


def reflect(
    points: Array, normal: Array, material: Material, lighting: Lighting, lit: Array, openness: Array
) -> tuple[Array, Array]:
    """Light that points send to the camera: colour (n, 3), and how much of it is highlight (n,).

    points, normal: (n, 3), camera frame. lit: (n,), share of the key light that arrives. openness: (n,).
    """
    to_key = lighting.key_position - points
    away = length(to_key)
    to_key /= away[:, None]
    falloff = (np.float32(650.0) / away) ** 2
    to_camera = -unit(points)
    soft = np.float32(material.softness)
    key = np.clip((np.einsum("ij,ij->i", normal, to_key) + soft) / (1.0 + soft), 0.0, None) * lit * falloff
    fill = np.clip((normal @ lighting.fill_direction + soft) / (1.0 + soft), 0.0, None) * openness
    facing = np.clip(np.einsum("ij,ij->i", normal, to_camera), 0.0, 1.0)
    sky = (0.45 + 0.55 * facing) * openness
    diffuse = lighting.key_strength * key + lighting.fill_strength * fill + lighting.ambient * sky
    highlight = lighting.key_strength * lit * falloff * _lobe(normal, unit(to_key + to_camera), material.shininess)
    highlight += (
        lighting.fill_strength * openness * _lobe(normal, unit(lighting.fill_direction + to_camera), material.shininess)
    )
    # Schlick's approximation: every surface mirrors more at grazing angles.
    highlight *= material.gloss * (1.0 + 4.0 * (1.0 - facing) ** 5)
    colour = (material.albedo * diffuse[:, None] + highlight[:, None]) * lighting.colour
    return colour.astype(np.float32), highlight.astype(np.float32)


def _lobe(normal: Array, half: Array, shininess: float) -> Array:
    """Blinn-Phong lobe with its energy kept: narrow lobes are brighter."""
    cosine = np.clip(np.einsum("ij,ij->i", normal, half), 0.0, 1.0)
    result: Array = np.float32((shininess + 8.0) / 25.0) * cosine ** np.float32(shininess)
    return result
