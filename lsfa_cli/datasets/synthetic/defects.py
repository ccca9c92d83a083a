"""Defects: local changes of a part's surface, of its colour, or of both, in the neighbourhood of one surface point.

A kind is a function of a random generator, a severity in [0, 1] (0 hardly visible, 1 clear), the place and the part.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, cast

import numpy as np

from lsfa_cli.datasets.synthetic.noise import SolidNoise, smoothstep
from lsfa_cli.datasets.synthetic.parts.base import Array, Material, Part, smooth_union

Visible = Literal["rgb", "xyz", "both"]


class Place(NamedTuple):
    """A point of the surface and two tangents and the outward normal there, all (3,), part frame, millimetres."""

    point: Array
    first: Array
    second: Array
    normal: Array

    def local(self, points: Array) -> tuple[Array, Array, Array]:
        """Coordinates (n,) of points (n, 3) along both tangents and the normal."""
        offset = points - self.point
        return offset @ self.first, offset @ self.second, offset @ self.normal


@dataclass(frozen=True)
class Defect:
    """A change within `radius` mm of `centre`.

    shape: (points, distance to the sound part) -> distance to the defective part; None leaves the surface alone.
    paint: (points, material of the sound part) -> material; None leaves the colour alone.
    """

    centre: Array
    radius: float
    shape: Callable[[Array, Array], Array] | None = None
    paint: Callable[[Array, Material], Material] | None = None


class Maker(Protocol):
    """Makes one defect of a kind."""

    def __call__(self, rng: np.random.Generator, severity: float, place: Place, part: Part) -> Defect:
        """The defect of this `severity` at this `place`."""
        ...


@dataclass(frozen=True)
class Kind:
    """A kind of defect of a category: how it is made, where on the part, and in which modality it shows."""

    make: Maker
    visible: Visible
    site: str = "body"


def place_at(rng: np.random.Generator, point: Array, normal: Array) -> Place:
    """A place with tangents turned at random."""
    helper = np.eye(3, dtype=np.float32)[int(np.argmin(np.abs(normal)))]
    first = np.cross(normal, helper)
    first /= np.linalg.norm(first)
    second = np.cross(normal, first)
    angle = rng.uniform(0.0, 2 * np.pi)
    turned = np.cos(angle) * first + np.sin(angle) * second
    return Place(point, turned.astype(np.float32), np.cross(normal, turned).astype(np.float32), normal)


def _between(low: float, high: float, severity: float) -> float:
    return low + (high - low) * severity


def _blob(rng: np.random.Generator, place: Place, radius: float, ragged: float) -> Callable[[Array], Array]:
    """Relative distance (n,) from the middle of an irregular blob: 1 on its outline."""
    noise = SolidNoise(rng)
    stretch = float(rng.uniform(0.75, 1.3))

    def relative(points: Array) -> Array:
        along, across, up = place.local(points)
        distance = np.sqrt((along / stretch) ** 2 + (across * stretch) ** 2 + up**2) / np.float32(radius)
        rough: Array = distance + np.float32(ragged) * noise.octaves(points, 0.9 * radius, 3)
        return rough

    return relative


def dent(rng: np.random.Generator, severity: float, place: Place, part: Part) -> Defect:
    """A smooth depression: 0.6 to 2 mm deep, 3 to 5 mm in radius."""
    return _swelling(rng, severity, place, 1.0)


def bump(rng: np.random.Generator, severity: float, place: Place, part: Part) -> Defect:
    """A blister under an unbroken skin: as large as a dent, outwards."""
    return _swelling(rng, severity, place, -1.0)


def _swelling(rng: np.random.Generator, severity: float, place: Place, sign: float) -> Defect:
    radius = _between(3.2, 4.8, severity) * float(rng.uniform(0.9, 1.1))
    height = sign * _between(0.6, 2.0, severity)
    relative = _blob(rng, place, radius, 0.25)

    def shape(points: Array, distance: Array) -> Array:
        return distance + np.float32(height) * smoothstep(1.0, 0.1, relative(points))

    return Defect(place.point, 1.5 * radius + abs(height), shape=shape)


def hole(rng: np.random.Generator, severity: float, place: Place, part: Part) -> Defect:
    """A pit bored or broken into the surface: 1.2 to 2.2 mm in radius, 1.8 to 5 mm deep, with a ragged rim."""
    radius = _between(1.2, 2.2, severity)
    depth = _between(1.8, 5.0, severity)
    noise = SolidNoise(rng)

    def shape(points: Array, distance: Array) -> Array:
        along, across, up = place.local(points)
        below = up + np.clip(-up, -0.8, depth)
        pit = np.sqrt(along**2 + across**2 + below**2) - np.float32(radius)
        pit += np.float32(0.45) * noise(points, 0.8) + np.float32(0.15) * noise(points, 0.3)
        return np.maximum(distance, -pit)

    def paint(points: Array, material: Material) -> Material:
        rough = 0.78 + 0.25 * noise.octaves(points, 0.9, 3)
        inside = smoothstep(-0.1, -0.4, part.distance(points))
        factor = 1.0 + inside * (rough - 1.0)
        return material._replace(
            albedo=(material.albedo * factor[:, None]).astype(np.float32), gloss=material.gloss * (1.0 - 0.8 * inside)
        )

    return Defect(place.point, radius + depth + 1.0, shape=shape, paint=paint)


def cut(rng: np.random.Generator, severity: float, place: Place, part: Part) -> Defect:
    """A cut of a knife: 4 to 8 mm long, 0.5 to 0.9 mm wide, 0.8 to 2.4 mm deep, one lip raised."""
    half_length = _between(2.2, 4.2, severity)
    half_width = _between(0.28, 0.48, severity)
    depth = _between(0.8, 2.4, severity)
    curve = float(rng.uniform(-0.04, 0.04))
    noise = SolidNoise(rng)

    def slot(points: Array) -> tuple[Array, Array]:
        along, across, up = place.local(points)
        middle = across - np.float32(curve) * along**2 + np.float32(0.3) * noise(points, 1.5)
        fade = np.sqrt(np.clip(1.0 - (along / np.float32(half_length)) ** 2, 0.0, 1.0))
        wedge = np.abs(middle) - half_width * fade * np.clip(1.0 + up / np.float32(depth + 0.4), 0.0, 1.2)
        inside = np.maximum(np.maximum(wedge, -(up + depth * fade)), np.abs(along) - np.float32(half_length))
        return inside.astype(np.float32), middle

    def shape(points: Array, distance: Array) -> Array:
        inside, middle = slot(points)
        along = place.local(points)[0]
        lip = smoothstep(1.1, 0.4, np.abs(middle - np.float32(0.5))) * smoothstep(1.0, 0.6, np.abs(along) / half_length)
        return np.maximum(distance - np.float32(0.22 * severity + 0.08) * lip, -inside)

    def paint(points: Array, material: Material) -> Material:
        fresh = smoothstep(0.15, -0.1, slot(points)[0] - 0.1)
        factor = 1.0 - np.float32(0.22) * fresh
        return material._replace(albedo=material.albedo * factor[:, None], gloss=material.gloss * (1.0 - 0.7 * fresh))

    return Defect(place.point, half_length + depth + 0.8, shape=shape, paint=paint)


class Wearing(Protocol):
    """A part whose fine functional shape (thread crests, ribs) can be lost."""

    def worn(self, points: Array) -> Array:
        """Distance (n,) to the part without that shape."""
        ...


def wear(rng: np.random.Generator, severity: float, place: Place, part: Part) -> Defect:
    """The part's fine shape (thread crests, ribs) is missing over 5 to 9 mm, with a dull torn surface."""
    if not hasattr(part, "worn"):
        raise ValueError(f"a {type(part).__name__} has no thread or rib that could be missing")
    wearing = cast(Wearing, part)
    radius = _between(2.8, 4.6, severity)
    relative = _blob(rng, place, radius, 0.5)
    noise = SolidNoise(rng)
    share = _between(0.7, 1.0, severity)

    def shape(points: Array, distance: Array) -> Array:
        weight = np.float32(share) * smoothstep(1.05, 0.75, relative(points))
        torn = wearing.worn(points) + np.float32(0.12) * noise(points, 0.8)
        return distance + weight * np.maximum(torn - distance, 0.0)

    def paint(points: Array, material: Material) -> Material:
        weight = smoothstep(1.05, 0.75, relative(points))
        factor = 1.0 + weight * (np.float32(0.08) * noise.octaves(points, 1.0, 3) - np.float32(0.05 * severity))
        return material._replace(albedo=material.albedo * factor[:, None], gloss=material.gloss * (1.0 - 0.6 * weight))

    return Defect(place.point, 1.6 * radius, shape=shape, paint=paint)


