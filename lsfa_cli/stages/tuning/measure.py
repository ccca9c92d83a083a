"""How well sources together find pasted defects of kinds that nobody learned from, for `lsfa tune`.

Of one candidate, category and fold: every group of kinds that is left out has its own figures, of its pasted samples
beside all normal validation samples. Sources are put together as `score` does it.
"""

import contextlib
import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lsfa_cli.artifacts.features import Features, open_features
from lsfa_cli.artifacts.figures import write_figure
from lsfa_cli.artifacts.judged import NORMAL, PASTED, judging_sources, read_image, read_one_class, read_patches
from lsfa_cli.artifacts.pasted import PastedFeatures
from lsfa_cli.artifacts.store import Artifact, ArtifactWriter, open_artifact
from lsfa_cli.discriminator import image_scores
from lsfa_cli.errors import DataError, UndefinedMetricError, UsageError
from lsfa_cli.fusion import LinearOneClass, ScoreStatistics, average, average_raw, one_class_score, score_statistics
from lsfa_cli.maps import score_maps
from lsfa_cli.metrics import aupro, image_auroc
from lsfa_cli.resampling import Auroc, RegionOverlap, aupro_sums, image_auroc_sums
from lsfa_cli.samples import BoolArray
from lsfa_cli.settings import BankSettings, ScoreSettings
from lsfa_cli.source_weights import shares

I_AUROC, AUPRO = "i_auroc", "aupro"
METRICS = (I_AUROC, AUPRO)


@dataclass(frozen=True)
class Samples:
    """The samples that a unit is measured on: normal ones, then their pasted versions whose defect can be seen.

    names: n of them. labels: (n,), 1 on pasted ones. owners: (n,), the normal sample that each is or was made from.
    groups: of each group that is there, which samples are measured for it (n,): the normal ones and its own.
    shown: (p,), which of all p pasted versions these are. masks: (n, S, S).
    """

    names: Sequence[str]
    labels: NDArray[np.uint8]
    owners: NDArray[np.int64]
    groups: Mapping[str, BoolArray]
    shown: BoolArray
    masks: BoolArray


def samples_of(features: Features, groups: Mapping[str, Sequence[str]]) -> Samples:
    """The samples of a features artifact. groups: the kinds of defects of each.

    Raises DataError where no group has a sample whose defect can be seen.
    """
    normal, pasted = features.split("validation"), PastedFeatures(features, "validation")
    masks = np.stack([pasted.mask(index) for index in range(len(pasted))])
    grouped = {kind for kinds in groups.values() for kind in kinds}
    # Preprocessing may have removed a defect, and a kind may be in no group: then there is nothing to find.
    shown = masks.any(axis=(1, 2)) & np.array([kind in grouped for kind in pasted.defects])
    count = len(normal)
    kinds = np.array(pasted.defects)[shown]
    chosen = {name: np.concatenate([np.ones(count, dtype=bool), np.isin(kinds, own)]) for name, own in groups.items()}
    chosen = {name: own for name, own in chosen.items() if own[count:].any()}
    if not chosen:
        raise DataError(
            f"{features.category}: no pasted validation sample has a defect of a kind that is left out",
            hint="Paste more versions: lsfa tune --pasted 8, or check the groups of the space.",
        )
    return Samples(
        [*normal.names, *(name for name, there in zip(pasted.names, shown, strict=True) if there)],
        np.repeat(np.array([0, 1], dtype=np.uint8), [count, int(shown.sum())]),
        np.concatenate([np.arange(count), pasted.originals[shown]]),
        chosen,
        shown,
        np.concatenate([np.zeros((count, *masks.shape[1:]), dtype=bool), masks[shown]]),
    )


class SourceScores(NamedTuple):
    """What one source says of some samples, and the statistics of it on normal samples.

    image: (m,). maps: (m, S, S).
    """

    image: NDArray[np.float64]
    maps: NDArray[np.float32]
    image_statistics: ScoreStatistics
    map_statistics: ScoreStatistics


def source_scores(
    judged: Artifact, source: str, samples: Samples, chosen: BoolArray, *, size: int, sigma: float
) -> SourceScores:
    """What a source says of the `chosen` (n,) of the samples, all normal ones among them."""
    patches = np.concatenate(
        [read_patches(judged, NORMAL, source), read_patches(judged, PASTED, source)[samples.shown]]
    )[chosen]
    maps = score_maps(patches, size=size, sigma=sigma)
    normal, pasted = read_image(judged, NORMAL, source), read_image(judged, PASTED, source)
    if normal is None or pasted is None:
        image = image_scores(maps)
    else:
        image = np.concatenate([normal, pasted[samples.shown]])[chosen]
    count = int((samples.labels == 0).sum())
    return SourceScores(image, maps, score_statistics(image[:count]), score_statistics(maps[:count]))


