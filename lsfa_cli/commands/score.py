"""`lsfa score`."""

from lsfa_cli.commands.options import (
    AdaptorFile,
    BankFile,
    Categories,
    FeaturesFile,
    NoAdaptor,
    OutFile,
    Session,
    VariantName,
    with_settings,
)
from lsfa_cli.commands.running import each_category, extracted_categories, refuse_both, require_single, tell, tell_next
from lsfa_cli.stages.making import Mode
from lsfa_cli.stages.places import BASELINE, places

EXAMPLES = "Example: lsfa score --category cookie --fusion average_raw"


@with_settings("score", run=("data", "work", "search"))
def command(
    session: Session,
    category: Categories = None,
    features: FeaturesFile = None,
    adaptor_file: AdaptorFile = None,
    bank: BankFile = None,
    out: OutFile = None,
    no_adaptor: NoAdaptor = False,
    variant: VariantName = "",
    rerun: bool = False,
    dry_run: bool = False,
) -> None:
    """Score the test samples of each category: image scores and anomaly maps (scores.h5)."""
    settings = session.stage("score")
    refuse_both(no_adaptor, adaptor_file)
    categories = extracted_categories(session, category, features)
    require_single(categories, features=features, adaptor_file=adaptor_file, bank=bank, out=out)
    variant = variant or (BASELINE if no_adaptor else "")

    from lsfa_cli.stages.score import score

    def work(name: str) -> None:
        where = places(session.run.work, session.run.data, name, variant).named(
            features=features, adaptor=adaptor_file, bank=bank, scores=out
        )
        outcome = score(
            where.features,
            None if no_adaptor else where.adaptor,
            where.bank,
            where.scores,
            settings,
            search=session.run.search,
            mode=Mode(rerun, dry_run),
            progress=session.console,
        )
        tell(session, "score", name, outcome, variant)

    each_category(session, categories, work)
    tell_next(session, "score")
