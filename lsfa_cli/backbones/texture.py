"""Image features without weights: wavelet scattering and colour statistics on cells of 8 x 8 pixels.

The moduli of two layers of oriented band-pass filters (Morlet wavelets), averaged over each cell, tell textures
apart that have the same spectrum: the first layer measures how much detail a scale holds, the second how that detail
is laid out. With the wavelet psi of scale j and orientation l, x the luminance and * the convolution,

    U1[j, l] = |x * psi[j, l]|        U2[j, k, d] = mean over l of |U1[j, l] * psi[k, l + d]|,  k > j

The mean over l, with only the turn d between the layers kept, makes the features the same for a part that lies
turned by a multiple of 30 degrees, and nearly so between; few good parts then show what is normal in every pose.
Responses u enter as log(1 + u / floor): 0 where there is nothing but noise, and equal steps for equal changes of
contrast above. Colours enter by their mean and spread in a cell and by the first layer on two opponent channels.

Scattering: Bruna and Mallat, Invariant scattering convolution networks, PAMI 2013. Nothing here is fitted to data.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from lsfa_cli.backbones.base import (
    BackboneArguments,
    IdentityValue,
    average_neighbours,
    dense_patches,
    refuse_weights,
)
from lsfa_cli.errors import UsageError
from lsfa_cli.samples import Modality, PatchFeatures, PreparedSample, image_of

Float32 = NDArray[np.float32]
Complex64 = NDArray[np.complex64]

CELL = 8
SCALES = 4
ORIENTATIONS = 6
TURNS = ORIENTATIONS // 2 + 1
SECOND_LAYER = ((0, 2), (0, 3), (1, 2), (1, 3), (2, 3))
"""The scales (j, k) of the second layer. (0, 1) is left out: it costs as much as all of these and adds nothing."""
COLOUR_SCALES = (1, 2, 3)

_MARGIN = 16  # pixels of mirrored image on each side, so that opposite edges do not meet in the transforms
_STEPS = (1, 1, 2, 4)  # a scale's responses are computed on every n-th pixel: their band is as narrow as that
_COARSEST = _MARGIN * 2  # transforms are of a multiple of this, so that every step divides them
_FREQUENCY = 0.75 * np.pi  # of the finest wavelet, radians a pixel; each next scale halves it
_WIDTH = 0.8  # deviation of the finest wavelet's envelope along the wave, pixels; each next scale doubles it
_ELONGATION = 1 / 0.6  # deviation of the envelope across the wave, over that along it

# Smallest responses that count, for images in [0, 1]: below them is the noise of 8-bit images.
_FLOOR_FIRST, _FLOOR_SECOND, _FLOOR_COLOUR = 0.01, 0.002, 0.005

# Share of a group's channels in distances over the typical deviation of each, so that none dominates.
_SECOND = 1.0 / np.outer((0.20, 0.21, 0.27, 0.29, 0.36), (1.3, 1.15, 0.85, 0.7)).ravel()
_FIRST_MEAN = 0.5 / np.array((0.25, 0.35, 0.45, 0.5))
_FIRST_LARGEST = 0.5 / np.array((0.45, 0.5, 0.55, 0.6))
_DIRECTED_MEAN = 0.3 / np.full(SCALES, 0.09)
_DIRECTED_LARGEST = 0.3 / np.full(SCALES, 0.1)
_COLOUR_DETAIL = 0.3 / np.array((0.1, 0.25, 0.25))
_COLOUR_MEAN = 0.4 / np.array((0.13, 0.025, 0.025))
_COLOUR_SPREAD = 0.3 / np.array((0.045, 0.02, 0.02))


class Texture:
    """Scattering of the luminance and statistics of the colours: 48 values a cell of 8 x 8 pixels.

    The same image gives the same bytes, alone or in a batch. Raises `UsageError` for image sizes that cells do
    not divide.
    """

    @dataclass(frozen=True)
    class Arguments(BackboneArguments):
        """`texture` has no arguments."""

    modality: Modality = "rgb"
    dimension = len(SECOND_LAYER) * TURNS + 4 * SCALES + 2 * len(COLOUR_SCALES) + 6

    def __init__(
        self,
        arguments: Arguments,
        *,
        weights: Path | None = None,
        image_size: int = 224,
        local_average: bool = False,
        **_: Any,
    ) -> None:
        refuse_weights("texture", weights)
        if image_size % CELL:
            raise UsageError(
                f"backbone texture: the image size must be a multiple of {CELL} pixels, but is {image_size}.",
                hint=f"Set image_size to {image_size // CELL * CELL}, or choose another image backbone.",
            )
        self.grid = image_size // CELL
        self.image_size = image_size
        self.local_average = local_average
        self.identity: dict[str, IdentityValue] = {"name": "texture", "arguments": arguments.canonical(), "version": 1}
        self.notes: tuple[str, ...] = ()
        self._side = -(-(image_size + 2 * _MARGIN) // _COARSEST) * _COARSEST
        self._wavelets = [wavelets(scale, self._side, step) for scale, step in enumerate(_STEPS)]

    def patches(self, samples: Sequence[PreparedSample]) -> list[PatchFeatures]:
        """Features (grid * grid, 48) of each sample, every patch valid."""
        images = [image_of(sample) for sample in samples]
        if any(image.shape != (3, self.image_size, self.image_size) for image in images):
            raise ValueError(f"samples must be of {self.image_size} x {self.image_size} pixels")
        if not samples:
            return []
        maps = np.stack([self._features(image) for image in images])
        return dense_patches(average_neighbours(maps) if self.local_average else maps)

    def _features(self, rgb: Float32) -> Float32:
        """The feature map (grid, grid, 48) of one image (3, S, S)."""
        after = self._side - self.image_size - _MARGIN
        image = np.pad(opponent(rgb), ((0, 0), (_MARGIN, after), (_MARGIN, after)), mode="reflect")
        luminance, *colours = fft.fft2(image)
        mean = self._cells(image, np.mean)
        spread = np.sqrt(np.maximum(self._cells(image * image, np.mean) - mean**2, 0))
        groups = [
            *self._luminance(luminance),
            *(self._colour_detail(colour) * _COLOUR_DETAIL[:, None, None] for colour in colours),
            mean * _COLOUR_MEAN[:, None, None],
            spread * _COLOUR_SPREAD[:, None, None],
        ]
        return np.ascontiguousarray(np.concatenate(groups).transpose(1, 2, 0), dtype=np.float32)

    def _luminance(self, spectrum: Complex64) -> list[NDArray[Any]]:
        """Both layers on the luminance: U2, then amount and directedness of U1 by mean and largest value of cells."""
        first = [responses(spectrum, filters) for filters in self._wavelets]
        groups = [np.log1p(self._second_layer(first) / _FLOOR_SECOND) * _SECOND[:, None, None]]
        for reduce, amount_share, directed_share in (
            (np.mean, _FIRST_MEAN, _DIRECTED_MEAN),
            (np.max, _FIRST_LARGEST, _DIRECTED_LARGEST),
        ):
            oriented = np.stack([self._cells(values, reduce) for values in first])
            amount = oriented.mean(axis=1)
            directed = second_harmonic(oriented) / (amount + _FLOOR_FIRST)
            groups.append(np.log1p(amount / _FLOOR_FIRST) * amount_share[:, None, None])
            groups.append(directed * directed_share[:, None, None])
        return groups

    def _second_layer(self, first: Sequence[Float32]) -> Float32:
        """U2, a channel for each pair of scales and turn d = 0, 30, 60, 90 degrees: (20, grid, grid)."""
        spectra = [fft.fft2(values) for values in first[:-1]]
        maps = []
        for scale, coarser in SECOND_LAYER:
            for turn in range(TURNS):
                turned = np.roll(self._wavelets[coarser], -turn, axis=0)
                maps.append(self._cells(responses(spectra[scale], turned), np.mean).mean(axis=0))
        return np.stack(maps)

    def _colour_detail(self, spectrum: Complex64) -> Float32:
        """The first layer on one opponent channel, mean over orientations, as logarithms: (3, grid, grid)."""
        half = self._side // 2  # colours are read at half the resolution: they hold less detail than luminance
        amounts = []
        for scale in COLOUR_SCALES:
            filters = self._wavelets[scale]
            filters = low_frequencies(filters, min(half, filters.shape[-1]))
            amounts.append(self._cells(responses(spectrum, filters), np.mean).mean(axis=0))
        return np.log1p(np.stack(amounts) / np.float32(_FLOOR_COLOUR))

    def _cells(self, values: Float32, reduce: Callable[..., Any]) -> Float32:
        """Values (..., n, n), a transform's side or a fraction of it, reduced over each cell: (..., grid, grid)."""
        step = self._side // values.shape[-1]
        start, width, grid = _MARGIN // step, CELL // step, self.grid
        inside = slice(start, start + grid * width)
        cells = values[..., inside, inside].reshape(*values.shape[:-2], grid, width, grid, width)
        reduced: Float32 = reduce(reduce(cells, axis=-3), axis=-1)  # rows first: that is the fast way through memory
        return reduced


