"""Weights of the sources of a score: which of the banks and discriminators to trust, and how much.

A source is a memory bank (rgb_bank, xyz_bank, and uff_bank, M3DM's third) or a discriminator of pasted defects
(rgb_pasted, xyz_pasted). Which of them is right depends on the part, and it is not the same for telling defective
samples as for showing where the defect is: image scores and maps have weights of their own.
"""

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from lsfa_cli.errors import UnknownNameError, UsageError

# What scores of banks and of discriminators alone are called, after the modality, where there are both.
BANK_ALONE, PASTED_ALONE = "_bank", "_pasted"
# By hand, so that the settings, which every --help reads, need no numerics.
SOURCES = ("rgb_bank", "xyz_bank", "uff_bank", "rgb_pasted", "xyz_pasted")
_EXAMPLE = "rgb_bank=1,xyz_bank=0.5,rgb_pasted=2,xyz_pasted=1"


class SourceWeights(NamedTuple):
    """Weights by source, of image scores and of maps; empty: all alike."""

    image: Mapping[str, float] = {}
    map: Mapping[str, float] = {}


def parse_weights(text: str, setting: str = "image_weights") -> dict[str, float]:
    """Weights by source from "rgb_bank=1,xyz_bank=0.5"; a source that is left out has weight 0. Nothing: all alike.

    setting: what messages call the text. Raises UnknownNameError for a name that is no source, UsageError for what is
    no number of at least 0, for a source that is named twice, and where no weight is above 0.
    """
    weights: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, separator, number = (piece.strip() for piece in part.partition("="))
        if not separator:
            raise UsageError(f"{setting} = '{text}': '{part}' has no weight", hint=f"Write {_EXAMPLE}.")
        if name not in SOURCES:
            raise UnknownNameError(f"source in {setting}", name, SOURCES)
        if name in weights:
            raise UsageError(f"{setting} = '{text}': {name} is there twice", hint="Give each source one weight.")
        weights[name] = _weight(number, f"{setting} = '{text}': the weight of {name}")
    if weights and not any(weights.values()):
        raise UsageError(
            f"{setting} = '{text}': no source has a weight above 0",
            hint=f"Write {_EXAMPLE}, or leave it empty to weigh all alike.",
        )
    return weights


def _weight(text: str, what: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        weight = math.nan
    if not (math.isfinite(weight) and weight >= 0):
        raise UsageError(f"{what} is '{text}', not a number of at least 0", hint=f"Write {_EXAMPLE}.")
    return weight


def weights_text(weights: Mapping[str, float]) -> str:
    """The text that `parse_weights` reads these from."""
    return ",".join(f"{name}={repr(float(weight)).removesuffix('.0')}" for name, weight in weights.items())


def source_of(score: str) -> str:
    """The source of a single score, as scores are named in the stages: rgb is that of rgb_bank."""
    return score if score.endswith((BANK_ALONE, PASTED_ALONE)) else f"{score}{BANK_ALONE}"


def shares(weights: Mapping[str, float], scores: Iterable[str]) -> dict[str, float]:
    """The shares, which sum to 1, of some scores in their mean: their sources' weights over the sum of those.

    Where none of these sources has a weight above 0, nothing says which to trust, and they share alike.
    """
    own = {score: weights.get(source_of(score), 0.0) for score in scores}
    total = sum(own.values())
    return {score: weight / total if total > 0 else 1 / len(own) for score, weight in own.items()}
