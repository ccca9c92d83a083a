"""One sample: a part in a pose under lights before a dark cloth, seen by the sensor, with or without a defect."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lsfa_cli.datasets.synthetic.camera import Camera, Frame, background_frame, part_frame, plane_depth
from lsfa_cli.datasets.synthetic.categories import Category
from lsfa_cli.datasets.synthetic.defects import Defect, Kind, altered_distance, altered_material, place_at
from lsfa_cli.datasets.synthetic.noise import field, stream
from lsfa_cli.datasets.synthetic.parts.base import Material, Part
from lsfa_cli.datasets.synthetic.sensor import DepthSignal, expose, measure_depth
from lsfa_cli.datasets.synthetic.shading import Lighting, reflect, sample_lighting
from lsfa_cli.datasets.synthetic.tracing import (
    Surface,
    box_interval,
    length,
    normals,
    openness,
    trace,
    unit,
    visibility,
)

Array = NDArray[np.floating]
BoolArray = NDArray[np.bool_]
IndexArray = NDArray[np.int64]

VISIBLE_CHANGE = 0.035
"""A pixel belongs to a colour defect when its albedo changes by more than this share of the part's mean albedo."""
DEPTH_CHANGE_MM = 0.10
"""A pixel belongs to a shape defect when its depth changes by more than this."""
MASK_SHARE = (0.0004, 0.010)
"""Smallest and largest share of the image that a defect may cover."""
LOWEST_SITE_MM = 7.0
"""Defects sit higher than this above the background plane: lower points are removed with the background."""
PLACES_TRIED = 40


class Surfaces(NamedTuple):
    """What the rays meet, for the n pixels that see the part.

    pixels: (n,) flat indices. depth: (n,) mm. points, normal: (n, 3), part frame. colour_points: (n, 3), where the
    sound part's surface is, from which the texture is taken.
    """

    pixels: IndexArray
    depth: Array
    points: Array
    normal: Array
    colour_points: Array


@dataclass(frozen=True)
class Rendering:
    """A finished sample and the layers it came from.

    rgb: (S, S, 3) uint8. xyz: (S, S, 3) float32, metres, 0 where missing. mask: (S, S). albedo: (S, S, 3), true
    colour. depth: (S, S) mm, true depth.
    """

    rgb: NDArray[np.uint8]
    xyz: Array
    mask: BoolArray
    albedo: Array
    depth: Array


@dataclass(frozen=True)
class View:
    """Everything of a sample except its defect: camera, plane, the part and its frame, lights."""

    camera: Camera
    plane: Frame
    frame: Frame
    part: Part
    lighting: Lighting
    rays: Array

    @property
    def eye(self) -> Array:
        """The camera's position (3,) in the part's frame."""
        return self.frame.points_to(np.zeros(3, dtype=np.float32)).astype(np.float32)

    def local_rays(self) -> Array:
        """Viewing rays (S * S, 3) in the part's frame."""
        return self.frame.directions_to(self.rays.reshape(-1, 3))


def severity_of(index: int) -> float:
    """Severity of defective sample `index`: the golden-ratio sequence covers [0, 1] evenly, however long it is."""
    return float((0.8 + 0.6180339887 * index) % 1.0)


def render(category: Category, seed: int, split: str, index: int, size: int, kind: Kind | None = None) -> Rendering:
    """Sample `index` of `split` ("train", "test/hole") of a category, `size` pixels wide, with a defect of `kind`.

    The same call with `kind=None` gives the sound twin: same part, pose, light and noise.
    """
    name = f"{category.name}/{split}/{index}"
    view = _view(category, seed, name, size)
    sound = _see(view, view.part.distance, None, None)
    defect, seen, mask = None, sound, np.zeros((size, size), dtype=bool)
    if kind is not None:
        defect, seen, mask = _damage(view, sound, kind, stream(seed, f"{name}/defect"), severity_of(index))
    return _measure(category, view, seen, defect, mask, seed, name)


