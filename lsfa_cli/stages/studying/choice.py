"""What choosing a variant by its test figures would gain, measured on test samples that did not take part in it.

The best of many variants looks better than it is, because it was taken for the luck of these samples too. So variants
are compared on one half of the test samples, and the best of them is measured on the other.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from lsfa_cli.errors import DataError
from lsfa_cli.resampling import Halves
from lsfa_cli.stages.studying.figures import Key, Measured
from lsfa_cli.tables.results import MODALITY_ORDER, metric_title
from lsfa_cli.tables.studies import Estimate

_SHOWN = 3  # variants named in the note
_CLASS = 2  # samples of each class that two halves need


@dataclass(frozen=True)
class Choice:
    """The variant that was best on one half, measured on the other, in one modality.

    gain: its figure minus the baseline's, the mean over the splits and the range of 95 % of them. chosen: how often
    each variant was the best one, as a share of the splits, the most frequent first. The baseline is one of them.
    """

    modality: str
    gain: Estimate
    chosen: Mapping[str, float]

    def text(self) -> str:
        """One line for the foot of a table."""
        gain = f"{self.gain.value:+.3f} ({self.gain.low:+.3f}, {self.gain.high:+.3f})"
        often = ", ".join(f"{name} {share:.0%}" for name, share in list(self.chosen.items())[:_SHOWN])
        return f"{self.modality} {gain}, most often {often}"


def choose(
    measured: Mapping[str, Mapping[Key, Measured]],
    baseline: str,
    metric: str,
    labels: Sequence[ArrayLike],
    *,
    seed: int = 0,
) -> list[Choice]:
    """Choose among the variants (by name) that were measured, once a modality.

    labels: of each category (n,), 1 on defective samples. Raises DataError where the halves cannot hold both kinds of
    samples, or the metric was not measured.
    """
    if any(np.bincount(np.asarray(classes, dtype=int), minlength=2).min() < _CLASS for classes in labels):
        raise DataError(
            f"choosing on half of the test samples takes at least {_CLASS} good and {_CLASS} defective ones"
        )
    halves = Halves(labels, seed=seed)
    found = []
    for modality in MODALITY_ORDER:
        key = (modality, metric)
        names = [name for name, figures in measured.items() if key in figures]
        if baseline in names:
            first, second = (
                np.stack([halves.means(measured[name][key].figures, other=other) for name in names])
                for other in (False, True)
            )
            best = first.argmax(axis=0)
            gains = second[best, np.arange(len(best))] - second[names.index(baseline)]
            often = Counter(names[place] for place in best).most_common()
            low, high = np.quantile(gains, [0.025, 0.975])
            shares = {name: count / len(best) for name, count in often}
            found.append(Choice(modality, Estimate(float(gains.mean()), float(low), float(high)), shares))
    if not found:
        raise DataError(f"no variant has {metric_title(metric)}, so there is nothing to choose by")
    return found