def contamination(rng: np.random.Generator, severity: float, place: Place, part: Part) -> Defect:
    """Foreign matter stuck to the surface: a lump 3 to 5 mm across, of a colour of its own."""
    radius = _between(1.4, 2.7, severity)
    relative = _blob(rng, place, radius, 0.5)
    noise = SolidNoise(rng)
    own = np.array([[0.30, 0.27, 0.22], [0.13, 0.22, 0.36], [0.42, 0.33, 0.18], [0.36, 0.36, 0.37]], np.float32)
    colour = own[int(rng.integers(len(own)))] * np.float32(rng.uniform(0.8, 1.2))
    strength = np.float32(_between(0.55, 1.0, severity))

    def lump(points: Array) -> Array:
        flat = place.local(points)[2] * np.float32(0.6)
        solid: Array = (relative(points + flat[:, None] * place.normal) - 1.0) * np.float32(0.7 * radius)
        return solid

    def shape(points: Array, distance: Array) -> Array:
        return smooth_union(distance, lump(points), 0.4)

    def paint(points: Array, material: Material) -> Material:
        weight = strength * smoothstep(0.18, -0.02, lump(points))
        mottled = colour * (1.0 + 0.4 * noise.octaves(points, 0.9, 3))[:, None]
        albedo = material.albedo + (mottled - material.albedo) * weight[:, None]
        return material._replace(albedo=np.clip(albedo, 0.01, 1.0).astype(np.float32))

    return Defect(place.point, 2.0 * radius, shape=shape, paint=paint)