def _view(category: Category, seed: int, name: str, size: int) -> View:
    rng = stream(seed, f"{name}/pose")
    camera = Camera(size)
    tilt_x, tilt_y = np.deg2rad(category.tilt_degrees) + rng.normal(0.0, np.deg2rad(0.4), 2)
    plane = background_frame(float(tilt_x), float(tilt_y), 655.0 + float(rng.normal(0.0, 0.6)))
    turn = np.deg2rad(category.turn_degrees[0] + category.turn_degrees[1] * rng.uniform(-1.0, 1.0))
    lean = np.deg2rad(rng.normal(0.0, category.lean_degrees, 2))
    shift = rng.uniform(-1.0, 1.0, 2) * category.shift_mm
    frame = part_frame(plane, (float(shift[0]), float(shift[1])), float(turn), (float(lean[0]), float(lean[1])))
    part = category.make(stream(seed, f"{name}/part"))
    lighting = sample_lighting(stream(seed, f"{name}/light"), category.exposure)
    return View(camera, plane, frame, part, lighting, camera.rays())


def _see(view: View, surface: Surface, rays: IndexArray | None, defect: Defect | None) -> Surfaces:
    """Trace the given rays (all by default) to `surface` with the part's relief on it."""
    directions = view.local_rays() if rays is None else view.local_rays()[rays]
    low, high = view.part.box
    if defect is not None:
        low, high = np.minimum(low, defect.centre - defect.radius), np.maximum(high, defect.centre + defect.radius)
    eye = view.eye
    enter, leave = box_interval(eye, directions, low, high)
    depth = trace(surface, np.broadcast_to(eye, directions.shape), directions, enter, leave)
    # What lies below the background plane is not seen.
    ground = plane_depth(view.plane, view.rays).reshape(-1)
    depth = np.where(depth < (ground if rays is None else ground[rays]), depth, np.inf)
    hit = np.nonzero(np.isfinite(depth))[0]
    depth, directions = depth[hit], directions[hit]
    points = eye + directions * depth[:, None]
    normal = normals(lambda p: surface(p) - view.part.relief(p), points)
    towards = -unit(directions)
    facing = np.clip(np.einsum("ij,ij->i", normal, towards), 0.35, 1.0)
    raised = view.part.relief(points) / facing
    depth = depth - raised / length(directions)
    pixels = hit if rays is None else rays[hit]
    return Surfaces(pixels, depth.astype(np.float32), points + towards * raised[:, None], normal, points)


def _damage(
    view: View, sound: Surfaces, kind: Kind, rng: np.random.Generator, severity: float
) -> tuple[Defect, Surfaces, BoolArray]:
    """Choose a place where the defect is seen, and look at the part again."""
    candidates = _sites(view, sound, kind.site)
    size = view.camera.size
    best: tuple[Defect, Surfaces, BoolArray] | None = None
    for _ in range(PLACES_TRIED):
        chosen = int(candidates[int(rng.integers(len(candidates)))])
        place = place_at(rng, sound.points[chosen], sound.normal[chosen])
        defect = kind.make(rng, severity, place, view.part)
        seen = _see_defect(view, sound, defect)
        mask = _changed(view, sound, seen, defect)
        share = float(mask.mean())
        if MASK_SHARE[0] <= share <= MASK_SHARE[1]:
            return defect, seen, mask
        if best is None or share > float(best[2].mean()):
            best = (defect, seen, mask)
    assert best is not None
    if not best[2].any():
        raise ValueError(f"no visible place for this defect at {size} x {size} pixels")
    return best


def _sites(view: View, sound: Surfaces, site: str) -> IndexArray:
    """Which of the seen points may carry a defect: well in view, lit, away from outlines, high enough."""
    size = view.camera.size
    towards = unit(view.eye - sound.points)
    key = view.frame.points_to(view.lighting.key_position)
    facing = np.einsum("ij,ij->i", sound.normal, towards)
    lit = np.einsum("ij,ij->i", sound.normal, unit(key - sound.points))
    good = (facing > 0.55) & (lit > 0.35) & (sound.points[:, 2] > LOWEST_SITE_MM) & view.part.site(site, sound.points)
    for strict in (5, 3, 1, 0):  # 0 takes what is thinner than the narrowest margin, such as the strokes of a letter
        image = np.zeros(size * size, dtype=bool)
        image[sound.pixels[good]] = True
        width = max(1, round(strict * size / 200)) | 1
        inner = ndimage.minimum_filter(image.reshape(size, size), width).reshape(-1)
        chosen = np.nonzero(good & inner[sound.pixels])[0]
        if chosen.size:
            return chosen
    raise ValueError(f"no point of the part is fit for a defect at site '{site}'")


