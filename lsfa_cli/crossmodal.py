"""CFM, crossmodal feature mapping: each modality's patches predicted from the other's (reference notes 2.4 and 3).

Two networks learn on normal parts what the scan says of the image and the image of the scan. Where a prediction fails,
the two do not go together as on a good part. Features are standardised first, as for every method here.
"""

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn import functional

from lsfa_cli.adaptors import load_parameters
from lsfa_cli.errors import DataError
from lsfa_cli.paired_training import descend
from lsfa_cli.repeatable import NOT_REPEATABLE, draw_uniform, repeatable_kernels
from lsfa_cli.samples import MODALITIES, Modality, PatchFeatures
from lsfa_cli.standardisation import PatchSource, Standardisation, standardise
from lsfa_cli.training_batches import shared_positions, shared_rows

NetworkSize = Literal["small", "big"]

HIDDEN_LAYERS: Mapping[NetworkSize, int] = {"small": 1, "big": 5}  # between the first layer and the last
OTHER: Mapping[Modality, Modality] = {"rgb": "xyz", "xyz": "rgb"}
COSINE_FLOOR = 1e-6


@dataclass(frozen=True, kw_only=True)
class MappingOptions:
    """The settings of training; names, units and meaning are those of the adapt settings that begin with `cfm_`."""

    network: NetworkSize
    epochs: int
    batch_size: int
    learning_rate: float
    seed: int
    device: str


@dataclass(frozen=True)
class MappingResult:
    """What training made.

    parameters: those of the network that predicts this modality, float32 by name. curves: one value an update, NaN
    where a batch had no position to compare; "step" is their axis. notes: what training could not do as asked.
    """

    parameters: dict[Modality, dict[str, NDArray[np.float32]]]
    standardisation: dict[Modality, Standardisation]
    curves: dict[str, NDArray[np.float64]]
    notes: tuple[str, ...]


