"""`lsfa finetune`."""

from lsfa_cli.commands.options import Categories, OutFile, Session, with_settings
from lsfa_cli.commands.running import cache_folder, each_category, require_single, tell
from lsfa_cli.datasets import open_dataset
from lsfa_cli.stages.making import Mode
from lsfa_cli.stages.places import places

EXAMPLES = "Example: lsfa finetune --data mvtec3d --root DIR --category cookie --rgb-backbone resnet18 --how last_1"


@with_settings("finetune", "extract", run=("data", "root", "work", "cache", "jobs"))
def command(
    session: Session,
    category: Categories = None,
    out: OutFile = None,
    rerun: bool = False,
    dry_run: bool = False,
) -> None:
    """Train the backbones of each category on its good parts, with LSFA's losses and no adaptor (finetuned.h5).

    It goes from samples, so it takes the settings of extract too. Backbones without weights keep their features. Then
    lsfa extract --finetuned FILE makes features with the weights that were trained, for bank and score --no-adaptor.
    """
    settings, extraction = session.stage("finetune"), session.stage("extract")
    dataset = open_dataset(session.run.data, session.run.root, light=extraction.light)
    categories = list(category or dataset.categories())
    require_single(categories, out=out)

    from lsfa_cli.preprocessing.cache import SampleCache
    from lsfa_cli.stages.finetune import finetune_backbones

    cache = SampleCache(cache_folder(session))

    def work(name: str) -> None:
        where = places(session.run.work, session.run.data, name).named(finetuned=out).finetuned
        outcome = finetune_backbones(
            dataset,
            name,
            where,
            settings,
            extraction,
            cache=cache,
            jobs=session.run.jobs,
            mode=Mode(rerun, dry_run),
            progress=session.console,
        )
        tell(session, "finetune", name, outcome)
        session.console.say(f"next: lsfa extract --category {name} --finetuned {where}")

    each_category(session, categories, work)
