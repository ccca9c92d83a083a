"""What training changes: an adaptor on stored features, or something else that gives features of training samples.

The loop of `training` knows a learner by this protocol alone. A backbone that learns is in `finetuning`.
"""

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor, nn

from lsfa_cli.training_batches import adapt_patches


class Learner(Protocol):
    """Gives the features of training samples of one modality, and holds the weights that make them."""

    def features(self, samples: Sequence[int], patches: Sequence[Tensor]) -> list[Tensor]:
        """(n_i, D) features of each sample, with gradient. patches: (n_i, D), standardised, before training."""
        ...

    def weights(self) -> list[nn.Parameter]:
        """What the optimiser changes. None: the features stay as they are, and no loss is on them alone."""
        ...

    def state(self) -> dict[str, Tensor]:
        """A copy of all that training changes, by name."""
        ...

    def penalty(self) -> Tensor | None:
        """A term of the learner's own, added to the loss of every update."""
        ...

    def updated(self) -> None:
        """Called after every update, while its gradients are still there."""
        ...


class AdaptorLearner:
    """An adaptor of Table 7 on patches that do not change."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module

    def features(self, samples: Sequence[int], patches: Sequence[Tensor]) -> list[Tensor]:
        """The adapted patches."""
        return adapt_patches(self._module, patches)

    def weights(self) -> list[nn.Parameter]:
        """All parameters."""
        return list(self._module.parameters())

    def state(self) -> dict[str, Tensor]:
        """A copy of the parameters."""
        return {name: value.detach().clone() for name, value in self._module.state_dict().items()}

    def penalty(self) -> Tensor | None:
        """None."""
        return None

    def updated(self) -> None:
        """Nothing to do."""


class FixedFeatures:
    """A modality that does not learn and takes part in CLC with its features as they are."""

    def features(self, samples: Sequence[int], patches: Sequence[Tensor]) -> list[Tensor]:
        """The patches themselves."""
        return list(patches)

    def weights(self) -> list[nn.Parameter]:
        """None."""
        return []

    def state(self) -> dict[str, Tensor]:
        """Empty."""
        return {}

    def penalty(self) -> Tensor | None:
        """None."""
        return None

    def updated(self) -> None:
        """Nothing to do."""