class MappingNetwork(nn.Module):
    """Linear layers with GELU between them, (N, inputs) to (N, outputs); the inner width is the mean of the two."""

    def __init__(self, inputs: int, outputs: int, size: NetworkSize) -> None:
        super().__init__()
        inner = max(1, (inputs + outputs) // 2)
        widths = [inputs, *[inner] * (1 + HIDDEN_LAYERS[size]), outputs]
        with torch.random.fork_rng(devices=[]):  # layers draw from the global generator when they are made
            self.layers = nn.ModuleList(nn.Linear(before, after) for before, after in itertools.pairwise(widths))

    def forward(self, patches: Tensor) -> Tensor:
        """Every patch by itself."""
        for layer in self.layers[:-1]:
            patches = functional.gelu(layer(patches))
        predicted: Tensor = self.layers[-1](patches)
        return predicted


def mapping_loss(predicted: Tensor, observed: Tensor) -> Tensor:
    """1 minus the mean cosine of predicted and observed patches, both (N, D)."""
    return 1 - functional.cosine_similarity(predicted, observed, dim=1, eps=COSINE_FLOOR).mean()


def mapping_distance(predicted: Tensor, observed: Tensor) -> Tensor:
    """L2 distance of each predicted patch from the observed one after scaling both to length 1: (N, D) to (N,).

    Between 0 and 2. A patch of zeros stays as it is.
    """
    difference = functional.normalize(predicted, dim=1) - functional.normalize(observed, dim=1)
    length: Tensor = torch.linalg.vector_norm(difference, dim=1)
    return length


def mapped_image_scores(maps: ArrayLike) -> NDArray[np.float64]:
    """CFM's image scores (n,) of blurred maps (n, S, S): the largest value over the root of the mean of the non-zero.

    So each sample is scaled by itself. A map of zeros, of a sample with nothing to compare, scores 0.
    """
    scores = []
    for single in np.asarray(maps, dtype=np.float64):
        values = single[single != 0]
        scores.append(float(values.max()) / math.sqrt(float(values.mean())) if values.size else 0.0)
    return np.array(scores)


def train_mapping(
    source: PatchSource, options: MappingOptions, *, on_step: Callable[[int, int], None] | None = None
) -> MappingResult:
    """Train both networks on the samples of `source`, which have both modalities.

    The loss is the sum of both `mapping_loss` over the positions of the 3D grid that are valid in both, of all samples
    of the batch together; an image patch on a coarser grid stands at several. Adam, without a schedule. 0 epochs
    return the networks as they start. Equal seeds give equal bytes on the CPU.
    `on_step(step, steps)` is called after every update. Raises `DataError` where there is nothing to learn from.
    """
    if len(source) == 0:
        raise DataError("there are no training samples")
    with repeatable_kernels(options.device) as repeatable:
        standardisation = {modality: standardise(source, modality) for modality in MODALITIES}
        dimensions = {modality: source[0][modality].dimension for modality in MODALITIES}
        networks = _new_networks(dimensions, options.network)
        for number, network in enumerate(networks.values()):
            draw_uniform(network, torch.Generator().manual_seed(_seed(options.seed, number)))
            network.to(options.device)
        weights = [weight for network in networks.values() for weight in network.parameters()]
        losses = descend(
            source,
            standardisation,
            options,
            torch.optim.Adam(weights, lr=options.learning_rate),
            lambda patches: [
                mapping_loss(network(patches[OTHER[modality]]), patches[modality])
                for modality, network in networks.items()
            ],
            losses=len(networks),
            generator=np.random.default_rng(_seed(options.seed, len(networks))),
            not_finite=("CFM's loss", "Train with a smaller --cfm-learning-rate."),
            on_step=on_step,
        )
    curves = {"step": np.arange(1, len(losses) + 1, dtype=np.float64), "loss": losses.sum(axis=1)}
    curves |= {f"loss_{modality}": losses[:, place] for place, modality in enumerate(MODALITIES)}
    parameters = {
        modality: {name: value.detach().cpu().numpy() for name, value in network.state_dict().items()}
        for modality, network in networks.items()
    }
    return MappingResult(parameters, standardisation, curves, () if repeatable else (NOT_REPEATABLE,))


def _seed(seed: int, purpose: int) -> int:
    """An independent seed for each purpose."""
    return int(np.random.SeedSequence([seed, purpose]).generate_state(1)[0])


def _new_networks(dimensions: Mapping[Modality, int], size: NetworkSize) -> dict[Modality, MappingNetwork]:
    """For each modality the network that predicts it from the other."""
    return {
        modality: MappingNetwork(dimensions[OTHER[modality]], dimensions[modality], size) for modality in MODALITIES
    }


class CrossModalMapping:
    """Trained networks, ready to compare the modalities of a sample."""

    def __init__(
        self, networks: Mapping[Modality, nn.Module], standardisation: Mapping[Modality, Standardisation]
    ) -> None:
        self.networks, self.standardisation = networks, standardisation

    @torch.no_grad()
    def distances(self, rgb: PatchFeatures, xyz: PatchFeatures) -> dict[Modality, NDArray[np.float32]]:
        """How far each modality is from its prediction by the other: `mapping_distance` on the 3D grid (G * G,).

        0 where not both are valid.
        """
        rows = dict(zip(MODALITIES, shared_rows(rgb, xyz), strict=True))
        positions = shared_positions(rgb, xyz)
        patches = {
            modality: self._on_device(modality, features.values[rows[modality]])
            for modality, features in zip(MODALITIES, (rgb, xyz), strict=True)
        }
        found: dict[Modality, NDArray[np.float32]] = {}
        for modality, network in self.networks.items():
            raster = np.zeros(xyz.valid.size, dtype=np.float32)
            predicted = network(patches[OTHER[modality]])
            raster[positions] = mapping_distance(predicted, patches[modality]).cpu().numpy()
            found[modality] = raster
        return found

    def _on_device(self, modality: Modality, values: NDArray[np.floating]) -> Tensor:
        standardised = torch.from_numpy(self.standardisation[modality].apply(values))
        return standardised.to(next(self.networks[modality].parameters()).device)


def load_mapping(
    size: NetworkSize,
    parameters: Mapping[Modality, Mapping[str, NDArray[np.floating]]],
    standardisation: Mapping[Modality, Standardisation],
    dimensions: Mapping[Modality, int],
    *,
    device: str = "cpu",
) -> CrossModalMapping:
    """The networks that `parameters` (as training returned them) make. `ValueError` where they do not fit."""
    networks = _new_networks(dimensions, size)
    for modality, network in networks.items():
        load_parameters(network, parameters[modality], device)
    return CrossModalMapping(networks, standardisation)
