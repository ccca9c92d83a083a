"""Changes of what lies on the surface: stains, and foreign material."""

import numpy as np

from lsfa_cli.pasting.draft import Draft, draft_of, paint, raise_surface, scale
from lsfa_cli.pasting.kinds.places import drawn_colour, drawn_metres, exposure, on_part, pixels
from lsfa_cli.pasting.relief import normals, smoothed
from lsfa_cli.pasting.scene import Scene, shade
from lsfa_cli.pasting.shapes import Field, Shape, irregular_blob, smooth_noise, smoothstep, stroke

_FIBRES = 0.3  # share of foreign material that is a hair or a thread


def stain(scene: Scene, generator: np.random.Generator) -> Draft | None:
    """Oil, dirt, bleach or a tint in an irregular blob, 12 to 32 % of the part's size across; the image alone."""
    if scene.sample.rgb is None:
        return None
    draft = draft_of(scene)
    radius = pixels(scene, generator, (0.06, 0.16))
    blob = irregular_blob(generator, on_part(scene, generator, 0.3 * radius), radius, scene.part.shape, 0.35)
    shape = (blob.level.shape[0], blob.level.shape[1])
    inside = (blob.level > 0) & scene.part[blob.window]
    # Dried liquid is strongest at its rim; dirt comes in speckles.
    rim = 0.65 + 0.35 * smoothstep(0.4, 0.1, blob.level)
    grain = smooth_noise(generator, shape, float(generator.uniform(0.15, 0.8)) * radius, 3)
    cover = np.clip(rim + float(generator.uniform(0.1, 0.4)) * grain, 0.0, 1.0)
    weight = smoothstep(0.0, float(generator.uniform(0.08, 0.35)), blob.level) * cover
    strength = np.float32(generator.uniform(0.3, 0.8))
    old = scene.sample.rgb[blob.window].astype(np.float32)
    form = generator.integers(3)
    if form == 0:  # darker, a little brownish or bluish
        target = old * generator.uniform(0.25, 0.6, 3).mean() * generator.uniform(0.85, 1.15, 3)
    elif form == 1:  # a tint: the light that it lets through
        target = old * np.minimum(drawn_colour(generator, float(generator.uniform(0.2, 0.8))), 1.1)
    else:  # bleached, a haze of the part's own brightness
        target = old + 0.75 * (min(1.35 * exposure(scene), 245.0) - old)
    paint(draft, blob.window, inside, target.astype(np.float32), strength * weight)
    return draft


def foreign_material(scene: Scene, generator: np.random.Generator) -> Draft | None:
    """Opaque matter of any colour stuck to the part: a lump or a fibre, 0.5 to 4 mm proud, lit as the part is."""
    draft = draft_of(scene)
    shape = _fibre(scene, generator) if generator.random() < _FIBRES else _lump(scene, generator)
    if shape is None:
        return None
    level, window = shape.level, shape.window
    inside = (level > 0) & scene.part[window]
    size = (level.shape[0], level.shape[1])
    rough = smooth_noise(generator, size, 0.7 * shape.radius, 3)
    # Round at its edge, uneven on top.
    dome = np.sqrt(np.clip(level * (2 - level), 0.0, 1.0)) * np.clip(1 + 0.22 * rough, 0.4, 1.5)
    peak = min(drawn_metres(scene, generator, (0.5, 4.0)), 0.9 * shape.radius * scene.pitch)
    height = np.where(inside, np.minimum(peak * dome, scene.metres(4.0)), 0).astype(np.float32)
    contact = (level <= 0) & (level > -2.5 / max(shape.radius, 2.5)) & scene.part[window]
    if scene.sample.rgb is not None:
        scale(draft, window, contact, 1 - 0.35 * smoothstep(-2.5 / max(shape.radius, 2.5), 0.0, level))
        paint(draft, window, inside, _matter(scene, generator, shape, height, rough))
    raise_surface(scene, draft, window, height, generator, lit=False)
    return draft


def _lump(scene: Scene, generator: np.random.Generator) -> Shape:
    radius = pixels(scene, generator, (0.04, 0.12))
    at = on_part(scene, generator, 0.6 * radius)
    return irregular_blob(generator, at, radius, scene.part.shape, float(generator.uniform(0.1, 0.35)))


def _fibre(scene: Scene, generator: np.random.Generator) -> Shape | None:
    width = pixels(scene, generator, (0.012, 0.03)) + 1
    length = pixels(scene, generator, (0.25, 0.7))
    at = on_part(scene, generator, 2 * width)
    return stroke(generator, scene.depth_inside > width / 2, at, length, width, float(generator.uniform(0.3, 0.7)))


def _matter(scene: Scene, generator: np.random.Generator, shape: Shape, height: Field, rough: Field) -> Field:
    """The colours (h, w, 3) of foreign matter under the part's light, as sharp and as noisy as the image."""
    colour = exposure(scene) * drawn_colour(generator, float(generator.uniform(0.0, 0.8)))
    facing = normals(_base(scene, shape) - np.asarray(scene.axis, np.float32) * height[..., None], scene.axis)
    toned = colour * (1 + 0.12 * rough[..., None])
    lit = toned * (shade(facing, scene.light) / shade(-scene.axis, scene.light))[..., None]
    noise = generator.standard_normal(lit.shape).astype(np.float32) * np.float32(scene.grain)
    edge = smoothstep(0.0, 1.2 / max(shape.radius, 1.2), shape.level)[..., None]
    old = 0.0 if scene.sample.rgb is None else scene.sample.rgb[shape.window].astype(np.float32)
    return np.asarray(old + edge * (lit + noise - old), dtype=np.float32)


def _base(scene: Scene, shape: Shape) -> Field:
    """The smooth surface (h, w, 3) below foreign matter; a flat one without a scan."""
    if scene.sample.xyz is None or scene.points is None:
        rows, columns = np.mgrid[shape.window].astype(np.float32) * np.float32(scene.pitch)
        return np.stack([columns, rows, np.zeros_like(rows)], axis=-1)
    return smoothed(scene.sample.xyz[shape.window], scene.points[shape.window])