def _see_defect(view: View, sound: Surfaces, defect: Defect) -> Surfaces:
    """The surfaces with the defect: only rays that pass near it are traced again."""
    if defect.shape is None:
        return sound
    eye, directions = view.eye, unit(view.local_rays())
    offset = defect.centre - eye
    along = directions @ offset
    apart = length(offset - directions * along[:, None])
    near = np.nonzero(apart < defect.radius)[0]
    again = _see(view, altered_distance(view.part, defect), near, defect)
    kept = ~np.isin(sound.pixels, near)
    joined = [np.concatenate([old[kept], new]) for old, new in zip(sound, again, strict=True)]
    order = np.argsort(joined[0], kind="stable")
    joined = [values[order] for values in joined]
    if defect.paint is None:
        joined[4] = _stuck_texture(sound, joined[0], joined[4])
    return Surfaces(*joined)


def _stuck_texture(sound: Surfaces, pixels: IndexArray, points: Array) -> Array:
    """Where to take the texture from when only the shape changed: the same place of the sound part, pixel by pixel."""
    where = np.searchsorted(sound.pixels, pixels)
    where = np.minimum(where, len(sound.pixels) - 1)
    same = sound.pixels[where] == pixels
    return np.where(same[:, None], sound.colour_points[where], points)


def _changed(view: View, sound: Surfaces, seen: Surfaces, defect: Defect) -> BoolArray:
    """The defect's mask: pixels whose true depth or true colour differs from the sound twin's."""
    size = view.camera.size
    if defect.shape is not None:
        ground = plane_depth(view.plane, view.rays).reshape(-1)
        before, after = ground.copy(), ground.copy()
        before[sound.pixels], after[seen.pixels] = sound.depth, seen.depth
        changed = np.abs(after - before) > DEPTH_CHANGE_MM
    else:
        changed = np.zeros(size * size, dtype=bool)
    if defect.paint is not None:
        plain = view.part.material(seen.colour_points).albedo
        painted = altered_material(view.part, defect, seen.colour_points).albedo
        changed[seen.pixels] |= np.abs(painted - plain).max(axis=-1) > VISIBLE_CHANGE * float(plain.mean())
    return changed.reshape(size, size)


def _measure(
    category: Category, view: View, seen: Surfaces, defect: Defect | None, mask: BoolArray, seed: int, name: str
) -> Rendering:
    """Light the scene, then take the picture and the cloud."""
    size = view.camera.size
    surface = altered_distance(view.part, defect)
    key = view.frame.points_to(view.lighting.key_position)
    low, high = view.part.box
    margin = np.float32(1.5)

    cloth_rng = stream(seed, f"{name}/cloth")
    ground, cloth_normal, cloth = _cloth(view, cloth_rng)
    lit_map, open_map = _ground_light(view, surface, key, ground)
    light, _ = reflect(
        (view.rays * ground[..., None]).reshape(-1, 3), cloth_normal, cloth, view.lighting, lit_map, open_map
    )

    material = altered_material(view.part, defect, seen.colour_points)
    away = seen.points + seen.normal * np.float32(0.3)
    lit = visibility(surface, away, key, low - margin, high + margin)
    opened = openness(surface, seen.points, seen.normal)
    to_camera = view.frame.axes.T.astype(np.float32)
    points, normal = view.rays.reshape(-1, 3)[seen.pixels] * seen.depth[:, None], seen.normal @ to_camera
    part_light, glare = reflect(points, normal, material, view.lighting, lit, opened)

    depth = ground.reshape(-1).copy()
    facing = np.abs(cloth_normal @ np.array([0.0, 0.0, 1.0], dtype=np.float32))
    albedo, shine, part = cloth.albedo.copy(), np.zeros(size * size, np.float32), np.zeros(size * size, dtype=bool)
    light[seen.pixels], depth[seen.pixels], albedo[seen.pixels] = part_light, seen.depth, material.albedo
    facing[seen.pixels] = np.clip(-np.einsum("ij,ij->i", normal, unit(points)), 0.0, 1.0)
    lit_map[seen.pixels], shine[seen.pixels], part[seen.pixels] = lit, glare, True

    square = (size, size)
    signal = DepthSignal(
        depth.reshape(square),
        facing.reshape(square),
        lit_map.reshape(square),
        shine.reshape(square),
        part.reshape(square),
    )
    measured = measure_depth(stream(seed, f"{name}/depth"), signal, category.background_loss)
    xyz = (view.rays.astype(np.float64) * measured[..., None] * 1e-3).astype(np.float32)
    rgb = expose(stream(seed, f"{name}/image"), light.reshape(size, size, 3))
    return Rendering(rgb, xyz, mask, albedo.reshape(size, size, 3), depth.reshape(square))


