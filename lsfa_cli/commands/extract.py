"""`lsfa extract`."""

from lsfa_cli.commands.options import Categories, FinetunedFile, OutFile, Session, with_settings
from lsfa_cli.commands.running import cache_folder, each_category, require_single, tell, tell_next
from lsfa_cli.datasets import open_dataset
from lsfa_cli.stages.making import Mode
from lsfa_cli.stages.places import places

EXAMPLES = "Example: lsfa extract --data mvtec3d --root DIR --category cookie --rgb-backbone dino_vitb8"


@with_settings("extract", run=("data", "root", "work", "cache", "jobs"))
def command(
    session: Session,
    category: Categories = None,
    finetuned: FinetunedFile = None,
    out: OutFile = None,
    rerun: bool = False,
    dry_run: bool = False,
) -> None:
    """Read raw samples, preprocess them and write their patch features (features.h5)."""
    settings = session.stage("extract")
    dataset = open_dataset(session.run.data, session.run.root, light=settings.light)
    categories = list(category or dataset.categories())
    require_single(categories, out=out, finetuned=finetuned)

    from lsfa_cli.preprocessing.cache import SampleCache
    from lsfa_cli.stages.extract import extract

    cache = SampleCache(cache_folder(session))

    def work(name: str) -> None:
        outcome = extract(
            dataset,
            name,
            places(session.run.work, session.run.data, name).named(features=out).features,
            settings,
            cache=cache,
            jobs=session.run.jobs,
            finetuned=finetuned,
            mode=Mode(rerun, dry_run),
            progress=session.console,
        )
        tell(session, "extract", name, outcome)

    each_category(session, categories, work)
    tell_next(session, "extract")
