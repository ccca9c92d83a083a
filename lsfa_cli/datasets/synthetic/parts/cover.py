"""A moulded cover with screw bosses, a ribbed pocket, vents and a printed serial number."""

import numpy as np
from scipy import ndimage

from lsfa_cli.datasets.synthetic.noise import SolidNoise, smoothstep
from lsfa_cli.datasets.synthetic.parts.base import (
    Array,
    BoolArray,
    Material,
    chamfered,
    intersection,
    rounded_rectangle,
    slab,
    smooth_union,
    union,
)

TOP_MM = 14.5
"""Height of the top face."""
POCKET = (9.5, 10.0, 8.2, 9.6)
"""The pocket: middle in x, half length, half width, height of its floor, millimetres."""
RIBS_X = (4.2, 9.5, 14.8)
BOSS = (19.6, 12.6)
PRINT_AT = (-18.2, 4.2)
"""Upper left corner of the print on the top face."""
DOT_MM = 0.52

# 3 x 5 dots a character, row by row.
GLYPHS = {
    "0": "111101101101111", "1": "010110010010111", "2": "111001111100111", "3": "111001111001111",
    "4": "101101111001001", "5": "111100111001111", "6": "111100111101111", "7": "111001010010010",
    "8": "111101111101111", "9": "111101111001111", "L": "100100100100111", "S": "111100111001111",
    "N": "111101101101101", "F": "111100110100100", "A": "111101111101101", "-": "000000111000000",
    " ": "000000000000000",
}  # fmt: skip


def print_image(rows: tuple[str, ...]) -> Array:
    """Lines of text as an image of dots, one pixel a dot."""
    lines = []
    for row in rows:
        dots = [np.array(list(GLYPHS[letter]), dtype=np.float32).reshape(5, 3) for letter in row]
        lines.append(np.hstack([np.pad(glyph, ((0, 2), (0, 1))) for glyph in dots]))
    return np.pad(np.vstack(lines), 2).astype(np.float32)


