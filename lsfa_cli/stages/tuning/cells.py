"""The cells of `lsfa tune`: one candidate on one category and fold, made of pieces that candidates share.

A piece is a file: features, what banks say, what discriminators say where a group of kinds was left out, figures. Each
appears whole or not at all, and is named by the settings that it depends on, so that a run that was stopped, or is
started with further candidates, makes only what is not there.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from lsfa_cli.artifacts.features import open_features
from lsfa_cli.artifacts.lineage import why_outdated
from lsfa_cli.artifacts.store import canonical_json, create
from lsfa_cli.datasets.base import RasterDataset
from lsfa_cli.datasets.held_out import HeldOut, HoldOut
from lsfa_cli.errors import UsageError
from lsfa_cli.preprocessing.cache import SampleCache
from lsfa_cli.settings import AdaptSettings, content_of
from lsfa_cli.stages.discriminators import left_out
from lsfa_cli.stages.extract import extract
from lsfa_cli.stages.making import Mode
from lsfa_cli.stages.progress import Progress
from lsfa_cli.stages.recorded import device_of, recorded
from lsfa_cli.stages.studying.cells import Settings
from lsfa_cli.stages.tuning.measure import Judgements, Measuring, write_figures
from lsfa_cli.stages.tuning.sources import (
    adaptor_settings,
    bank_part,
    discriminator_settings,
    is_judged,
    judge_banks,
    judge_discriminators,
    recorded_banks,
    recorded_discriminators,
)
from lsfa_cli.studies import StudyVariant

FOLDER = "tune"
FIGURES_VERSION = 1
"""Raised when the same scores give other figures."""

What = Literal["features", "banks", "discriminators", "figures"]


@dataclass(frozen=True)
class Around:
    """What all cells share. groups: kinds of defects that are left out together, by the name of the group."""

    dataset: RasterDataset
    work: Path
    cache: SampleCache
    hold_out: HoldOut
    groups: Mapping[str, Sequence[str]]
    jobs: int = 0


@dataclass(frozen=True)
class Unit:
    """One category and fold: which samples train and which are measured. Its folder holds all of its files."""

    category: str
    fold: int
    dataset: HeldOut
    folder: Path

    def __str__(self) -> str:
        return f"{self.category}, fold {self.fold + 1}"


@dataclass(frozen=True)
class Piece:
    """One file of a cell. key: the file, which says all that it depends on."""

    what: What
    path: Path
    is_there: Callable[[], bool]
    make: Callable[[Progress], None]


@dataclass(frozen=True)
class Cell:
    """A candidate on a unit: its settings, and the files that it is made of, in order; the last are the figures."""

    candidate: str
    unit: Unit
    settings: Settings
    features: Path
    judgements: Judgements
    pieces: Sequence[Piece] = field(repr=False)

    @property
    def figures(self) -> Path:
        """The figures artifact."""
        return self.pieces[-1].path

    @property
    def measuring(self) -> Measuring:
        """How its figures are measured."""
        return Measuring(self.judgements, self.settings.bank, self.settings.score)

    def __str__(self) -> str:
        return f"{self.unit}, {self.candidate}"


def units(around: Around, categories: Sequence[str], seed: int) -> list[Unit]:
    """Every category and fold, the first fold of all categories first. seed: of the training, one more a fold.

    A fold's folder does not depend on how many folds there are: more of them can be added later.
    """
    found = []
    for fold in range(around.hold_out.folds):
        for category in categories:
            held = {
                "share": around.hold_out.share,
                "fold": fold,
                "seed": around.hold_out.seed,
                "training_seed": seed + fold,
            }
            folder = around.work / around.dataset.name / category / FOLDER / _name(held)
            found.append(Unit(category, fold, HeldOut(around.dataset, around.hold_out, fold), folder))
    return found


def cell(around: Around, unit: Unit, candidate: StudyVariant, base: Settings, seed: int) -> Cell:
    """The cell of a candidate. Raises DataError or UsageError for settings that cannot be tuned."""
    settings = base.of(candidate, seed + unit.fold)
    adapt, score = settings.adapt, settings.score
    if adapt is not None and adapt.method != "lsfa":
        raise UsageError(
            f"candidate {candidate.name}: lsfa tune measures LSFA's banks and discriminators, not --method "
            f"{adapt.method}",
            hint="Compare methods on test samples: lsfa study methods",
        )
    extracted = content_of(settings.extract)
    features = unit.folder / f"features-{_name(extracted)}" / "features.h5"
    making = _Making(around, unit, settings, features, extracted)
    banks = making.banks() if score.sources != "pasted" else None
    trains = adapt is not None and adapt.trains_discriminators and score.sources != "bank"
    discriminators = {group: making.discriminators(adapt, group) for group in around.groups} if adapt and trains else {}
    if banks is None and not discriminators:
        raise UsageError(
            f"candidate {candidate.name}: --sources pasted needs discriminators",
            hint='Give it adapt = { objective = "pasted" }.',
        )
    judgements = Judgements(
        None if banks is None else banks.path, {group: piece.path for group, piece in discriminators.items()}
    )
    pieces = [making.features_piece(), *([] if banks is None else [banks]), *discriminators.values()]
    return Cell(candidate.name, unit, settings, features, judgements, [*pieces, making.figures(judgements)])


@dataclass(frozen=True)
class _Making:
    """How the pieces of one cell are made. extracted: the settings of extraction, which name them too."""

    around: Around
    unit: Unit
    settings: Settings
    features: Path
    extracted: Mapping[str, Any]

    def features_piece(self) -> Piece:
        """The features, with pasted versions."""

        def run(mode: Mode, progress: Progress | None) -> str:
            return extract(
                self.unit.dataset,
                self.unit.category,
                self.features,
                self.settings.extract,
                cache=self.around.cache,
                jobs=self.around.jobs,
                mode=mode,
                progress=progress,
            ).state

        checking = Mode(dry_run=True, estimates=False)

        def make(progress: Progress) -> None:
            run(Mode(), progress)

        return Piece("features", self.features, lambda: run(checking, None) == "up to date", make)

    def banks(self) -> Piece:
        """What the banks say."""
        adaptor, settings = adaptor_settings(self.settings.adapt), bank_part(self.settings.bank)
        made_with = recorded_banks(adaptor, settings)
        out = self._file("banks", made_with, "judged.h5")
        adaptor_file = out if adaptor is None else self._adaptor(adaptor)
        return Piece(
            "banks",
            out,
            lambda: is_judged(out, self.features, made_with),
            lambda progress: judge_banks(self.features, adaptor_file, out, adaptor, settings, progress),
        )

    def discriminators(self, adapt: AdaptSettings, group: str) -> Piece:
        """What discriminators say that did not learn from the kinds of a group."""
        kinds = [*left_out(adapt), *self.around.groups[group]]
        adaptor, foreground = discriminator_settings(adapt, kinds), self.settings.bank.rgb_foreground
        made_with = recorded_discriminators(adaptor, foreground=foreground)
        out = self._file("discriminators", made_with, "judged.h5")

        def make(progress: Progress) -> None:
            judge_discriminators(self.features, self._adaptor(adaptor), out, adaptor, progress, foreground=foreground)

        return Piece("discriminators", out, lambda: is_judged(out, self.features, made_with), make)

    def figures(self, judgements: Judgements) -> Piece:
        """The figures of the candidate."""
        made_with: dict[str, Any] = {
            "figures_version": FIGURES_VERSION,
            "groups": {name: list(kinds) for name, kinds in self.around.groups.items()},
        }
        for stage in ("adapt", "bank", "score"):
            model = getattr(self.settings, stage)
            made_with[stage] = None if model is None else recorded(stage, model, device=device_of(model.device))
        out = self._file("figures", made_with, "figures.h5")
        how = Measuring(judgements, self.settings.bank, self.settings.score)

        def inputs() -> dict[str, str]:
            with open_features(self.features) as opened:
                return {"features": opened.artifact.content_hash}

        def make(progress: Progress) -> None:
            with create(out, "figures", settings=made_with, inputs=inputs()) as writer:
                write_figures(writer, self.features, self.around.groups, how)

        return Piece(
            "figures",
            out,
            lambda: (
                self.features.is_file() and why_outdated(out, "figures", settings=made_with, inputs=inputs()) is None
            ),
            make,
        )

    def _adaptor(self, settings: AdaptSettings) -> Path:
        made_with = recorded("adapt", settings, device=device_of(settings.device))
        return self._file("adaptor", made_with, "adaptor.h5")

    def _file(self, what: str, made_with: Mapping[str, Any], name: str) -> Path:
        return self.unit.folder / f"{what}-{_name({'extract': self.extracted, 'made': made_with})}" / name


def _name(content: Mapping[str, Any]) -> str:
    """A folder name for settings: equal for equal ones alone."""
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()[:16]


def pieces_of(cells: Sequence[Cell]) -> Iterator[Piece]:
    """The pieces of some cells, each once, in the order in which they are made."""
    seen: set[Path] = set()
    for one in cells:
        for piece in one.pieces:
            if piece.path not in seen:
                seen.add(piece.path)
                yield piece
