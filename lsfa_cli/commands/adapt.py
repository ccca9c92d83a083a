"""`lsfa adapt`."""

from lsfa_cli.commands.options import Categories, FeaturesFile, OutFile, Session, VariantName, with_settings
from lsfa_cli.commands.running import each_category, extracted_categories, require_single, tell, tell_next
from lsfa_cli.stages.making import Mode
from lsfa_cli.stages.places import places

EXAMPLES = "Example: lsfa adapt --category cookie --steps 200"


@with_settings("adapt", run=("data", "work"))
def command(
    session: Session,
    category: Categories = None,
    features: FeaturesFile = None,
    out: OutFile = None,
    variant: VariantName = "",
    rerun: bool = False,
    dry_run: bool = False,
) -> None:
    """Train the adaptors of each category on its good parts (adaptor.h5)."""
    settings = session.stage("adapt")
    categories = extracted_categories(session, category, features)
    require_single(categories, features=features, out=out)

    from lsfa_cli.stages.adapt import adapt

    def work(name: str) -> None:
        where = places(session.run.work, session.run.data, name, variant).named(features=features, adaptor=out)
        outcome = adapt(where.features, where.adaptor, settings, mode=Mode(rerun, dry_run), progress=session.console)
        tell(session, "adapt", name, outcome, variant)

    each_category(session, categories, work)
    tell_next(session, "adapt")
