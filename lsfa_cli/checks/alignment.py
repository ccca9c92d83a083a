"""Is the scan where the image is? Edges of the image against edges of the scan, by cross-correlation.

A part's outline is an edge of both: of brightness in the image, of depth or of existence in the scan. Each sample
gives the correlation of the two edge maps at every small shift; texture and shadows differ from sample to sample, a
misalignment does not, so the mean over samples peaks at it.
"""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lsfa_cli.checks.base import Figure, Finding, Measured, Verdict, View
from lsfa_cli.samples import BoolArray, FloatArray

REACH = 24
"""Largest shift that is looked for, pixels of the reduced image."""
LONGEST = 640
"""A longer side is reduced by averaging blocks, which also makes edges of large blurred images sharp."""
SHORTEST = 4 * REACH
TOLERANCE = 2.5
"""Shift in pixels of the reduced image from which it is reported: real sets are within 1."""
CONFIDENT = 0.35
"""Of `confidence`; real sets and synthetic parts with clear outlines have 0.5 to 0.8, unrelated pictures 0."""

_SMOOTHING = 1.0  # pixels, of the gradient
_LOCAL = 8.0  # pixels; edges count against their neighbourhood, so that a bright region is no edge
_AROUND = 6  # pixels around the peak that belong to it

_LUMINANCE = np.array([0.299, 0.587, 0.114])


class Alignment:
    """Judges the mean of the correlations (2 * REACH + 1, 2 * REACH + 1) of the samples."""

    name: ClassVar[str] = "alignment"
    every: ClassVar[bool] = False
    most: ClassVar[int | None] = 32

    def measure(self, view: View) -> tuple[NDArray[np.float64], int] | None:
        """The correlation at each shift (rows, columns) of the image against the scan, and the reduction.

        None where image or scan are absent, too small or without edges.
        """
        sample = view.sample
        if sample is None or sample.rgb is None or sample.xyz is None or sample.valid is None:
            return None
        factor = -(-max(sample.valid.shape) // LONGEST)
        grey = _reduced(sample.rgb @ _LUMINANCE, factor)
        share = _reduced(sample.valid.astype(np.float64), factor)
        depth = _reduced(np.where(sample.valid, sample.xyz[..., 2], 0.0), factor) / np.where(share > 0, share, 1.0)
        if min(grey.shape) < SHORTEST:
            return None
        image, scan = _edges(_gradient(grey)), _scan_edges(depth, share > 0.5)
        if not image.any() or not scan.any():
            return None
        return _correlation(image, scan), factor

    def judge(self, measured: Sequence[Measured[tuple[NDArray[np.float64], int]]]) -> Verdict:
        """A shift that the samples have in common."""
        if not measured:
            return Verdict()
        surfaces = np.array([row.value[0] for row in measured])
        factor = int(np.median([row.value[1] for row in measured]))
        row, column = peak(surfaces.mean(axis=0))
        sure = round(confidence(surfaces), 3)
        figures: dict[str, Figure] = {
            "shift_px": (float(column * factor), float(row * factor)),
            "confidence": sure,
            "clear": sure >= CONFIDENT,
        }
        if sure < CONFIDENT or np.hypot(row, column) < TOLERANCE:
            return Verdict(figures=figures)
        shift = " and ".join(
            f"{abs(value) * factor} px {names[value > 0]}"
            for value, names in ((column, ("to the left", "to the right")), (row, ("up", "down")))
            if value
        )
        finding = Finding(
            "warning",
            self.name,
            f"the image lies {shift} of the scan (confidence {sure:.2f}, {len(measured)} samples).",
            "Align them pixel by pixel: look at the calibration between the cameras, or shift the images back.",
        )
        return Verdict([finding], figures)


def peak(surface: FloatArray) -> tuple[int, int]:
    """The shift (rows, columns) with the highest correlation."""
    row, column = np.unravel_index(surface.argmax(), surface.shape)
    return int(row) - surface.shape[0] // 2, int(column) - surface.shape[1] // 2


def confidence(surfaces: FloatArray) -> float:
    """How sure the common peak of surfaces (n, H, W) is, 0 to 1.

    The share by which the peak of their mean is above all that is apart from it, times the share of samples whose own
    peak is within 2 pixels of it.
    """
    mean = surfaces.mean(axis=0)
    row, column = peak(mean)
    rows, columns = np.indices(mean.shape)
    apart = np.hypot(rows - mean.shape[0] // 2 - row, columns - mean.shape[1] // 2 - column) > _AROUND
    top, rest = float(mean.max()), max(float(mean[apart].max()), 0.0)
    if top <= 0:
        return 0.0
    own = np.array([peak(surface) for surface in surfaces])
    agreeing = float((np.hypot(own[:, 0] - row, own[:, 1] - column) <= 2).mean())
    return max(0.0, 1.0 - rest / top) * agreeing


def _reduced(picture: FloatArray, factor: int) -> FloatArray:
    """Means of blocks of factor x factor; an incomplete last block is left out."""
    height, width = picture.shape[0] // factor, picture.shape[1] // factor
    blocks = picture[: height * factor, : width * factor].reshape(height, factor, width, factor)
    mean: FloatArray = blocks.mean(axis=(1, 3), dtype=np.float64)
    return mean


def _gradient(picture: FloatArray) -> FloatArray:
    magnitude: FloatArray = ndimage.gaussian_gradient_magnitude(picture.astype(np.float64), _SMOOTHING)
    return magnitude


def _scan_edges(depth: FloatArray, valid: BoolArray) -> FloatArray:
    """Where points begin and end, and where depth steps; whichever is stronger."""
    weight = ndimage.gaussian_filter(valid.astype(np.float64), _SMOOTHING)
    smooth = ndimage.gaussian_filter(np.where(valid, depth, 0.0), _SMOOTHING) / np.maximum(weight, 0.05)
    steps = _gradient(smooth) * ndimage.binary_erosion(valid, iterations=2, border_value=1)
    return np.maximum(_edges(_gradient(valid.astype(np.float64))), _edges(steps))


def _edges(magnitude: FloatArray) -> FloatArray:
    """Edges from 0 to 1, minus the mean around them; the strongest percent count alike."""
    strong = float(np.percentile(magnitude, 99))
    if strong <= 1e-12:
        strong = float(magnitude.max())
    if strong <= 1e-12:
        return np.zeros_like(magnitude)
    clipped = np.minimum(magnitude / strong, 1.0)
    return np.asarray(clipped - ndimage.gaussian_filter(clipped, _LOCAL))


def _correlation(image: FloatArray, scan: FloatArray) -> NDArray[np.float64]:
    """Cross-correlation, at each shift up to REACH of the image against the scan; -1 to 1."""
    window = np.outer(np.hanning(image.shape[0]), np.hanning(image.shape[1]))
    image, scan = (image - image.mean()) * window, (scan - scan.mean()) * window
    spectrum = np.fft.rfft2(image) * np.conj(np.fft.rfft2(scan))
    norm = float(np.sqrt((image**2).sum() * (scan**2).sum()))
    surface = np.fft.irfft2(spectrum, s=image.shape) / (norm if norm > 0 else 1.0)
    shifts = np.arange(-REACH, REACH + 1)
    return np.asarray(surface[np.ix_(shifts, shifts)], dtype=np.float64)
