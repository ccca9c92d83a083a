"""Weighing of sources against figures measured directly."""

import numpy as np
import pytest

from lsfa_cli.metrics import aupro, image_auroc
from lsfa_cli.resampling import Resampling
from lsfa_cli.stages.tuning.weights import _Group, _Weighing

COUNT, SIDE = 6, 16


def made_up(seed: int) -> _Group:
    """Two normal and four pasted samples, seen by a source that finds defects and by one that does not."""
    random = np.random.default_rng(seed)
    masks = np.zeros((COUNT, SIDE, SIDE), dtype=bool)
    masks[2:, 3:9, 4:10] = True
    labels = np.repeat(np.array([0, 1], dtype=np.uint8), [2, 4])
    good, bad = random.normal(0, 1, masks.shape), random.normal(0, 1, masks.shape)
    return _Group(
        0,
        np.ones(COUNT, dtype=bool),
        {"rgb": random.normal(0, 0.5, COUNT) + labels, "rgb_pasted": random.normal(0, 3, COUNT)},
        {"rgb": good + 2 * masks, "rgb_pasted": bad},
        labels,
        masks,
    )


@pytest.fixture
def draws() -> Resampling:
    """Of samples that are each their own owner but for one."""
    owners = np.array([0, 1, 0, 1, 0, 1])
    return Resampling([np.repeat([0, 1], [2, 4])], 1, seed=0, resamples=50, owners=[owners])


@pytest.mark.parametrize("weights", [{}, {"rgb_bank": 1.0, "rgb_pasted": 0.5}, {"rgb_bank": 1.0, "rgb_pasted": 0.0}])
def test_figures_are_those_of_the_weighted_mean(draws: Resampling, weights: dict[str, float]) -> None:
    groups = [made_up(1), made_up(2)]
    own = weights or {"rgb_bank": 1.0, "rgb_pasted": 1.0}
    expected = {"i_auroc": [], "aupro": []}
    for group in groups:
        image, maps = (
            own["rgb_bank"] * found["rgb"] + own["rgb_pasted"] * found["rgb_pasted"]
            for found in (group.image, group.maps)
        )
        expected["i_auroc"].append(image_auroc(image, group.labels))
        expected["aupro"].append(aupro(maps, group.masks))
    for metric, values in expected.items():
        weighing = _Weighing(groups, [draws], metric)
        assert weighing.figure(weights) == pytest.approx(np.mean(values), abs=2e-3)
        means = weighing.means(weights)
        assert means.shape == (51,)
        assert means[0] == pytest.approx(weighing.figure(weights))


def test_a_group_without_a_defect_on_the_raster_has_no_part(draws: Resampling) -> None:
    whole, lost = made_up(1), made_up(2)
    lost.masks[:] = False
    both, alone = (_Weighing(groups, [draws], "aupro").figure({}) for groups in ([whole, lost], [whole]))
    assert both == alone
