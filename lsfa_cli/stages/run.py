"""All stages of one category in order, for the method and what it is compared with."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lsfa_cli.artifacts.features import open_features
from lsfa_cli.datasets.base import Dataset
from lsfa_cli.preprocessing.cache import SampleCache
from lsfa_cli.settings import AdaptSettings, BankSettings, ExtractSettings, ScoreSettings
from lsfa_cli.stages.adapt import adapt
from lsfa_cli.stages.bank import bank
from lsfa_cli.stages.costs import sizes_of
from lsfa_cli.stages.extract import extract
from lsfa_cli.stages.foresee import foresee_adapt, foresee_bank, foresee_score
from lsfa_cli.stages.making import Mode, Outcome
from lsfa_cli.stages.places import BASELINE, CONTROL, Places, places
from lsfa_cli.stages.progress import Progress
from lsfa_cli.stages.score import score


@dataclass(frozen=True)
class Variant:
    """One way to make the scores. adapt: settings of its adaptor; None is the baseline, which has none."""

    name: str
    adapt: AdaptSettings | None


def method(settings: AdaptSettings) -> Variant:
    """The method itself."""
    return Variant("", settings)


def baseline() -> Variant:
    """PatchCore on standardised features."""
    return Variant(BASELINE, None)


def control(settings: AdaptSettings) -> Variant:
    """An adaptor that starts at random and is never trained: what a change of features alone does."""
    return Variant(CONTROL, settings.untrained())


@dataclass(frozen=True)
class Job:
    """What is the same for every category of a run."""

    dataset: Dataset
    work: Path
    extract: ExtractSettings
    bank: BankSettings
    score: ScoreSettings
    variants: Sequence[Variant]
    cache: SampleCache
    jobs: int = 0
    search: str = "own"


@dataclass(frozen=True)
class Step:
    """One stage that was run."""

    stage: str
    variant: str
    outcome: Outcome


def run_category(job: Job, category: str, mode: Mode, progress: Progress | None) -> Iterator[Step]:
    """Run extract, then adapt, bank and score for every variant; yields each step as it is done."""
    shared = places(job.work, job.dataset.name, category)
    extracted = extract(
        job.dataset,
        category,
        shared.features,
        job.extract,
        cache=job.cache,
        jobs=job.jobs,
        mode=mode,
        progress=progress,
    )
    yield Step("extract", "", extracted)
    for variant in job.variants:
        where = places(job.work, job.dataset.name, category, variant.name)
        waiting = extracted.state == "planned"
        for stage, out, work in _stages(job, variant, where, mode, progress):
            # in a dry run the inputs of later stages are not there to be compared
            outcome = _planned(job, category, variant, stage, out, extracted) if waiting else work()
            waiting = waiting or outcome.state == "planned"
            yield Step(stage, variant.name, outcome)


def _planned(job: Job, category: str, variant: Variant, stage: str, out: Path, extracted: Outcome) -> Outcome:
    """A stage of a dry run whose input is not there yet, or will be made anew."""
    if extracted.estimate is not None:
        sizes = extracted.estimate.sizes
    else:
        with open_features(extracted.path) as features:
            sizes = sizes_of(features)
    outcome = Outcome(out, "planned", "its input is made anew")
    if sizes is None:
        return outcome
    trained = {
        "adaptor": variant.adapt.adaptor if variant.adapt is not None and variant.adapt.trains_adaptors else None,
        "method": None if variant.adapt is None else variant.adapt.method,
    }
    if stage == "adapt" and variant.adapt is not None:
        foreseen = foresee_adapt(category, sizes, variant.adapt)
    elif stage == "bank":
        foreseen = foresee_bank(category, sizes, job.bank, **trained)
    else:
        foreseen = foresee_score(category, sizes, job.score, job.bank, **trained)
    foreseen.require()
    return replace(outcome, estimate=foreseen.estimate())


def _stages(
    job: Job, variant: Variant, where: Places, mode: Mode, progress: Progress | None
) -> list[tuple[str, Path, Callable[[], Outcome]]]:
    settings = variant.adapt
    adaptor = None if settings is None else where.adaptor
    stages: list[tuple[str, Path, Callable[[], Outcome]]] = []
    if settings is not None:
        stages.append(
            (
                "adapt",
                where.adaptor,
                lambda: adapt(where.features, where.adaptor, settings, mode=mode, progress=progress),
            )
        )
    stages.append(
        (
            "bank",
            where.bank,
            lambda: bank(
                where.features, adaptor, where.bank, job.bank, search=job.search, mode=mode, progress=progress
            ),
        )
    )
    stages.append(
        (
            "score",
            where.scores,
            lambda: score(
                where.features,
                adaptor,
                where.bank,
                where.scores,
                job.score,
                search=job.search,
                mode=mode,
                progress=progress,
            ),
        )
    )
    return stages
