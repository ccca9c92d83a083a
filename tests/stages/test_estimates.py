"""Estimates: text, memory that is too little, and the settings that fit."""

import pytest

from lsfa_cli.errors import ResourceError
from lsfa_cli.settings import AdaptSettings, BankSettings, ScoreSettings
from lsfa_cli.stages import estimates
from lsfa_cli.stages.costs import Cost, Sizes
from lsfa_cli.stages.estimates import Counted, Estimate, Remedy, Speed, speed
from lsfa_cli.stages.foresee import foresee_adapt, foresee_bank, foresee_score
from tests.stages.test_costs import PAPER


def test_text() -> None:
    assert str(Estimate(0.2, 823_900_000)) == "about 1 s, 823.9 MB of memory"
    assert str(Estimate(290, 1.26e9)) == "about 5 min, 1.3 GB of memory"
    assert str(Estimate(9000, 5e9)) == "about 2.5 h, 5.0 GB of memory"


def test_speed_is_measured_once() -> None:
    assert speed() is speed()
    assert speed().operations > 1e8
    assert speed().moved > 1e7


def test_time_is_arithmetic_and_traffic_and_memory_is_beside_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimates, "speed", lambda: Speed(100.0, 10.0))
    found = estimates.estimate(Cost(operations=500, moved=30, held=7e9))
    assert found.seconds == estimates.START_SECONDS + 5 + 3
    assert 7e9 < found.memory - estimates.peak_so_far() < 7.5e9


def counted(needed: float, *smaller: float) -> Counted:
    remedies = [Remedy(f"--smaller {place}", Cost(held=held)) for place, held in enumerate(smaller)]
    return Counted("the work", lambda: Cost(held=needed), lambda: remedies)


def test_too_little_memory_is_refused_with_the_first_setting_that_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimates, "available_memory", lambda: 2_000_000_000)
    counted(2e9).require()
    with pytest.raises(ResourceError) as refused:
        counted(3e9, 2.5e9, 1.5e9, 1e9).require()
    assert str(refused.value) == "the work needs 3.0 GB of memory, and 2.0 GB are free\nUse --smaller 1."
    with pytest.raises(ResourceError, match="Free memory"):
        counted(3e9, 2.5e9).require()
    monkeypatch.setattr(estimates, "available_memory", lambda: None)
    counted(1e30).require()


@pytest.mark.parametrize("free", [3e8, 4.5e8])
def test_what_the_hint_says_fits(free: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bank of the paper's size, the settings of the hint taken as they are printed."""
    monkeypatch.setattr(estimates, "available_memory", lambda: int(free))
    with pytest.raises(ResourceError) as refused:
        foresee_bank("lid", PAPER, BankSettings(), adaptor=None, method=None).require()
    option, value = str(refused.value.hint).removeprefix("Use ").removesuffix(".").split()
    name = option.removeprefix("--").replace("-", "_")
    changed = BankSettings.model_validate({name: float(value) if "." in value else int(value)})
    foresee_bank("lid", PAPER, changed, adaptor=None, method=None).require()


def test_every_stage_has_remedies(monkeypatch: pytest.MonkeyPatch) -> None:
    def hint(work: Counted, share: float) -> str:
        monkeypatch.setattr(estimates, "available_memory", lambda: int(share * work.cost().held))
        with pytest.raises(ResourceError) as refused:
            work.require()
        return str(refused.value.hint)

    assert hint(foresee_adapt("lid", PAPER, AdaptSettings()), 0.8) == "Use --batch-size 4."
    small_banks = foresee_adapt("lid", PAPER, AdaptSettings(batch_size=1))
    assert hint(small_banks, 0.85) == "Use --batch-size 1 --local-bank-size 25000."
    assert hint(foresee_adapt("lid", PAPER, AdaptSettings(method="uff")), 0.9) == "Use --uff-batch-size 8."
    everything = BankSettings(coreset="all")
    assert hint(foresee_bank("lid", PAPER, everything, adaptor=None, method=None), 0.5) == "Use --coreset greedy."
    searched = foresee_score("lid", PAPER, ScoreSettings(), everything, adaptor=None, method=None)
    assert hint(searched, 0.5) == "Use a smaller bank: lsfa bank --coreset-ratio 0.05."


@pytest.mark.parametrize("method", [None, "lsfa", "cfm", "uff", "btf"])
def test_every_method_is_counted_in_every_stage(method: str | None) -> None:
    adaptor = "encoder_1" if method == "lsfa" else None
    small = Sizes({"train": 3, "test": 2}, PAPER.patches, 224)
    for sizes in (small, PAPER):
        bank = foresee_bank("lid", sizes, BankSettings(), adaptor=adaptor, method=method).cost()
        score = foresee_score("lid", sizes, ScoreSettings(), BankSettings(), adaptor=adaptor, method=method).cost()
        assert min(bank.operations, bank.held, score.operations, score.held) > 0