def _cloth(view: View, rng: np.random.Generator) -> tuple[Array, Array, Material]:
    """The background: depth (S, S) of a dark twill with soft waves, its normals (S * S, 3) and material."""
    size = view.camera.size
    flat = plane_depth(view.plane, view.rays)
    waves = 0.28 * field(rng, size, 5) + 0.22 * field(rng, size, 14) + 0.10 * field(rng, size, 40)
    # A wave is half a millimetre over centimetres: it matters for depth and hardly for light.
    ground = flat - waves
    local = view.plane.points_to(view.rays * flat[..., None])
    thread = np.sin((local[..., 0] + 0.8 * local[..., 1]) * np.float32(2 * np.pi / 0.85))
    weave = 0.16 * thread + 0.10 * rng.standard_normal((size, size)) + 0.07 * field(rng, size, 60)
    lint = rng.random((size, size)) < 0.0006 * (400 / size) ** 2 * 0.5
    level = np.clip(1.0 + weave, 0.3, 2.0) + 2.2 * lint
    tint = np.array([0.0235, 0.0275, 0.0335], dtype=np.float32)
    albedo = (level.reshape(-1, 1) * tint).astype(np.float32)
    normal = np.broadcast_to(view.plane.axes[:, 2].astype(np.float32), (size * size, 3))
    gloss = np.full(size * size, 0.002, dtype=np.float32)
    return ground.astype(np.float32), normal, Material(albedo, gloss, shininess=4.0, softness=0.1)


def _ground_light(view: View, surface: Surface, key: Array, ground: Array) -> tuple[Array, Array]:
    """Shadow of the part and its darkness around it on the background: two (S * S,) in [0, 1].

    Both are soft, so every other pixel is enough from 400 pixels on.
    """
    size = view.camera.size
    stride = max(1, size // 200)
    sampled = (view.rays * ground[..., None])[::stride, ::stride]
    points = view.frame.points_to(sampled.reshape(-1, 3))
    low, high = view.part.box
    lit = np.ones(len(points), dtype=np.float32)
    enter, leave = box_interval(points, unit(key - points), low, high)
    shaded = np.nonzero(np.maximum(enter, 0.0) < leave)[0]
    lit[shaded] = visibility(surface, points[shaded], key, low, high)
    opened = np.ones(len(points), dtype=np.float32)
    reach = np.float32(9.0)
    close = np.nonzero(np.all((points > low - reach) & (points < high + reach), axis=-1))[0]
    opened[close] = 0.35 + 0.65 * np.clip(surface(points[close]) / reach, 0.0, 1.0)
    return _spread(lit, size, stride), _spread(opened, size, stride)


def _spread(values: Array, size: int, stride: int) -> Array:
    """Values at every `stride`-th row and column, interpolated to all pixels (size * size,)."""
    if stride == 1:
        return values
    coarse = values.reshape(-(-size // stride), -1)
    position = np.minimum(np.arange(size) / stride, coarse.shape[0] - 1.0)
    low = np.minimum(position.astype(np.int64), coarse.shape[0] - 2)
    share = (position - low).astype(np.float32)
    rows = coarse[low] + (coarse[low + 1] - coarse[low]) * share[:, None]
    full: Array = rows[:, low] + (rows[:, low + 1] - rows[:, low]) * share
    return full.reshape(-1)