def opponent(rgb: Float32) -> Float32:
    """Luminance, red against green, yellow against blue, of an image (3, S, S) in [0, 1]."""
    red, green, blue = rgb
    return np.stack([(red + green + blue) / 3, red - green, (red + green) / 2 - blue])


def wavelets(scale: int, side: int, step: int) -> Float32:
    """The spectra of the Morlet wavelets of one scale at every orientation: (orientations, side / step, side / step).

    A Gaussian around the wave's frequency, minus the Gaussian around 0 that makes the mean 0. Only frequencies that
    every `step`-th pixel can carry are there.
    """
    frequencies = 2 * np.pi * fft.fftfreq(side)
    down, right = np.meshgrid(frequencies, frequencies, indexing="ij")
    angles = np.pi * np.arange(ORIENTATIONS)[:, None, None] / ORIENTATIONS
    wave, floor = np.zeros((2, ORIENTATIONS, side, side))
    width, frequency = _WIDTH * 2**scale, _FREQUENCY / 2**scale
    around = (-1, 0, 1) if scale == 0 else (0,)  # the finest band reaches over the raster's highest frequency
    for row in around:
        for column in around:
            x, y = right + 2 * np.pi * column, down + 2 * np.pi * row
            along, across = x * np.cos(angles) + y * np.sin(angles), y * np.cos(angles) - x * np.sin(angles)
            envelope = np.exp(-((across * width * _ELONGATION) ** 2) / 2)
            wave += envelope * np.exp(-(((along - frequency) * width) ** 2) / 2)
            floor += envelope * np.exp(-((along * width) ** 2) / 2)
    spectra = wave - floor * (wave[:, :1, :1] / floor[:, :1, :1])
    return low_frequencies(spectra, side // step).astype(np.float32)


def responses(spectrum: Complex64, filters: Float32) -> Float32:
    """|image * filter| for every filter, on the raster of the filters: every n-th pixel of the image's.

    spectrum: (..., n, n), one image or one for each filter. filters: (orientations, m, m), m <= n.
    """
    side = filters.shape[-1]
    scaled = low_frequencies(spectrum, side) * np.float32((side / spectrum.shape[-1]) ** 2)
    magnitude: Float32 = np.abs(fft.ifft2(scaled * filters, overwrite_x=True))
    return magnitude


def low_frequencies(spectra: NDArray[Any], side: int) -> NDArray[Any]:
    """The part of spectra (..., n, n) that a raster of `side` a side can carry: (..., side, side)."""
    if spectra.shape[-1] == side:
        return spectra
    kept = np.r_[: side // 2, -(side // 2) : 0]
    return spectra[..., kept[:, None], kept]


def second_harmonic(oriented: Float32) -> Float32:
    """How much responses (scales, orientations, ...) favour one orientation: 0 for all alike, whichever it is."""
    angles = 2 * np.pi * np.arange(ORIENTATIONS) / ORIENTATIONS  # twice the angle: opposite directions are the same
    wave = np.exp(1j * angles).astype(np.complex64) / np.float32(ORIENTATIONS)
    magnitude: Float32 = np.abs(np.einsum("so...,o->s...", oriented, wave))
    return magnitude
