"""A fluted beech dowel lying on its side, with grain, growth rings and the odd dark fleck."""

import numpy as np

from lsfa_cli.datasets.synthetic.camera import rotation
from lsfa_cli.datasets.synthetic.noise import SolidNoise, smoothstep
from lsfa_cli.datasets.synthetic.parts.base import Array, BoolArray, Material, chamfered, slab

RADIUS_MM = 7.2
HALF_LENGTH_MM = 28.0
FLUTES = 20
FLUTE_DEPTH_MM = 0.42


class Dowel:
    """One dowel. The axis is x; the wood's own frame is turned and shifted in it, so each shows another cut."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._noise = SolidNoise(rng)
        self._roll = float(rng.uniform(0.0, 2 * np.pi))
        self._half = HALF_LENGTH_MM + float(rng.normal(0.0, 0.35))
        self._radius = RADIUS_MM * (1.0 + float(rng.normal(0.0, 0.008)))
        self._sag = float(rng.normal(0.0, 0.15))
        grain = rotation(2, float(rng.normal(0.0, 0.05))) @ rotation(1, float(rng.normal(0.0, 0.05)))
        self._to_grain = (grain @ rotation(0, float(rng.uniform(0.0, 2 * np.pi)))).astype(np.float32)
        self._pith = np.array([0.0, rng.uniform(8.0, 40.0), rng.uniform(-6.0, 6.0)], dtype=np.float32)
        self._ring = float(rng.uniform(1.1, 2.2))
        self._contrast = float(rng.uniform(0.05, 0.16))
        tone = np.exp(rng.normal(0.0, 0.06))
        red = rng.normal(0.0, 0.012)
        self._colour = np.array([0.52 + red, 0.375, 0.235 - red], dtype=np.float32) * np.float32(tone)

    @property
    def box(self) -> tuple[Array, Array]:
        """The dowel's box."""
        low = np.array([-self._half - 0.5, -self._radius - 0.6, -0.8], np.float32)
        return low, np.array([self._half + 0.5, self._radius + 0.6, 2 * self._radius + 0.8], np.float32)

    def _polar(self, points: Array) -> tuple[Array, Array, Array]:
        x, y = points[:, 0], points[:, 1]
        z = points[:, 2] - np.float32(self._radius)
        bent = y - np.float32(self._sag) * (x / np.float32(self._half)) ** 2
        return x, np.hypot(bent, z), np.arctan2(z, bent)

    def distance(self, points: Array) -> Array:
        """Signed distance (n,) mm."""
        x, radius, angle = self._polar(points)
        turn = np.abs(
            np.mod(angle + np.float32(self._roll), np.float32(2 * np.pi / FLUTES)) - np.float32(np.pi / FLUTES)
        )
        groove = smoothstep(0.62, 0.1, turn * np.float32(self._radius))
        ends = smoothstep(self._half - 2.2, self._half - 3.6, np.abs(x))
        side = radius - np.float32(self._radius) + np.float32(FLUTE_DEPTH_MM) * groove * ends
        return chamfered(side, slab(x, 0.0, self._half), 1.3)

    def relief(self, points: Array) -> Array:
        """Raised grain and torn fibres."""
        wood = points @ self._to_grain
        fibre = self._noise(wood, (7.0, 0.45, 0.45))
        return np.float32(0.035) * fibre + np.float32(0.03) * self._noise(points, 1.8)

    def material(self, points: Array) -> Material:
        """Beech: rings, fibres, short dark rays, warm and matt."""
        wood = points @ self._to_grain
        offset = wood - self._pith
        away = np.hypot(offset[:, 1], offset[:, 2]) + np.float32(0.9) * self._noise(wood, (30.0, 6.0, 6.0))
        phase = np.mod(away / np.float32(self._ring), 1.0)
        ring = smoothstep(0.0, 0.75, phase) * smoothstep(1.0, 0.88, phase)
        fibre = self._noise(wood, (9.0, 0.5, 0.5)) + np.float32(0.6) * self._noise(wood, (5.0, 0.25, 0.25))
        flecks = smoothstep(0.36, 0.55, self._noise(wood + np.float32(31.0), (2.2, 0.42, 0.42)))
        cloud = self._noise.octaves(points, 12.0, 2)
        x, radius, _ = self._polar(points)
        end = smoothstep(self._half - 1.4, self._half - 0.7, np.abs(x)) * smoothstep(
            self._radius, self._radius - 1.2, radius
        )
        level = 1.0 - np.float32(self._contrast) * ring + np.float32(0.10) * fibre + np.float32(0.08) * cloud
        level = level * (1.0 - np.float32(0.22) * flecks) * (1.0 - np.float32(0.18) * end)
        # Darker wood is redder: the blue channel falls faster than the red.
        albedo = self._colour * np.power(
            np.clip(level, 0.3, 1.5)[:, None], np.array([0.9, 1.05, 1.25], dtype=np.float32)
        )
        gloss = np.full(len(points), 0.018, dtype=np.float32)
        return Material(albedo.astype(np.float32), gloss, shininess=9.0, softness=0.14)

    def site(self, name: str, points: Array) -> BoolArray:
        """`body`: the turned side, away from the ends."""
        return np.asarray(np.abs(points[:, 0]) < self._half - 4.0)
