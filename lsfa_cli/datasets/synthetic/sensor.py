"""What the sensor makes of the scene: an 8-bit picture with noise, and a depth map with noise and missing points."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lsfa_cli.datasets.synthetic.noise import field, smoothstep

Array = NDArray[np.floating]
BoolArray = NDArray[np.bool_]

FOCAL_TIMES_BASELINE_MM2 = 2640.0 * 180.0
"""Focal length (pixels at 400 x 400) times baseline (mm) of the structured-light sensor."""
DISPARITY_STEP = 1.0 / 64.0
"""Quantisation of the disparity in pixels: 0.014 mm of depth at the working distance."""
ELECTRONS_FULL = 9000.0
"""Electrons of a full sensor element; their counting is the shot noise."""
READ_NOISE = 0.0034
"""Read noise as a share of full scale."""


class DepthSignal(NamedTuple):
    """What the depth measurement of each pixel depends on, all (S, S).

    depth: true depth, mm. facing: cosine between normal and ray. lit: share of the projector's light that arrives.
    glare: strength of the highlight. part: on the part, not on the background.
    """

    depth: Array
    facing: Array
    lit: Array
    glare: Array
    part: BoolArray


def expose(rng: np.random.Generator, light: Array) -> NDArray[np.uint8]:
    """The picture (S, S, 3) uint8 of linear `light` (S, S, 3) in [0, 1]: blur, shot and read noise, demosaicing."""
    blurred = ndimage.gaussian_filter(np.clip(light, 0.0, 1.3), (0.72, 0.72, 0.0))
    noise = rng.standard_normal(light.shape, dtype=np.float32)
    noise *= np.sqrt(np.clip(blurred, 0.0, 1.0) / ELECTRONS_FULL + READ_NOISE**2).astype(np.float32)
    # Interpolating the Bayer pattern spreads each reading over its neighbours; the factor keeps the noise's strength.
    noise = ndimage.gaussian_filter(noise, (0.45, 0.45, 0.0)) * np.float32(1.55)
    picture: NDArray[np.uint8] = np.clip(np.rint((blurred + noise) * 255.0), 0, 255).astype(np.uint8)
    return picture


def measure_depth(rng: np.random.Generator, signal: DepthSignal, background_loss: float) -> Array:
    """The measured depth (S, S) in mm, 0 where no point came back.

    `background_loss` is the share of background points that are missing in the brighter part of the dark cloth.
    The same number of random values is drawn whatever the scene, so that two scenes that differ in one place get
    the same noise elsewhere.
    """
    size = signal.depth.shape[0]
    white = rng.standard_normal((size, size), dtype=np.float32)
    grainy = ndimage.gaussian_filter(rng.standard_normal((size, size), dtype=np.float32), 1.4) * np.float32(4.9)
    luck = rng.random((size, size), dtype=np.float32)
    flight = rng.random((size, size), dtype=np.float32)
    cloth_loss = background_loss * (1.0 + 0.25 * field(rng, size, 4))

    nearest = ndimage.minimum_filter(signal.depth, 3)
    farthest = ndimage.maximum_filter(signal.depth, 3)
    pitch = float(np.median(signal.depth)) / 2640.0 * 400.0 / size
    torn = smoothstep(5.0 * pitch, 12.0 * pitch, farthest - nearest)
    # The matching window sees its neighbourhood: depth is smooth except across jumps.
    windowed = ndimage.gaussian_filter(signal.depth, 0.6)
    depth = np.where(torn > 0.0, signal.depth, windowed)

    slant = np.sqrt(np.clip(1.0 - signal.facing**2, 0.0, 1.0)) / np.clip(signal.facing, 0.12, 1.0)
    strength = np.where(signal.part, 1.0 + 0.9 * slant, 2.6)
    depth = depth + (strength * (0.012 * white + 0.022 * grainy)).astype(np.float32)

    loss = np.where(signal.part, 0.002, cloth_loss)
    loss = np.maximum(loss, smoothstep(0.24, 0.10, signal.facing))
    loss = np.maximum(loss, smoothstep(0.75, 0.30, signal.lit))
    loss = np.maximum(loss, 0.9 * smoothstep(0.45, 0.85, signal.glare))
    loss = np.maximum(loss, 0.55 * torn)
    flying = (torn > 0.5) & (flight < 0.012)
    depth = np.where(flying, nearest + (farthest - nearest) * (flight / np.float32(0.012)), depth)

    disparity = FOCAL_TIMES_BASELINE_MM2 / depth
    depth = FOCAL_TIMES_BASELINE_MM2 / (np.rint(disparity / DISPARITY_STEP) * DISPARITY_STEP)
    return np.where(luck < loss, 0.0, depth).astype(np.float32)
