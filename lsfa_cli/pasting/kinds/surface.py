"""Changes of the surface: bumps, dents, holes and scratches."""

import numpy as np

from lsfa_cli.pasting.draft import Draft, draft_of, lose_points, raise_surface, scale
from lsfa_cli.pasting.kinds.places import drawn_metres, on_part, pixels
from lsfa_cli.pasting.scene import Scene
from lsfa_cli.pasting.shapes import irregular_blob, smooth_noise, smoothstep, stroke

_STEEPEST = 0.45  # height of a swelling over its radius
_LIP_MM = (0.1, 0.5)  # of material thrown up around a hole


def bump(scene: Scene, generator: np.random.Generator) -> Draft:
    """A smooth swelling towards the camera, 0.8 to 5 mm high, 14 to 36 % of the part's size across."""
    return _swelling(scene, generator, 1.0)


def dent(scene: Scene, generator: np.random.Generator) -> Draft:
    """A smooth depression, 0.8 to 5 mm deep, 14 to 36 % of the part's size across."""
    return _swelling(scene, generator, -1.0)


def _swelling(scene: Scene, generator: np.random.Generator, sign: float) -> Draft:
    draft = draft_of(scene)
    radius = pixels(scene, generator, (0.07, 0.18))
    blob = irregular_blob(generator, on_part(scene, generator, 0.5 * radius), radius, scene.part.shape, 0.2, octaves=1)
    peak = min(drawn_metres(scene, generator, (0.8, 5.0)), _STEEPEST * radius * scene.pitch)
    # The foot of the profile, which nobody could see, is cut off: the mask is what shows.
    profile = np.maximum(smoothstep(0.0, float(generator.uniform(0.55, 0.9)), blob.level) - 0.05, 0.0) / 0.95
    raise_surface(scene, draft, blob.window, np.float32(sign * peak) * profile, generator)
    return draft


def hole(scene: Scene, generator: np.random.Generator) -> Draft:
    """A dark pit, 2 to 10 mm deep or too deep for the sensor, 6 to 13 % of the part's size across, often with a lip.

    No deeper than the part is wide there: how thick it is nobody sees.
    """
    draft = draft_of(scene)
    radius = pixels(scene, generator, (0.028, 0.065))
    at = on_part(scene, generator, 1.2 * radius)
    blob = irregular_blob(generator, at, radius, scene.part.shape, 0.16)
    thickness = 1.5 * float(scene.depth_inside[at]) * scene.pitch
    pit = min(drawn_metres(scene, generator, (2.0, 10.0)), thickness) * smoothstep(0.0, 0.5, blob.level)
    rim = drawn_metres(scene, generator, _LIP_MM) * float(generator.random() < 0.6)
    lip = rim * np.exp(-(((blob.level + 0.12) / 0.14) ** 2)) * (blob.level <= 0)
    lip[lip < 0.1 * scene.metres(_LIP_MM[0])] = 0
    raise_surface(scene, draft, blob.window, (lip - pit).astype(np.float32), generator)
    rough = smooth_noise(generator, (blob.level.shape[0], blob.level.shape[1]), 0.7 * radius, 2)
    dark = np.clip(float(generator.uniform(0.12, 0.5)) * (1 + 0.4 * rough), 0.05, 0.9)
    inside = (blob.level > 0) & scene.part[blob.window]
    scale(draft, blob.window, inside, 1 - smoothstep(0.0, 0.4, blob.level) * (1 - dark))
    if scene.gaps and scene.points is not None and generator.random() < 0.35:
        lose_points(draft, blob.window, (blob.level > 0.25) & scene.points[blob.window], generator)
    return draft


def scratch(scene: Scene, generator: np.random.Generator) -> Draft | None:
    """A groove along a random walk, bright or dark, broken in places, 0.3 to 3 mm deep and no deeper than wide."""
    draft = draft_of(scene)
    width = pixels(scene, generator, (0.01, 0.025)) + 0.5
    length = pixels(scene, generator, (0.25, 0.8))
    at = on_part(scene, generator, 2 * width)
    line = stroke(generator, scene.depth_inside > width / 2, at, length, width, float(generator.uniform(0.05, 0.4)))
    if line is None:
        return None
    shape = (line.level.shape[0], line.level.shape[1])
    broken = smoothstep(-1.9, -1.1, smooth_noise(generator, shape, 0.2 * length))
    profile = np.sqrt(np.clip(line.level, 0.0, 1.0)) * broken
    profile[profile < 0.1] = 0
    depth = min(drawn_metres(scene, generator, (0.3, 3.0)), width * scene.pitch)
    raise_surface(scene, draft, line.window, (-depth * profile).astype(np.float32), generator)
    change = float(generator.uniform(0.25, 0.6)) * (1.0 if generator.random() < 0.5 else -1.0)
    inside = (profile > 0) & scene.part[line.window]
    scale(draft, line.window, inside, 1 + np.float32(change) * profile)
    return draft
