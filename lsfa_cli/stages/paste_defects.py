"""Pasted defects in a picture, beside the samples that they were pasted into."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from lsfa_cli.catalog import lookup
from lsfa_cli.datasets.base import Dataset, RasterDataset
from lsfa_cli.errors import DataError
from lsfa_cli.figures.pasted_samples import PastedRow, pasted_picture
from lsfa_cli.figures.raw_samples import Look
from lsfa_cli.figures.shading import shade_depth
from lsfa_cli.pasting import KINDS, kinds_for
from lsfa_cli.pasting.paste import NoPlaceError
from lsfa_cli.pasting.scene import Scene
from lsfa_cli.pasting.shapes import Window
from lsfa_cli.pasting.versions import PastedVersion, pasted_versions
from lsfa_cli.samples import BoolArray, Sample
from lsfa_cli.settings import ExtractSettings
from lsfa_cli.stages.check_data import spread
from lsfa_cli.stages.extract import preprocess_options
from lsfa_cli.stages.progress import Progress

MARGIN = 0.12
"""Of the part's height and width: what is shown around it."""


def paste_defects(
    dataset: Dataset,
    category: str,
    path: Path,
    settings: ExtractSettings,
    *,
    kinds: Sequence[str] | None = None,
    samples: int = 1,
    seed: int = 0,
    progress: Progress,
) -> list[str]:
    """Write a picture of every kind of defect in `samples` training samples each, and return its rows in words.

    kinds: None takes all that suit the category. Raises UnknownNameError for an unknown kind, `DataError` for data
    without images and organized clouds, for a kind that the category cannot have, and when none found a place.
    """
    wanted = _kinds(dataset, category, kinds)
    if not isinstance(dataset, RasterDataset):
        raise TypeError(f"{dataset.name} has neither images nor organized clouds")
    training = [record for record in dataset.records(category) if record.split == "train"]
    options = preprocess_options(settings, dataset.recipe(category))
    chosen = spread(training, samples)
    versions = pasted_versions(dataset, chosen, len(wanted) * len(chosen), options, kinds=wanted, seed=seed)
    rows: dict[tuple[str, str], PastedRow] = {}
    with progress.track(f"paste {category}", len(versions)) as advance:
        for version in versions:
            try:
                rows[version.kind, version.original.name] = _row(version)
            except NoPlaceError as error:
                progress.warn(str(error))
            advance(1)
    ordered = [rows[kind, record.name] for kind in wanted for record in chosen if (kind, record.name) in rows]
    if not ordered:
        raise DataError(f"{dataset.name} {category}: no defect found a place.", hint="Try other kinds, or samples.")
    pasted_picture(path, f"{dataset.name} {category}: pasted defects, seed {seed}", ordered)
    return [row.label for row in ordered]


def _kinds(dataset: Dataset, category: str, kinds: Sequence[str] | None) -> list[str]:
    """The kinds that are asked for, checked, or all that suit the category."""
    for kind in kinds or ():
        lookup(KINDS, "kind of defect", kind)
    present = dataset.modalities(category)
    if not isinstance(dataset, RasterDataset):
        raise DataError(
            f"{dataset.name} has unorganized clouds, without pixels to paste defects into.",
            hint="lsfa data list says which data sets have images and organized clouds.",
        )
    suiting = kinds_for(image="rgb" in present, scan="xyz" in present)
    unsuited = [kind for kind in kinds or () if kind not in suiting]
    if unsuited:
        raise DataError(
            f"{dataset.name} {category} has no images, and {unsuited[0]} shows in images alone.",
            hint=f"Kinds for it: {', '.join(suiting)}.",
        )
    return suiting if kinds is None else list(dict.fromkeys(kinds))


def _row(version: PastedVersion) -> PastedRow:
    scene = version.scene()
    pasted = version.read(version.record)
    if pasted.mask is None:
        raise ValueError(f"{pasted.record.name} has no mask")
    window = _around(scene.part | pasted.mask)
    before, after = _look(scene.sample, window), _look(pasted, window)
    after = replace(after, mask=pasted.mask[window])
    return PastedRow(_label(scene, pasted, pasted.mask), before, after, scene.part[window])


def _label(scene: Scene, pasted: Sample, mask: BoolArray) -> str:
    """What was pasted, how large it is, and what became of the points."""
    original = scene.sample
    said = [f"{pasted.record.name}: {int(mask.sum()):,} pixels, {mask.sum() / scene.part.sum():.1%} of the part"]
    if pasted.xyz is None or pasted.valid is None or original.xyz is None or original.valid is None:
        return said[0]
    both = mask & pasted.valid & original.valid
    moved = np.linalg.norm(pasted.xyz[both].astype(np.float64) - original.xyz[both], axis=1)
    if moved.any():
        said.append(f"points moved up to {1000 * moved.max():.2g} mm")
    lost = int((original.valid & ~pasted.valid).sum())
    if lost:
        said.append(f"{lost:,} lost")
    return ", ".join(said)


def _look(sample: Sample, window: Window) -> Look:
    image = None if sample.rgb is None else sample.rgb[window]
    if sample.xyz is None or sample.valid is None:
        return Look(image, None, None)
    return Look(image, shade_depth(sample.xyz[window].transpose(2, 0, 1), sample.valid[window]), None)


def _around(shown: BoolArray) -> Window:
    """The smallest window that holds all of it, with a margin."""
    rows, columns = (np.flatnonzero(shown.any(axis=axis)) for axis in (1, 0))
    sides = []
    for found, length in zip((rows, columns), shown.shape, strict=True):
        margin = int(MARGIN * (found[-1] - found[0] + 1)) + 1
        sides.append(slice(max(int(found[0]) - margin, 0), min(int(found[-1]) + margin + 1, length)))
    return sides[0], sides[1]