class Cover:
    """One cover, lying on its open side; x is along its length."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._noise = SolidNoise(rng)
        self._scale = np.float32(1.0 + rng.normal(0.0, 0.004))
        serial = f"40{rng.integers(10):d}7"
        self._ink = print_image(("LSFA-42", f"SN {serial}"))
        self._print_shift = rng.normal(0.0, 0.25, 2)
        self._print_turn = float(rng.normal(0.0, 0.012))
        self._ink_cover = float(rng.uniform(0.75, 0.95))
        self._gate = np.array([rng.normal(-10.0, 0.15), rng.normal(-10.5, 0.15)], dtype=np.float32)
        self._warp = rng.normal(0.0, 0.0004, 2)
        tone = float(np.exp(rng.normal(0.0, 0.05)))
        blue = float(rng.normal(0.0, 0.008))
        self._colour = np.array([0.125, 0.20, 0.255 + blue], dtype=np.float32) * np.float32(tone)
        self._gloss = float(rng.uniform(0.05, 0.11))

    @property
    def box(self) -> tuple[Array, Array]:
        """The cover's box, bosses included."""
        return np.array([-25.0, -18.0, -0.8], np.float32), np.array([25.0, 18.0, 18.0], np.float32)

    def _solid(self, points: Array, ribs: bool) -> Array:
        x, y, z = (points / self._scale).T
        z = z + np.float32(self._warp[0]) * x * x + np.float32(self._warp[1]) * y * y
        outline = rounded_rectangle(x, y, 24.0, 17.0, 4.0) + np.float32(0.035) * z
        block = chamfered(outline, slab(z, TOP_MM / 2 - 1.0, TOP_MM / 2 + 1.0), 0.7)
        middle, half_length, half_width, floor = POCKET
        pocket = rounded_rectangle(x - np.float32(middle), y, half_length, half_width, 1.5) - np.float32(0.05) * (
            z - floor
        )
        pocket = intersection(pocket, np.float32(floor) - z)
        body = intersection(block, -pocket)
        if ribs:
            inside = intersection(slab(y, 0.0, half_width + 0.3), slab(x, middle, half_length + 0.3))
            along = union(*(slab(x, at, 0.62) for at in RIBS_X), slab(y, 0.0, 0.62)) + np.float32(0.05) * (z - floor)
            rib = intersection(along, inside, slab(z, floor + 1.0, TOP_MM - 0.9 - floor - 1.0))
            body = smooth_union(body, rib, 0.5)
        to_boss = np.hypot(np.abs(x) - np.float32(BOSS[0]), np.abs(y) - np.float32(BOSS[1]))
        body = smooth_union(body, chamfered(to_boss - np.float32(3.2), slab(z, 8.0, 8.3), 0.3), 0.6)
        bore = intersection(to_boss - np.float32(1.55), np.float32(9.0) - z)
        vents = np.abs(np.mod(y + np.float32(1.6), np.float32(3.2)) - np.float32(1.6)) - np.float32(0.6)
        vents = intersection(vents, slab(x, -21.9, 1.2), slab(y, 0.0, 7.5), np.float32(11.0) - z)
        return intersection(body, -bore, -vents) * self._scale

    def distance(self, points: Array) -> Array:
        """Signed distance (n,) mm."""
        return self._solid(points, ribs=True)

    def worn(self, points: Array) -> Array:
        """Distance to the cover without ribs."""
        return self._solid(points, ribs=False)

    def relief(self, points: Array) -> Array:
        """Spark-erosion texture, the gate's vestige and its ring."""
        away = np.hypot(points[:, 0] - self._gate[0], points[:, 1] - self._gate[1])
        gate = np.float32(0.14) * smoothstep(1.1, 0.7, away) - np.float32(0.10) * smoothstep(
            0.5, 0.1, np.abs(away - 1.9)
        )
        texture = np.float32(0.04) * self._noise(points, 0.7) + np.float32(0.025) * self._noise(points, 1.7)
        return texture + gate * smoothstep(TOP_MM - 1.0, TOP_MM - 0.4, points[:, 2])

    def _inked(self, points: Array) -> Array:
        """Share (n,) of ink at points: 1 inside a letter, uneven, only on the top face."""
        x = points[:, 0] - np.float32(PRINT_AT[0] + self._print_shift[0])
        y = np.float32(PRINT_AT[1] + self._print_shift[1]) - points[:, 1]
        turned = np.float32(self._print_turn)
        dots = np.stack([(y + turned * x), (x - turned * y)]) / np.float32(DOT_MM) + np.float32(1.5)
        ink = ndimage.map_coordinates(self._ink, dots, order=1, mode="constant")
        thin = np.float32(self._ink_cover) * (1.0 + np.float32(0.35) * self._noise.octaves(points, 1.2, 3))
        sharp = smoothstep(0.25, 0.65, ink) * smoothstep(TOP_MM - 0.6, TOP_MM - 0.3, points[:, 2])
        return np.clip(sharp * thin, 0.0, 1.0)

    def plain_material(self, points: Array) -> Material:
        """The material without print: blue-grey ABS with flow marks and dust."""
        mottle = self._noise.octaves(points, 9.0, 4, 0.6)
        dust = smoothstep(0.42, 0.6, self._noise(points + np.float32(9.0), 0.42))
        level = 1.0 + np.float32(0.05) * mottle + np.float32(0.05) * self._noise(points, 0.4) + np.float32(0.3) * dust
        albedo = self._colour * level[:, None]
        gloss = np.float32(self._gloss) * (1.0 + np.float32(0.5) * mottle)
        return Material(albedo.astype(np.float32), gloss.astype(np.float32), shininess=22.0, softness=0.04)

    def material(self, points: Array) -> Material:
        """Blue-grey ABS with a white serial number."""
        plain = self.plain_material(points)
        white = np.array([0.52, 0.53, 0.52], dtype=np.float32)
        albedo = plain.albedo + (white - plain.albedo) * self._inked(points)[:, None]
        return plain._replace(albedo=albedo.astype(np.float32))

    def site(self, name: str, points: Array) -> BoolArray:
        """`print`: on a letter; `rib`: on a rib's edge; `flat`: the top face; `body`: anywhere."""
        x, y, z = points.T
        if name == "print":
            return self._inked(points) > 0.5
        middle, half_length, half_width, floor = POCKET
        pocket = (np.abs(x - middle) < half_length) & (np.abs(y) < half_width)
        if name == "rib":
            return np.asarray(pocket & (z > floor + 1.5))
        if name == "flat":
            return np.asarray(~pocket & (np.abs(z - TOP_MM) < 0.6) & (np.abs(x) < 22.0) & (np.abs(y) < 15.5))
        return np.ones(len(points), dtype=bool)
