"""The demonstration: synthetic parts, all stages, with the baseline and the control beside the method."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lsfa_cli.artifacts.files import write_text
from lsfa_cli.datasets import open_dataset
from lsfa_cli.datasets.synthetic import generate
from lsfa_cli.preprocessing.cache import SampleCache
from lsfa_cli.settings import AdaptSettings, BankSettings, ExtractSettings, ReportSettings, ScoreSettings
from lsfa_cli.stages.making import Mode
from lsfa_cli.stages.pictures import write_pictures, write_sheet
from lsfa_cli.stages.places import BASELINE, CONTROL, places
from lsfa_cli.stages.progress import Progress, so_far
from lsfa_cli.stages.read_ahead import worker_count
from lsfa_cli.stages.report import Report, ScoresFile, report
from lsfa_cli.stages.run import Job, Step, baseline, control, method, run_category

CATEGORIES = ("fitting", "cover", "biscuit")

# Training as in METHOD 3 but for a smaller bank and fewer patches and steps, so that the whole takes a few minutes.
QUICK = AdaptSettings(steps=50, local_bank_size=8_000, patches_per_sample=256)


@dataclass(frozen=True)
class Sizes:
    """How many samples of each kind a category has."""

    train: int = 20
    validation: int = 4
    test_good: int = 12
    test_per_defect: int = 4


@dataclass(frozen=True)
class DemoPlaces:
    """Where the demonstration puts things, all inside one folder."""

    folder: Path

    @property
    def data(self) -> Path:
        """The synthetic parts, in the layout of MVTec 3D-AD."""
        return self.folder / "data"

    @property
    def work(self) -> Path:
        """The artifacts."""
        return self.folder / "lsfa-work"

    @property
    def pictures(self) -> Path:
        """Heat maps of telling cases, a folder a category."""
        return self.folder / "pictures"

    @property
    def sheet(self) -> Path:
        """The clearest defect of every category in one picture."""
        return self.pictures / "overview.png"

    @property
    def table(self) -> Path:
        """The results as a Markdown table."""
        return self.folder / "results.md"


def make_parts(
    where: DemoPlaces, categories: Sequence[str], sizes: Sizes, seed: int, jobs: int, progress: Progress
) -> None:
    """Generate the parts; those that are there already are left alone."""
    with progress.track("make synthetic parts", 100) as advance:
        percent = so_far(advance)
        generate(
            where.data,
            categories=categories,
            seed=seed,
            train=sizes.train,
            validation=sizes.validation,
            test_good=sizes.test_good,
            test_per_defect=sizes.test_per_defect,
            jobs=worker_count(jobs),
            progress=lambda made, total: percent(100 * made // total, 100),
        )


def run_demo(
    where: DemoPlaces, categories: Sequence[str], seed: int, jobs: int, progress: Progress
) -> Iterator[tuple[str, Step]]:
    """Run every stage on every category, for the method, the baseline and the untrained control."""
    adapt = QUICK.model_copy(update={"seed": seed})
    job = Job(
        open_dataset("synthetic", where.data),
        where.work,
        ExtractSettings(seed=seed),
        BankSettings(seed=seed),
        ScoreSettings(seed=seed),
        [baseline(), control(adapt), method(adapt)],
        SampleCache(where.folder / "cache"),
        jobs,
    )
    for category in categories:
        for step in run_category(job, category, Mode(), progress):
            yield category, step


def conclude(where: DemoPlaces, categories: Sequence[str], progress: Progress) -> Report:
    """Measure, and write the table and the pictures."""
    files = [
        ScoresFile.at(places(where.work, "synthetic", category, variant), variant)
        for category in categories
        for variant in (BASELINE, CONTROL, "")
    ]
    result = report(files, ReportSettings(), progress=progress)
    main = [file for file in files if file.variant == ""]
    write_pictures(main, where.pictures, progress=progress)
    write_sheet(main, where.sheet)
    write_text(where.table, result.text("markdown"))
    return result
