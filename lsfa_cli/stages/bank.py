"""Bank: choose the memory banks of one category and calibrate them on normal samples (METHOD 4)."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lsfa_cli.artifacts.adaptor import CFM, UFF, adaptor_method
from lsfa_cli.artifacts.bank import BankData, write_bank, write_normal
from lsfa_cli.artifacts.features import Features, open_features
from lsfa_cli.artifacts.store import Artifact, ArtifactWriter
from lsfa_cli.coreset import coreset_count, greedy_coreset, random_coreset, random_projection
from lsfa_cli.errors import DataError
from lsfa_cli.fusion import fit_one_class, score_statistics
from lsfa_cli.maps import score_maps
from lsfa_cli.memory_bank import MemoryBank
from lsfa_cli.samples import MODALITIES, Split
from lsfa_cli.searches import search_of
from lsfa_cli.settings import BankSettings
from lsfa_cli.stages.adapted import PatchSplit, SplitScores, fitted_adaptors, open_adaptor, score_split
from lsfa_cli.stages.costs import sizes_of
from lsfa_cli.stages.crossmodal import write_calibration
from lsfa_cli.stages.discriminators import Judging, fitted_discriminators, write_calibrated
from lsfa_cli.stages.foresee import foresee_bank, trained_as
from lsfa_cli.stages.making import Mode, Outcome, make
from lsfa_cli.stages.methods import require_modalities
from lsfa_cli.stages.progress import Progress, so_far
from lsfa_cli.stages.recorded import device_of, recorded
from lsfa_cli.stages.third_bank import bank_splits, third_bank
from lsfa_cli.standardisation import Standardisation


def bank(
    features_file: Path,
    adaptor_file: Path | None,
    out: Path,
    settings: BankSettings,
    *,
    search: str = "own",
    mode: Mode = Mode(),
    progress: Progress | None = None,
) -> Outcome:
    """Make the bank artifact. Without an adaptor it is the PatchCore baseline: standardised features only.

    search: the name of what finds nearest entries (`lsfa_cli.searches`); the result does not depend on it.
    """
    with open_features(features_file) as features, open_adaptor(adaptor_file, features) as adaptor:
        features.limit_training(settings.train_samples, settings.seed)
        inputs = {"features": features.artifact.content_hash}
        if adaptor is not None:
            inputs["adaptor"] = adaptor.content_hash
            require_modalities(features, adaptor_method(adaptor), settings.modality)

        def write(writer: ArtifactWriter, progress: Progress) -> str:
            if adaptor is not None and adaptor_method(adaptor) == CFM:
                return write_calibration(features, adaptor, settings, writer, progress)
            return _Building(features, adaptor, settings, search, writer, progress).run()

        return make(
            out,
            "bank",
            settings=recorded("bank", settings, device=device_of(settings.device)),
            inputs=inputs,
            write=write,
            mode=mode,
            progress=progress,
            foreseen=foresee_bank(features.category, sizes_of(features), settings, **trained_as(adaptor)),
        )


class _Building:
    """The steps of building one category's banks, which share the open artifacts."""

    def __init__(
        self,
        features: Features,
        adaptor: Artifact | None,
        settings: BankSettings,
        search: str,
        writer: ArtifactWriter,
        progress: Progress,
    ) -> None:
        self._features, self._settings, self._writer, self._progress = features, settings, writer, progress
        modalities = features.modalities(settings.modality)
        if settings.rgb_foreground and "xyz" not in features.split("train").modalities:
            raise DataError(
                f"{features.artifact.path} has no 3D features, and --rgb-foreground needs their valid patches",
                hint="Run: lsfa extract --modality both",
            )
        if settings.rgb_foreground and "rgb" not in modalities:
            progress.warn("no image patches: rgb_foreground changes nothing")
        device = self._device = device_of(settings.device)
        self._search = search_of(search, device)
        self._adaptors = fitted_adaptors(features, adaptor, modalities, device)
        self._third = third_bank(features, adaptor, device)
        self._discriminators = fitted_discriminators(adaptor, modalities, device)
        # normal samples: the validation split, or training samples scored without their own patches
        self._calibration: Split = "validation" if features.has("validation") else "train"

    def run(self) -> str:
        self._writer.attribute("category", self._features.category)
        self._writer.attribute("calibration", self._calibration)
        normal: dict[str, SplitScores] = {}
        training: dict[str, SplitScores] = {}
        sizes = []
        for name in (*self._adaptors, *([self._third.name] if self._third else [])):
            entries, indices, owners = self._choose(name)
            memory = MemoryBank(entries, self._search)
            leave_out = owners if self._calibration == "train" else None
            normal[name] = self._score(self._calibration, name, memory, leave_out)
            if self._settings.ocsvm:
                training[name] = self._score("train", name, memory, None)
            write_bank(self._writer, name, self._bank_data(name, entries, indices, normal[name]))
            sizes.append(f"{name} {len(entries):,} of {self._total(name):,} patches")
        names = self._features.split(self._calibration).names
        images = {name: scores.image for name, scores in normal.items()}
        write_normal(self._writer, names, images | self._calibrate_discriminators())
        if len(training) > 1:
            self._write_one_class(training)
        elif self._settings.ocsvm:
            self._progress.warn("one modality alone: no one-class SVM, its own score is the result")
        return ", ".join(sizes)

    def _calibrate_discriminators(self) -> dict[str, NDArray[np.float64]]:
        """Image scores of the normal samples by name, of discriminators of pasted defects, where there are any."""
        if self._discriminators and self._calibration == "train":
            self._progress.warn("no validation samples: discriminators are calibrated on what they learned from")
        images: dict[str, NDArray[np.float64]] = {}
        for modality, discriminator in self._discriminators.items():
            foreground, sigma = self._settings.rgb_foreground, self._settings.blur_sigma
            judging = Judging(self._features, modality, discriminator, foreground, sigma)
            images |= write_calibrated(self._writer, judging, self._calibration, self._progress)
        return images

    def _split(self, split: Split, name: str) -> PatchSplit:
        samples = self._features.split(split)
        return bank_splits(samples, self._adaptors, self._third, foreground=self._settings.rgb_foreground)[name]

    def _total(self, name: str) -> int:
        return int(self._split("train", name).counts().sum())

    def _choose(self, name: str) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
        """The bank's entries (M, D), which training patches they are (M,), and of which sample (M,)."""
        split = self._split("train", name)
        ends = np.cumsum(split.counts())
        total = int(ends[-1])
        if total == 0:
            raise DataError(f"{self._features.category}: no {name} patch of any training sample touches the part")
        indices = self._coreset(split, total, name)
        owners = np.searchsorted(ends, indices, side="right").astype(np.int64)
        entries = np.empty((len(indices), 0), dtype=np.float32)
        for sample in np.unique(owners):
            chosen = owners == sample
            values = split[int(sample)].values
            if entries.shape[1] == 0:
                entries = np.empty((len(indices), values.shape[1]), dtype=np.float32)
            start = ends[sample - 1] if sample else 0
            entries[chosen] = values[indices[chosen] - start]
        return entries, indices, owners

    def _coreset(self, split: PatchSplit, total: int, name: str) -> NDArray[np.int64]:
        if self._settings.coreset == "all":
            return np.arange(total, dtype=np.int64)
        count = coreset_count(total, self._settings.coreset_ratio)
        if self._settings.coreset == "random":
            return random_coreset(total, count, self._settings.seed)
        points = self._projected(split, total)
        with self._progress.track(f"coreset {self._features.category} {name}", count) as advance:
            return greedy_coreset(points, count, device=self._device, progress=so_far(advance))

    def _projected(self, split: PatchSplit, total: int) -> NDArray[np.float32]:
        """All training patches in the few dimensions in which the coreset is chosen; whole they never lie together."""
        points: NDArray[np.float32] | None = None
        start = 0
        project = None
        for index in range(len(split)):
            values = split[index].values
            if points is None:
                project = random_projection(total, values.shape[1], self._settings.seed)
                points = np.empty((total, project(values[:1]).shape[1]), dtype=np.float32)
            if project is not None:
                points[start : start + len(values)] = project(values)
            start += len(values)
        if points is None:
            raise DataError(f"{self._features.category}: no training samples")
        return points

    def _score(self, split_name: Split, name: str, memory: MemoryBank, owners: NDArray[np.int64] | None) -> SplitScores:
        split = self._split(split_name, name)
        what = f"calibrate {self._features.category} {name}"
        with self._progress.track(what, len(split)) as advance:
            return score_split(split, memory, advance, owners=owners)

    def _maps(self, scores: SplitScores) -> NDArray[np.float32]:
        """What the scores of pixels are compared with: maps (n, S, S); of clouds, the scores of all groups (1, V)."""
        if self._features.is_cloud:
            return np.concatenate(scores.patches)[None]
        return score_maps(np.stack(scores.patches), size=self._features.image_size, sigma=self._settings.blur_sigma)

    def _bank_data(
        self, name: str, entries: NDArray[np.float32], indices: NDArray[np.int64], normal: SplitScores
    ) -> BankData:
        # A third bank's features are taken as they are.
        standardisation = {str(modality): adaptor.standardisation for modality, adaptor in self._adaptors.items()}
        return BankData(
            entries,
            indices,
            standardisation.get(name, Standardisation(0.0, 1.0)),
            score_statistics(normal.image),
            score_statistics(self._maps(normal)),
        )

    def _write_one_class(self, training: Mapping[str, SplitScores]) -> None:
        """M3DM's classifiers: fitted on all training samples against the bank that holds their own patches."""
        scores = [training[name] for name in (*MODALITIES, UFF) if name in training]
        image = fit_one_class(*(one.image for one in scores))
        pixels = fit_one_class(*(self._maps(one).reshape(-1) for one in scores))
        for name, model in (("image", image), ("map", pixels)):
            self._writer.write(f"one_class/{name}", (*model.weights, model.offset))
