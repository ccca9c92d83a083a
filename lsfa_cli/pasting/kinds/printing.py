"""Print gone wrong: what a marking, a label or a pattern looks like when it was not printed as it should be."""

import numpy as np
from scipy import ndimage

from lsfa_cli.pasting.draft import Draft, draft_of, paint
from lsfa_cli.pasting.kinds.places import drawn_colour, exposure, on_part, pixels
from lsfa_cli.pasting.scene import Scene
from lsfa_cli.pasting.shapes import Field, Window, irregular_blob, smooth_noise, smoothstep, stroke
from lsfa_cli.samples import BoolArray

_INK = 0.35  # share of faults that are ink where none belongs; the others need something printed to spoil
_OWN_INK = 0.6  # share of ink that has the colour of the part's darkest or brightest places
_STROKES = (1, 5)
_SEEN = 0.05  # of the part's brightness: a change of its print that an eye finds
_MOVED = (0.02, 0.07)  # of the part's size, of a second print or a colour


def print_fault(scene: Scene, generator: np.random.Generator) -> Draft | None:
    """Pale, smeared, doubled, out of register, or stray ink, 12 to 36 % of the part's size across; the image alone."""
    if scene.sample.rgb is None:
        return None
    draft = draft_of(scene)
    if generator.random() < _INK:
        _stray_ink(scene, draft, generator)
        return draft
    radius = pixels(scene, generator, (0.06, 0.18))
    blob = irregular_blob(generator, on_part(scene, generator, 0.4 * radius), radius, scene.part.shape, 0.15)
    inside = (blob.level > 0) & scene.part[blob.window]
    spoilt = _spoilt(scene, generator, blob.window, radius)
    change = np.abs(spoilt - scene.sample.rgb[blob.window]).max(axis=2)
    # Where nothing is printed, nothing is spoilt.
    inside &= ndimage.maximum_filter(change, 2 * int(0.15 * radius) + 3) > _SEEN * exposure(scene)
    if not inside.any() or change[inside].mean() < 1.5 * _SEEN * exposure(scene):
        return None
    paint(draft, blob.window, inside, spoilt, smoothstep(0.0, 0.25, blob.level))
    return draft


def _spoilt(scene: Scene, generator: np.random.Generator, window: Window, radius: float) -> Field:
    """The window's image (h, w, 3) with its print spoilt in one of four ways."""
    if scene.sample.rgb is None:
        raise ValueError("a scan shows no print")
    reach = int(max(radius, _MOVED[1] * scene.size)) + 1
    around = tuple(slice(max(side.start - reach, 0), side.stop + reach) for side in window)
    inner = tuple(
        slice(side.start - wide.start, side.stop - wide.start) for side, wide in zip(window, around, strict=True)
    )
    part, colours = scene.part[around], scene.sample.rgb[around].astype(np.float32)
    angle = float(generator.uniform(0.0, 2 * np.pi))
    form = generator.integers(4)
    if form == 0:  # too little ink: the print fades into what is around it
        pale = _mean_on_part(part, colours, _disk(0.5 * radius))
        spoilt = colours + np.float32(generator.uniform(0.6, 1.0)) * (pale - colours)
    elif form == 1:  # wiped while wet
        spoilt = _mean_on_part(part, colours, _line(angle, float(generator.uniform(0.5, 1.2)) * radius))
    else:
        again = _moved(part, colours, angle, max(float(generator.uniform(*_MOVED)) * scene.size, 2.0))
        if form == 2:  # printed twice: dark ink stays dark wherever it was put
            spoilt = colours + np.float32(generator.uniform(0.6, 1.0)) * (np.minimum(colours, again) - colours)
        else:  # each colour has a plate of its own, and one of them slipped
            plate = np.arange(3) == generator.integers(3)
            spoilt = np.where(plate, again, colours)
    return spoilt[inner]


def _stray_ink(scene: Scene, draft: Draft, generator: np.random.Generator) -> None:
    """A few lines beside each other, as of letters, a bar code or a slipped pen."""
    ink = _ink(scene, generator)
    width = pixels(scene, generator, (0.012, 0.03)) + 1
    length = pixels(scene, generator, (0.08, 0.3))
    bend = float(generator.choice([0.02, 0.6]))
    row, column = on_part(scene, generator, 2 * width)
    for number in range(int(generator.integers(*_STROKES, endpoint=True))):
        aside = np.rint(generator.uniform(-2.5, 2.5, 2) * width * min(number, 2)).astype(int)
        at = np.clip([row + aside[0], column + aside[1]], 0, np.array(scene.part.shape) - 1)
        line = stroke(generator, scene.part, (int(at[0]), int(at[1])), length, width, bend)
        if line is None:
            continue
        inside = (line.level > 0) & scene.part[line.window]
        flow = smooth_noise(generator, (line.level.shape[0], line.level.shape[1]), 2 * width, 2)
        cover = np.clip(0.9 + 0.15 * flow, 0.3, 1.0) * smoothstep(0.0, 1.0 / max(line.radius, 1.0), line.level)
        paint(draft, line.window, inside, ink, cover)


def _ink(scene: Scene, generator: np.random.Generator) -> Field:
    """A colour (3,): one that stands out on the part itself, or any."""
    if scene.sample.rgb is None or generator.random() >= _OWN_INK:
        return np.asarray(exposure(scene) * drawn_colour(generator, float(generator.uniform(0.0, 1.0))), np.float32)
    on = scene.sample.rgb[scene.part]
    grey = on.mean(axis=1)
    low, high = np.percentile(grey, (2, 98))
    return np.asarray(np.median(on[grey <= low] if generator.random() < 0.7 else on[grey >= high], axis=0), np.float32)


def _mean_on_part(part: BoolArray, colours: Field, weights: Field) -> Field:
    """The mean (h, w, 3) of the part's own pixels around each, by `weights`."""
    here = part.astype(np.float32)
    share = np.maximum(ndimage.convolve(here, weights, mode="constant"), 1e-6)
    means = [ndimage.convolve(plate * here, weights, mode="constant") / share for plate in np.moveaxis(colours, -1, 0)]
    return np.where(part[..., None], np.stack(means, axis=-1), colours)


def _moved(part: BoolArray, colours: Field, angle: float, length: float) -> Field:
    """The image (h, w, 3) moved by `length` pixels; as it was where no part would lie."""
    by = (int(np.rint(np.sin(angle) * length)), int(np.rint(np.cos(angle) * length)))
    covered = ndimage.shift(part, by, order=0, mode="constant", cval=False)
    return np.where(covered[..., None], ndimage.shift(colours, (*by, 0), order=0), colours)


def _disk(radius: float) -> Field:
    """Weights (h, w) of the pixels within `radius` of the middle."""
    reach = max(int(radius), 1)
    rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    return np.asarray(np.hypot(rows, columns) <= max(radius, 1.0), dtype=np.float32)


def _line(angle: float, length: float) -> Field:
    """Weights (h, w) of the pixels along a line of `length` pixels through the middle."""
    reach = max(int(np.ceil(length / 2)), 1)
    weights = np.zeros((2 * reach + 1, 2 * reach + 1), dtype=np.float32)
    along = np.linspace(-length / 2, length / 2, 4 * reach + 1)
    rows, columns = np.rint(np.sin(angle) * along).astype(int), np.rint(np.cos(angle) * along).astype(int)
    weights[rows + reach, columns + reach] = 1.0
    return weights
