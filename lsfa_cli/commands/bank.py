"""`lsfa bank`."""

from lsfa_cli.commands.options import (
    AdaptorFile,
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

EXAMPLES = "Example: lsfa bank --category cookie --coreset-ratio 0.05"


@with_settings("bank", run=("data", "work", "search"))
def command(
    session: Session,
    category: Categories = None,
    features: FeaturesFile = None,
    adaptor_file: AdaptorFile = None,
    out: OutFile = None,
    no_adaptor: NoAdaptor = False,
    variant: VariantName = "",
    rerun: bool = False,
    dry_run: bool = False,
) -> None:
    """Choose the memory banks of each category and calibrate them on normal parts (bank.h5).

    Without an adaptor the bank is PatchCore's, the baseline.
    """
    settings = session.stage("bank")
    refuse_both(no_adaptor, adaptor_file)
    categories = extracted_categories(session, category, features)
    require_single(categories, features=features, adaptor_file=adaptor_file, out=out)
    variant = variant or (BASELINE if no_adaptor else "")

    from lsfa_cli.stages.bank import bank

    def work(name: str) -> None:
        where = places(session.run.work, session.run.data, name, variant).named(
            features=features, adaptor=adaptor_file, bank=out
        )
        adaptor = None if no_adaptor else where.adaptor
        if adaptor is not None and adaptor_file is None and not adaptor.is_file():
            session.console.warn(f"{name}: no adaptor at {adaptor}; the bank is the PatchCore baseline (lsfa adapt)")
            adaptor = None
        outcome = bank(
            where.features,
            adaptor,
            where.bank,
            settings,
            search=session.run.search,
            mode=Mode(rerun, dry_run),
            progress=session.console,
        )
        tell(session, "bank", name, outcome, variant)

    each_category(session, categories, work)
    tell_next(session, "bank")