class Judgements(NamedTuple):
    """The judged artifacts of a candidate and unit: banks, None where they are not asked; discriminators by group."""

    banks: Path | None
    discriminators: Mapping[str, Path]

    def of(self, group: str) -> list[Path]:
        """Those that count where a group is left out."""
        found = [] if self.banks is None else [self.banks]
        return [*found, *([self.discriminators[group]] if group in self.discriminators else [])]


@dataclass(frozen=True)
class Measuring:
    """How a candidate is measured. bank: for blur; score: for fusion and weights."""

    judgements: Judgements
    bank: BankSettings
    score: ScoreSettings

    def group(self, samples: Samples, group: str, size: int) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """Image scores (m,) and maps (m, S, S) of the samples of a group, all sources together. size: S."""
        found = self.sources(samples, group, size)
        return self._fused(found, "image"), self._fused(found, "map")

    def sources(self, samples: Samples, group: str, size: int) -> dict[str, SourceScores]:
        """What each source says of the samples of a group, the banks first. size: S."""
        found: dict[str, SourceScores] = {}
        for path in self.judgements.of(group):
            with open_artifact(path, "judged") as judged:
                for source in judging_sources(judged):
                    found[source] = source_scores(
                        judged, source, samples, samples.groups[group], size=size, sigma=self.bank.blur_sigma
                    )
        return found

    def _fused(self, found: Mapping[str, SourceScores], kind: str) -> NDArray[np.floating]:
        scores = {name: one.image if kind == "image" else one.maps for name, one in found.items()}
        # Other fusions are of banks alone, and of two of them.
        if self.judgements.discriminators or len(scores) == 1 or self.score.fusion == "average":
            statistics = {
                name: one.image_statistics if kind == "image" else one.map_statistics for name, one in found.items()
            }
            weights = getattr(self.score.weights, kind)
            return average(scores, statistics, shares(weights, scores) if weights else None)
        if self.score.fusion == "average_raw":
            return average_raw(scores)
        return one_class_score(self._one_class(kind), scores["rgb"], scores["xyz"])

    def _one_class(self, kind: str) -> LinearOneClass:
        """The one-class SVM of the banks. Raises UsageError where they were made without."""
        if self.judgements.banks is not None:
            with open_artifact(self.judgements.banks, "judged") as judged:
                if (row := read_one_class(judged, kind)) is not None:
                    return LinearOneClass(tuple(row[:-1]), float(row[-1]))
        raise UsageError("--fusion ocsvm needs a one-class SVM", hint="Give the candidate bank = { ocsvm = true }.")


def write_figures(
    writer: ArtifactWriter, features_file: Path, groups: Mapping[str, Sequence[str]], how: Measuring
) -> None:
    """Write the figures of a candidate and unit, of every group."""
    with open_features(features_file) as features:
        samples, size = samples_of(features, groups), features.image_size
        writer.attribute("dataset", features.dataset)
        writer.attribute("category", features.category)
        writer.attribute("backbones", features.artifact.attributes["backbones"])
    writer.attribute("remarks", json.dumps([]))
    writer.write("names", samples.names)
    writer.write("labels", samples.labels)
    writer.write("owners", samples.owners)
    for group, chosen in samples.groups.items():
        image, maps = how.group(samples, group, size)
        for metric, value, sums in _figures(image, maps, samples.labels[chosen], samples.masks[chosen]):
            spread = sums.among(chosen)
            arrays = {field.name: getattr(spread, field.name) for field in dataclasses.fields(spread)}
            arrays.pop("limit", None)
            write_figure(writer, group, metric, value, arrays)


def _figures(
    image: NDArray[np.floating], maps: NDArray[np.floating], labels: NDArray[np.uint8], masks: BoolArray
) -> Iterator[tuple[str, float, Auroc | RegionOverlap]]:
    with contextlib.suppress(UndefinedMetricError):
        yield I_AUROC, image_auroc(image, labels), image_auroc_sums(image, labels)
    with contextlib.suppress(UndefinedMetricError):
        yield AUPRO, aupro(maps, masks), aupro_sums(maps, masks)
