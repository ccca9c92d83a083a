"""A moulded cable fitting lying on its side: ten-sided cap, nut, thread and slotted collet round an open bore."""

import numpy as np

from lsfa_cli.datasets.synthetic.camera import rotation
from lsfa_cli.datasets.synthetic.noise import SolidNoise, smoothstep
from lsfa_cli.datasets.synthetic.parts.base import (
    Array,
    BoolArray,
    Material,
    chamfered,
    intersection,
    slab,
    smooth_union,
    union,
)

CAP_SIDES = 10
NUT_SIDES = 8
THREAD_PITCH_MM = 1.7
THREAD_DEPTH_MM = 0.85
THREAD = (-3.6, 7.4)
"""Where the thread begins and ends along the axis, millimetres."""


class Fitting:
    """One fitting. The axis is x; it leans on the rim of its cap and on its collet."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._noise = SolidNoise(rng)
        self._scale = 1.0 + rng.normal(0.0, 0.006)
        self._roll = rng.uniform(0.0, 2 * np.pi)
        self._cap_turn = rng.uniform(0.0, 2 * np.pi)
        self._cap_shift = rng.uniform(-0.5, 0.5)
        self._slot_turn = rng.uniform(0.0, 2 * np.pi)
        self._thread_turn = rng.uniform(0.0, 2 * np.pi)
        lean = -0.085
        self._to_axis = (rotation(1, lean) @ rotation(0, self._roll)).astype(np.float32)
        self._height = np.float32(14.1)
        shade = rng.normal(0.0, 0.035)
        warmth = rng.normal(0.0, 0.004)
        self._colour = np.array([0.47 + warmth, 0.46, 0.45 - warmth], dtype=np.float32) * np.float32(1.0 + shade)
        self._gloss = float(rng.uniform(0.13, 0.19))

    @property
    def box(self) -> tuple[Array, Array]:
        """The fitting's box, leaning included."""
        return np.array([-22.5, -16.5, -0.8], np.float32), np.array([22.5, 16.5, 31.0], np.float32)

    def _axial(self, points: Array) -> Array:
        lifted = points - np.array([0.0, 0.0, self._height], dtype=np.float32)
        axial: Array = (lifted @ self._to_axis) / np.float32(self._scale)
        return axial

    def _prism(self, angle: Array, radius: Array, sides: int, turn: float, apothem: float) -> Array:
        """Distance to a regular prism with corners cut by a slightly smaller cylinder."""
        sector = np.float32(2 * np.pi / sides)
        folded = np.mod(angle + np.float32(turn), sector) - sector / 2
        corner = apothem / np.cos(np.pi / sides) - 0.25
        return intersection(radius * np.cos(folded) - np.float32(apothem), radius - np.float32(corner))

    def distance(self, points: Array) -> Array:
        """Signed distance (n,) mm."""
        axial = self._axial(points)
        x, radius = axial[:, 0], np.hypot(axial[:, 1], axial[:, 2])
        angle = np.arctan2(axial[:, 2], axial[:, 1])
        cap = chamfered(self._prism(angle, radius, CAP_SIDES, self._cap_turn, 14.0), slab(x, -15.4, 4.6), 0.6)
        rim = intersection(radius - np.float32(12.6), slab(x, -20.2, 1.0))
        neck = intersection(radius - np.float32(11.4), slab(x, -9.0, 3.4))
        nut_at = -6.6 + self._cap_shift
        nut = chamfered(self._prism(angle, radius, NUT_SIDES, self._slot_turn, 13.0), slab(x, nut_at, 2.3), 0.5)
        turn = np.mod(
            x / np.float32(THREAD_PITCH_MM) - (angle + np.float32(self._thread_turn)) / np.float32(2 * np.pi), 1.0
        )
        crest = np.clip(np.abs(turn - 0.5) * 2.6 - 0.3, 0.0, 0.85)
        runout = smoothstep(THREAD[0], THREAD[0] + 1.2, x) * smoothstep(THREAD[1], THREAD[1] - 0.9, x)
        thread = intersection(
            radius - np.float32(11.0) + np.float32(THREAD_DEPTH_MM) * crest * runout, slab(x, 1.9, 6.1)
        )
        slots = np.mod(angle + np.float32(self._slot_turn), np.float32(2 * np.pi / 18)) - np.float32(np.pi / 18)
        groove = intersection(np.abs(slots) * radius - np.float32(0.72), np.float32(9.1) - x, np.float32(9.0) - radius)
        cone = radius - np.float32(10.5) + np.float32(0.035) * (x - 8.0)
        collet = intersection(cone, slab(x, 12.6, 5.8), -groove)
        body = union(smooth_union(cap, rim, 0.4), neck, nut, thread, collet)
        bore = radius - np.where(x < -9.0, np.float32(9.9), np.float32(8.7)) + np.float32(0.012) * x
        result: Array = intersection(body, -bore) * np.float32(self._scale)
        return result

    def worn(self, points: Array) -> Array:
        """Distance to the fitting with its thread stripped."""
        axial = self._axial(points)
        stripped = np.hypot(axial[:, 1], axial[:, 2]) - np.float32(11.0 - THREAD_DEPTH_MM)
        return intersection(self.distance(points), stripped)

    def relief(self, points: Array) -> Array:
        """Orange peel of the moulding and fine erosion texture."""
        return np.float32(0.03) * self._noise(points, 1.3) + np.float32(0.012) * self._noise(points, 0.45)

    def material(self, points: Array) -> Material:
        """Light grey polyamide with a flow-mark mottle and a little grime."""
        mottle = self._noise.octaves(points, 6.0, 4, 0.6)
        speckle = self._noise(points, 0.35)
        axial = self._axial(points)
        radius = np.hypot(axial[:, 1], axial[:, 2])
        grime = smoothstep(11.0, 10.2, radius) * smoothstep(8.2, 9.4, radius)
        level = 1.0 + np.float32(0.035) * mottle + np.float32(0.03) * speckle - np.float32(0.06) * grime
        albedo = self._colour * level[:, None]
        gloss = np.float32(self._gloss) * (1.0 + np.float32(0.5) * mottle)
        return Material(albedo.astype(np.float32), gloss.astype(np.float32), shininess=38.0, softness=0.06)

    def site(self, name: str, points: Array) -> BoolArray:
        """`thread`: the threaded length; `face`: cap and nut from outside; `body`: everything outside the bore."""
        axial = self._axial(points)
        x, radius = axial[:, 0], np.hypot(axial[:, 1], axial[:, 2])
        outside = radius > 9.4
        if name == "thread":
            return np.asarray((x > THREAD[0] + 2.2) & (x < THREAD[1] - 1.6) & (radius > 10.0))
        if name == "face":
            return np.asarray(outside & (x < -5.0) & (x > -19.0) & (radius > 12.6))
        return np.asarray(outside)