def _tint(place: Place, radius: float, weight: Callable[[Array], Array], factor: Array) -> Defect:
    """A defect of colour alone: albedo times `factor` (3,) to the degree of `weight`."""

    def paint(points: Array, material: Material) -> Material:
        change = 1.0 + weight(points)[:, None] * (factor - 1.0)
        return material._replace(albedo=np.clip(material.albedo * change, 0.0, 0.95).astype(np.float32))

    return Defect(place.point, radius, paint=paint)


def stain(rng: np.random.Generator, severity: float, place: Place, part: Part) -> Defect:
    """Dried oil or dirt: darker by 20 to 65 %, 2.4 to 4 mm in radius, ragged, strongest at its rim."""
    radius = _between(2.4, 4.0, severity)
    relative = _blob(rng, place, radius, 0.55)
    grain = SolidNoise(rng)
    factor = 1.0 - np.array([0.9, 1.0, 1.1]) * _between(0.20, 0.65, severity)

    def weight(points: Array) -> Array:
        edge = relative(points)
        rim = 0.7 + 0.3 * smoothstep(0.35, 0.9, edge)
        cover: Array = np.clip(rim + 0.35 * grain.octaves(points, 1.2, 3), 0.0, 1.2)
        return smoothstep(1.05, 0.85, edge) * cover

    return _tint(place, 1.8 * radius, weight, factor.astype(np.float32))


