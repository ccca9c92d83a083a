"""One defect pasted into one sample."""

from dataclasses import dataclass, replace

import numpy as np

from lsfa_cli.catalog import lookup
from lsfa_cli.errors import DataError
from lsfa_cli.pasting import KINDS, kinds_for
from lsfa_cli.pasting.draft import Draft
from lsfa_cli.pasting.scene import Scene
from lsfa_cli.samples import Sample

TRIES = 40
"""Places that are drawn for a defect at most."""
SMALLEST, LARGEST = 0.0015, 0.35
"""Touched pixels over those of the part: fewer are lost in patches, more leave no part."""

_LEAST_PIXELS = 6
_SEEN_LEVELS = 4.0  # of 255: a change of the image that an eye finds, the mean over the mask
_SEEN_MM = 0.12  # on a part of the reference size: a change of the scan that a sensor finds, the mean over the mask
_SEEN_POINTS = 0.1  # of the mask: points that came or went


class NoPlaceError(DataError):
    """A kind of defect found no place on this sample; others may."""


@dataclass(frozen=True)
class PastedSample:
    """sample: with the changed image and scan, its mask the touched pixels, its record of defect `kind`."""

    sample: Sample
    kind: str
    tries: int


def paste(scene: Scene, kind: str, generator: np.random.Generator, *, name: str | None = None) -> PastedSample:
    """Paste a defect of a kind into the scene's sample, which is not changed. Equal generators give equal samples.

    name: of the pasted sample's record; default SAMPLE#KIND. Outside the mask nothing differs from the original, and
    the mask covers between 0.15 and 35 % of the part's pixels. Raises `UnknownNameError` for an unknown kind,
    `DataError` for one that the sample cannot have, `NoPlaceError` when 40 draws find no place for it.
    """
    make = lookup(KINDS, "kind of defect", kind).load()
    sample = scene.sample
    image, scan = sample.rgb is not None, sample.xyz is not None
    if not KINDS[kind].suits(image, scan):
        raise DataError(
            f"{sample.record.name} has no image, and {kind} shows in images alone.",
            hint=f"Kinds for it: {', '.join(kinds_for(image=image, scan=scan))}.",
        )
    for tries in range(1, TRIES + 1):
        draft: Draft | None = make(scene, generator)
        if draft is not None and _is_seen(scene, draft):
            record = replace(sample.record, name=name or f"{sample.record.name}#{kind}", defect=kind)
            pasted = Sample(record, draft.rgb, draft.xyz, draft.valid, draft.mask)
            return PastedSample(pasted, kind, tries)
    raise NoPlaceError(
        f"{sample.record.name}: no place for a defect of the kind {kind} in {TRIES} draws.",
        hint="Leave the kind out for this part: it may have no edge, or no texture, that the defect needs.",
    )


def _is_seen(scene: Scene, draft: Draft) -> bool:
    """Whether a draft is of a sensible size, on the part, and differs from the sample where it says so."""
    mask, sample = draft.mask, scene.sample
    touched = int(mask.sum())
    if not max(SMALLEST * scene.part.sum(), _LEAST_PIXELS) <= touched <= LARGEST * scene.part.sum():
        return False
    if not (mask & scene.part).any():
        return False
    if draft.rgb is not None and sample.rgb is not None:
        levels = np.abs(draft.rgb[mask].astype(np.int64) - sample.rgb[mask])
        if levels.max(axis=1).mean() >= _SEEN_LEVELS:
            return True
    if draft.xyz is None or draft.valid is None or sample.xyz is None or sample.valid is None:
        return False
    if (draft.valid[mask] != sample.valid[mask]).mean() >= _SEEN_POINTS:
        return True
    both = mask & draft.valid & sample.valid
    moved = np.linalg.norm(draft.xyz[both].astype(np.float64) - sample.xyz[both], axis=1)
    return bool(both.any() and moved.sum() / touched >= scene.metres(_SEEN_MM))
