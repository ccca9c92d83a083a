"""What each stage that reads features will cost, and which settings need less memory."""

from collections.abc import Iterator

from lsfa_cli.artifacts.adaptor import CFM, LSFA, adaptor_method, has_adaptors
from lsfa_cli.artifacts.store import Artifact
from lsfa_cli.settings import AdaptSettings, BankSettings, ScoreSettings
from lsfa_cli.stages.costs import (
    Cost,
    Sizes,
    bank_cost,
    discriminator_cost,
    mapped_cost,
    method_cost,
    score_cost,
    training_cost,
)
from lsfa_cli.stages.estimates import Counted, Remedy


def foresee_adapt(category: str, sizes: Sizes, settings: AdaptSettings) -> Counted:
    """Training on one category."""

    def cost(changed: AdaptSettings) -> Cost:
        chosen = sizes.with_training(changed.train_samples).chosen(changed.modality)
        if changed.method != LSFA:
            return method_cost(chosen, changed)
        trained = training_cost(chosen, changed) if changed.trains_adaptors else Cost()
        return trained + discriminator_cost(chosen, changed) if changed.trains_discriminators else trained

    def remedies() -> Iterator[Remedy]:
        name = "batch_size" if settings.method == LSFA else f"{settings.method}_batch_size"
        size, changed = getattr(settings, name, 1), settings
        while size > 1:
            size //= 2
            changed = changed.model_copy(update={name: size})
            yield Remedy(f"--{name.replace('_', '-')} {size}", cost(changed))
        entries = changed.local_bank_size
        while settings.method == LSFA and entries > 1000:
            entries //= 2
            changed = changed.model_copy(update={"local_bank_size": entries})
            yield Remedy(f"--batch-size {size} --local-bank-size {entries}", cost(changed))

    return Counted(f"training on {category}", lambda: cost(settings), remedies)


def foresee_bank(
    category: str, sizes: Sizes, settings: BankSettings, *, adaptor: str | None, method: str | None
) -> Counted:
    """The banks of one category. adaptor: the name of LSFA's, None without one; method: what was trained, if any."""

    def cost(changed: BankSettings) -> Cost:
        chosen = sizes.with_training(changed.train_samples).chosen(changed.modality)
        if method == CFM:
            return mapped_cost(chosen, chosen.of("validation") or chosen.of("train"))
        return bank_cost(chosen, changed, adaptor=adaptor, method=method)

    def remedies() -> Iterator[Remedy]:
        changed = settings
        if settings.coreset == "all":
            changed = settings.model_copy(update={"coreset": "greedy"})
            yield Remedy("--coreset greedy", cost(changed))
        ratio = changed.coreset_ratio
        while ratio > 0.005:
            ratio /= 2
            yield Remedy(f"--coreset-ratio {ratio:.3g}", cost(changed.model_copy(update={"coreset_ratio": ratio})))
        samples = min(settings.train_samples or sizes.of("train"), sizes.of("train"))
        while samples > 1:
            samples //= 2
            yield Remedy(f"--train-samples {samples}", cost(changed.model_copy(update={"train_samples": samples})))

    return Counted(f"the bank of {category}", lambda: cost(settings), remedies)


def foresee_score(
    category: str,
    sizes: Sizes,
    settings: ScoreSettings,
    bank: BankSettings,
    *,
    adaptor: str | None,
    method: str | None,
) -> Counted:
    """Scoring one category against banks of the settings `bank`."""

    def cost(changed: ScoreSettings, entries: BankSettings) -> Cost:
        chosen = sizes.with_training(bank.train_samples).chosen(bank.modality).chosen(changed.modality)
        if method == CFM:
            return mapped_cost(chosen, chosen.of("test"))
        return score_cost(chosen, entries, adaptor=adaptor, method=method)

    def remedies() -> Iterator[Remedy]:
        ratio = bank.coreset_ratio
        while ratio > 0.005:
            ratio /= 2
            smaller = bank.model_copy(update={"coreset": "greedy", "coreset_ratio": ratio})
            yield Remedy(f"a smaller bank: lsfa bank --coreset-ratio {ratio:.3g}", cost(settings, smaller))

    return Counted(f"scoring {category}", lambda: cost(settings, bank), remedies)


def trained_as(adaptor: Artifact | None) -> dict[str, str | None]:
    """The keywords `adaptor` and `method` of an adaptor artifact, or of none."""
    if adaptor is None:
        return {"adaptor": None, "method": None}
    return {
        "adaptor": str(adaptor.settings["adaptor"]) if has_adaptors(adaptor) else None,
        "method": adaptor_method(adaptor),
    }


def bank_settings(bank: Artifact) -> BankSettings:
    """The settings that a bank artifact was made with, as far as those of this version have them."""
    known = {name: value for name, value in bank.settings.items() if name in BankSettings.model_fields}
    return BankSettings.model_validate(known)