def scratch(rng: np.random.Generator, severity: float, place: Place, part: Part) -> Defect:
    """A hairline scratch: 7 to 12 mm long, 0.5 to 0.8 mm wide, 15 to 80 % brighter or darker, broken in places."""
    half_length = _between(3.5, 6.0, severity)
    half_width = _between(0.24, 0.4, severity)
    curve = float(rng.uniform(-0.05, 0.05))
    noise = SolidNoise(rng)
    factor = np.full(3, 1.0 + float(rng.choice([-0.75, 1.0])) * _between(0.22, 0.8, severity), dtype=np.float32)

    def weight(points: Array) -> Array:
        along, across, _ = place.local(points)
        middle = np.abs(across - np.float32(curve) * along**2 + np.float32(0.35) * noise(points, 2.5))
        ends = smoothstep(1.0, 0.75, np.abs(along) / np.float32(half_length))
        broken = smoothstep(-0.45, -0.2, noise(points, 0.9))
        return smoothstep(half_width + 0.12, half_width - 0.12, middle) * ends * broken

    return _tint(place, half_length + 0.5, weight, factor)


class Printed(Protocol):
    """A part with print on it."""

    def plain_material(self, points: Array) -> Material:
        """The material without print."""
        ...


def smeared_print(rng: np.random.Generator, severity: float, place: Place, part: Part) -> Defect:
    """Print wiped before it was dry: over 5 to 9 mm half of the ink or all of it is gone, spread as a pale haze."""
    if not hasattr(part, "plain_material"):
        raise ValueError(f"a {type(part).__name__} has no print that could be smeared")
    printed = cast(Printed, part)
    radius = _between(2.6, 4.6, severity)
    relative = _blob(rng, place, radius, 0.5)
    streaks = SolidNoise(rng)
    share = np.float32(_between(0.5, 1.0, severity))
    spread = np.float32(_between(0.10, 0.32, severity))

    def paint(points: Array, material: Material) -> Material:
        weight = share * smoothstep(1.1, 0.8, relative(points))
        plain = printed.plain_material(points).albedo
        along, across, up = place.local(points)
        streak = streaks(np.stack([along, across, up], axis=-1), (4.0, 0.6, 4.0))
        haze = spread * np.clip(0.7 + 0.9 * streak, 0.0, 1.0)
        wiped = plain + (np.float32(0.5) - plain) * haze[:, None]
        return material._replace(albedo=material.albedo + (wiped - material.albedo) * weight[:, None])

    return Defect(place.point, 1.8 * radius, paint=paint)


def altered_distance(part: Part, defect: Defect | None) -> Callable[[Array], Array]:
    """The surface of `part` with `defect`, which is evaluated only near its centre."""
    if defect is None or defect.shape is None:
        return part.distance
    shape, centre, radius = defect.shape, defect.centre, np.float32(defect.radius)

    def distance(points: Array) -> Array:
        result = part.distance(points)
        offset = points - centre
        near = np.nonzero(np.einsum("ij,ij->i", offset, offset) < radius * radius)[0]
        if near.size:
            result[near] = shape(points[near], result[near])
        return result

    return distance


def altered_material(part: Part, defect: Defect | None, points: Array) -> Material:
    """The material of `part` with `defect` at `points`; the paint, too, reaches no farther than the defect's radius."""
    sound = part.material(points)
    if defect is None or defect.paint is None:
        return sound
    offset = points - defect.centre
    near = np.nonzero(np.einsum("ij,ij->i", offset, offset) < np.float32(defect.radius) ** 2)[0]
    painted = defect.paint(points[near], sound._replace(albedo=sound.albedo[near], gloss=sound.gloss[near]))
    sound.albedo[near], sound.gloss[near] = painted.albedo, painted.gloss
    return sound
