"""What training through the backbones is said to take, counted by hand from times that are given."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from lsfa_cli.backbones import load_backbone
from lsfa_cli.backbones.base import Backbone
from lsfa_cli.errors import UsageError
from lsfa_cli.settings import FinetuneSettings
from lsfa_cli.stages import estimates, sampled_training
from lsfa_cli.stages.estimates import START_SECONDS, Estimate
from lsfa_cli.stages.sampled import SampledRasters
from lsfa_cli.stages.sampled_training import SampledTraining
from tests.finetuning_parts import SIZE, prepared, rgb_backbone
from tests.stages.test_costs import PAPER


class Rasters:
    """Five samples whose reading takes 100 s and a hundredth of it, as `SampledRasters` would measure."""

    def __init__(self, backbone: Backbone) -> None:
        self.records = [sample.record for sample in prepared(5)]
        self._backbone = backbone

    def load(self) -> list[Backbone]:
        return [self._backbone]

    def read(self, record: object) -> object:
        return prepared(1)[0]

    def estimate(self) -> Estimate:
        return Estimate(100.0, 1e8, PAPER, sample_seconds=1.0)


def given(work: Callable[[], Any]) -> tuple[float, Any]:
    """The work is done, and said to take 7 s."""
    return 7.0, work()


@pytest.mark.parametrize(
    ("settings", "seconds"),
    [
        # Before training and after each second of four steps the guard looks at 4 samples; the banks are filled with 5.
        ({"steps": 4, "batch_size": 2, "guard_interval": 2}, 100 + 3 * 4 + 5 + 4 * 2 * 7),
        ({"steps": 4, "batch_size": 2, "guard_interval": 2, "update": "alternating"}, 100 + 3 * 4 + 5 + 8 * 2 * 7),
        ({"steps": 4, "batch_size": 64, "guard_interval": 4}, 100 + 2 * 4 + 5 + 4 * 5 * 7),
        ({"steps": 0}, 100 + 4),
    ],
)
def test_steps_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], seconds: float
) -> None:
    monkeypatch.setattr(sampled_training, "timed", given)
    monkeypatch.setattr(sampled_training, "estimate", lambda cost: Estimate(START_SECONDS + 0.5, 6e9))
    rasters = cast(SampledRasters, Rasters(rgb_backbone(tmp_path)))
    found = SampledTraining(rasters, FinetuneSettings(**settings)).estimate()
    assert found.seconds == pytest.approx(seconds + 0.5)
    assert found.memory >= 6e9
    assert (found.sizes, found.sample_seconds) == (PAPER, 1.0)


def test_losses_and_banks_are_counted_beside_the_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampled_training, "timed", given)
    monkeypatch.setattr(estimates, "speed", lambda: estimates.Speed(1e12, 1e12))
    rasters = cast(SampledRasters, Rasters(rgb_backbone(tmp_path)))
    small, large = (
        SampledTraining(rasters, FinetuneSettings(steps=10, local_bank_size=size)).estimate() for size in (100, 50_000)
    )
    assert large.seconds > small.seconds
    assert large.memory > small.memory + 50_000 * 768 * 4


def test_a_backbone_without_weights_is_refused() -> None:
    rasters = cast(SampledRasters, Rasters(load_backbone("texture", image_size=SIZE)))
    with pytest.raises(UsageError, match="nothing to train"):
        SampledTraining(rasters, FinetuneSettings()).estimate()
