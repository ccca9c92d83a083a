"""A thick baked biscuit with chocolate pieces: an irregular dome with crumb, cracks and toasting."""

import numpy as np
from scipy import ndimage

from lsfa_cli.datasets.synthetic.noise import SolidNoise, field, smoothstep
from lsfa_cli.datasets.synthetic.parts.base import Array, BoolArray, Material

GRID = 256
"""Side of the height map in samples."""
GRID_MM = 0.2
"""Spacing of the height map."""


class Biscuit:
    """One biscuit. Its top is a height map: a dome, lumps, chocolate pieces and cracks."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._noise = SolidNoise(rng)
        self._radius = float(rng.normal(19.0, 0.5))
        self._height = float(rng.normal(13.0, 0.5))
        self._lobes = rng.normal(0.0, [0.022, 0.016, 0.012, 0.008])
        self._phases = rng.uniform(0.0, 2 * np.pi, 4)
        self._pieces = self._scatter_pieces(rng)
        lumps = 0.34 * field(rng, GRID, 9) + 0.22 * field(rng, GRID, 22) + 0.10 * field(rng, GRID, 50)
        self._cracks = smoothstep(0.16, 0.02, np.abs(field(rng, GRID, 6))) * smoothstep(-0.3, 0.6, field(rng, GRID, 5))
        rough = lumps * (1.0 - 0.6 * self._pieces) + 1.15 * self._pieces - 0.6 * self._cracks * (1.0 - self._pieces)
        self._map = ndimage.gaussian_filter(rough, 1.4).astype(np.float32)
        self._bake = float(rng.normal(0.0, 0.06))
        self._side = rng.uniform(0.0, 2 * np.pi)

    @staticmethod
    def _scatter_pieces(rng: np.random.Generator) -> Array:
        """Which share of each cell of the map is chocolate: rounded, angular spots, kept apart."""
        x, y = np.meshgrid(np.arange(GRID), np.arange(GRID))
        share = np.zeros((GRID, GRID))
        centres: list[tuple[float, float]] = []
        for _ in range(int(rng.integers(14, 21))):
            angle, away = rng.uniform(0, 2 * np.pi), 16.5 * np.sqrt(rng.uniform(0.0, 1.0))
            centre = (away * np.cos(angle), away * np.sin(angle))
            shape, turn, size = rng.uniform(0.7, 1.3), rng.uniform(0.0, np.pi), rng.uniform(1.1, 2.1)
            if any(np.hypot(centre[0] - a, centre[1] - b) < 3.6 for a, b in centres):
                continue
            centres.append(centre)
            dx = (x - GRID / 2) * GRID_MM - centre[0]
            dy = (y - GRID / 2) * GRID_MM - centre[1]
            along, across = dx * np.cos(turn) + dy * np.sin(turn), dy * np.cos(turn) - dx * np.sin(turn)
            spot = (np.abs(along / shape) ** 2.6 + np.abs(across * shape) ** 2.6) ** (1 / 2.6)
            share = np.maximum(share, np.clip((size - spot) / 0.4, 0.0, 1.0))
        return share.astype(np.float32)

    @property
    def box(self) -> tuple[Array, Array]:
        """The biscuit's box, lumps included."""
        half = np.float32(self._radius * 1.12)
        return np.array([-half, -half, -0.8], np.float32), np.array([half, half, self._height + 3.0], np.float32)

    def _sample(self, image: Array, points: Array) -> Array:
        """Bilinear look-up of a map at points (n, 3)."""
        u = np.clip(points[:, 0] / np.float32(GRID_MM) + GRID / 2, 0.0, GRID - 1.001)
        v = np.clip(points[:, 1] / np.float32(GRID_MM) + GRID / 2, 0.0, GRID - 1.001)
        i, j = v.astype(np.int32), u.astype(np.int32)
        fv, fu = v - i, u - j
        flat, start = image.reshape(-1), i * GRID + j
        top: Array = flat[start] + (flat[start + 1] - flat[start]) * fu
        low: Array = flat[start + GRID] + (flat[start + GRID + 1] - flat[start + GRID]) * fu
        result: Array = top + (low - top) * fv
        return result

    def _relative_radius(self, points: Array) -> Array:
        """Distance from the middle over the outline's radius in that direction."""
        angle = np.arctan2(points[:, 1], points[:, 0])
        outline = np.full(len(points), self._radius, dtype=np.float32)
        for order, (lobe, phase) in enumerate(zip(self._lobes, self._phases, strict=True), start=2):
            outline += np.float32(self._radius * lobe) * np.cos(order * angle + np.float32(phase))
        result: Array = np.hypot(points[:, 0], points[:, 1]) / outline
        return result

    def distance(self, points: Array) -> Array:
        """Signed distance (n,) mm: first-order distance to a flattened dome, less the height of lumps and pieces."""
        away = self._relative_radius(points)
        up = np.maximum(points[:, 2], 0.0) / np.float32(self._height)
        level = np.sqrt(away**4 + up**2) + np.float32(1e-4)
        slope = np.hypot(2.0 * away**3 / (level * np.float32(self._radius)), up / (level * np.float32(self._height)))
        dome = (level - 1.0) / np.maximum(slope, np.float32(0.02))
        bumps = self._sample(self._map, points) * smoothstep(1.15, 0.8, away)
        result: Array = np.float32(0.75) * (dome - bumps)
        return result

    def relief(self, points: Array) -> Array:
        """Crumb: pores and grains, finer on chocolate."""
        crumb = np.float32(0.22) * self._noise.octaves(points, 1.1, 3, 0.6)
        return crumb * (1.0 - np.float32(0.85) * self._sample(self._pieces, points))

    def material(self, points: Array) -> Material:
        """Toasted dough, browner at the rim and on lumps, paler in cracks; dark, slightly glossy chocolate."""
        away = self._relative_radius(points)
        piece = self._sample(self._pieces, points)
        crack = self._sample(self._cracks, points)
        lump = self._sample(self._map, points)
        angle = np.arctan2(points[:, 1], points[:, 0])
        toast = 0.42 + self._bake + 0.34 * smoothstep(0.62, 1.05, away) + 0.16 * lump - 0.30 * crack
        toast = (
            toast
            + 0.07 * np.cos(angle - np.float32(self._side)) * away
            + 0.17 * self._noise.octaves(points, 4.5, 4, 0.6)
        )
        toast = np.clip(toast, 0.0, 1.2).astype(np.float32)[:, None]
        pale, brown = np.array([0.62, 0.45, 0.25], np.float32), np.array([0.24, 0.115, 0.04], np.float32)
        dough = pale * np.power(brown / pale, toast)
        dough = dough * (1.0 + np.float32(0.16) * self._noise(points, 0.5)[:, None])
        mottle = 1.0 + np.float32(0.25) * self._noise.octaves(points, 1.5, 2)[:, None]
        chocolate = np.array([0.075, 0.040, 0.024], np.float32) * mottle
        albedo = dough + (chocolate - dough) * piece[:, None]
        gloss = 0.008 + 0.05 * piece
        return Material(albedo.astype(np.float32), gloss.astype(np.float32), shininess=16.0, softness=0.12)

    def site(self, name: str, points: Array) -> BoolArray:
        """`dough`: between the chocolate pieces; `body`: everywhere but the rim."""
        inner = self._relative_radius(points) < 0.86
        return np.asarray(inner & (self._sample(self._pieces, points) < 0.1) if name == "dough" else inner)
