"""What every backbone is and shares: the protocol, typed arguments, the 3 x 3 mean of patches.

A backbone is a class with an inner frozen dataclass `Arguments`, built by `load_backbone` as

    Class(arguments, *, weights, device, image_size, grid, projection, local_average)

Keywords that do not concern a backbone are accepted and ignored: an image backbone has its own grid and no
projection, a 3D backbone no local average. Those of unorganized clouds are `CloudBackbone`.
"""

import dataclasses
import math
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from lsfa_cli.errors import UnknownNameError, UsageError
from lsfa_cli.samples import FloatArray, Modality, PatchFeatures, PreparedSample

if TYPE_CHECKING:
    from torch import Tensor, nn

Projection = Literal["public", "paper"]
IdentityValue = str | int | float | bool

T = TypeVar("T")
A = TypeVar("A", bound="BackboneArguments")


@runtime_checkable
class Backbone(Protocol):
    """Turns prepared samples into patch features of one modality.

    grid: patches a side. dimension: D, the length of a feature. identity: all that can change the features beside
    the settings of `extract` itself (canonical name, arguments, hash of the weights), recorded in the artifact.
    notes: what a user should know about this backbone as loaded ("dropped 6 unexpected keys: ...").
    """

    modality: Modality
    grid: int
    dimension: int
    identity: dict[str, IdentityValue]
    notes: tuple[str, ...]

    def patches(self, samples: Sequence[PreparedSample]) -> list[PatchFeatures]:
        """Features of each sample, values float32, in the order given."""
        ...


@runtime_checkable
class TunableBackbone(Backbone, Protocol):
    """A backbone of rasters whose weights can be trained (Tables 8 and 10).

    network: the module that holds the weights, in evaluation mode, none of them asking for a gradient. blocks: dotted
    names of its blocks, first to last: the transformer's blocks, or a CNN's stages, those before the first included.
    """

    network: "nn.Module"
    blocks: tuple[str, ...]

    def network_input(self, sample: PreparedSample) -> Any:
        """What the network reads of a sample. It does not depend on weights, so it is made once and kept."""
        ...

    def differentiable_patches(self, inputs: Sequence[Any]) -> "list[Tensor]":
        """`Backbone.patches` from network inputs: (n_i, D) values of each sample's valid patches, with gradient."""
        ...


class GroupFeatures(NamedTuple):
    """What a backbone says about a cloud. centers: (groups, 3), metres; features: (groups, D), float32."""

    centers: FloatArray
    features: NDArray[np.float32]


@runtime_checkable
class CloudBackbone(Protocol):
    """Turns unorganized point clouds into features of groups of points; a class may be a `Backbone` too.

    minimum_points: a cloud of fewer has no features. The rest as in `Backbone`.
    """

    modality: Modality
    dimension: int
    minimum_points: int
    identity: dict[str, IdentityValue]
    notes: tuple[str, ...]

    def group_features(self, points: FloatArray) -> GroupFeatures:
        """Features of the groups of a cloud (n, 3), metres; ValueError for fewer points than `minimum_points`."""
        ...


def argument(default: T, help: str) -> T:
    """A field of a backbone's `Arguments`: its default and one line of help."""
    field: T = dataclasses.field(default=default, metadata={"help": help})
    return field


@dataclasses.dataclass(frozen=True)
class BackboneArguments:
    """Base of the `Arguments` of every backbone: the typed values after `?` in `name?argument=value&...`.

    Fields are declared with `argument(default, help)`. Types: bool, int, float, str, Literal of strings,
    tuple[int, ...] and tuple[float, ...] (numbers by comma or dash).
    """

    @classmethod
    def parse(cls: type[A], backbone: str, given: Mapping[str, str]) -> A:
        """The arguments from their texts. `UnknownNameError` for an unknown name, `UsageError` for a bad value."""
        types = typing.get_type_hints(cls)
        fields = {field.name: field for field in dataclasses.fields(cls) if field.init}
        values: dict[str, Any] = {}
        for name, text in given.items():
            if name not in fields:
                raise UnknownNameError(f"argument of backbone {backbone}", name, fields)
            try:
                values[name] = _convert(text, types[name])
            except ValueError as error:
                raise UsageError(
                    f"backbone {backbone}: '{text}' is no value for {name}: {error}",
                    hint=f"{name}: {fields[name].metadata['help']}",
                ) from error
        return cls(**values)

    def canonical(self) -> str:
        """All arguments as text, defaults included, in the order of their names: equal texts, equal arguments."""
        fields = sorted(dataclasses.fields(self), key=lambda field: field.name)
        return "&".join(f"{field.name}={_text(getattr(self, field.name))}" for field in fields)


def _convert(text: str, kind: Any) -> Any:
    """The value of `text` as `kind`; a ValueError says what was expected."""
    if kind is bool:
        if text.lower() not in ("true", "false", "1", "0", "yes", "no"):
            raise ValueError("expected true or false")
        return text.lower() in ("true", "1", "yes")
    if kind is int or kind is float:
        return _number(text, kind)
    if kind is str:
        return text
    origin, choices = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        if text not in choices:
            raise ValueError(f"expected one of {', '.join(choices)}")
        return text
    if origin is tuple:
        parts = text.replace("-", ",") if choices[0] is int else text
        return tuple(_number(part, choices[0]) for part in parts.split(","))
    raise TypeError(f"an argument of a backbone cannot have the type {kind}")


def _number(text: str, kind: type[int] | type[float]) -> int | float:
    try:
        value = kind(text)
    except ValueError:
        raise ValueError(f"expected {'a whole number' if kind is int else 'a number'}") from None
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("expected a finite number")
    return value


def _text(value: Any) -> str:
    """A value as it is written after `?`."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(_text(part) for part in value)
    return str(value)


def refuse_weights(backbone: str, weights: Path | None) -> None:
    """`UsageError` when a weights file was given to a backbone that has no weights."""
    if weights is not None:
        raise UsageError(
            f"backbone {backbone} has no weights, but a file was given: {weights}",
            hint="Leave the file out, or choose a backbone that reads one (lsfa list backbones).",
        )


def average_neighbours(maps: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean of each patch and its 3 x 3 neighbours inside the grid (PatchCore's locally aware patches).

    maps: (n, grid, grid, D). At the edges the mean is over the neighbours that exist: 6, at corners 4.
    """
    total = maps
    count = np.ones(maps.shape[1:3], dtype=np.float32)
    for axis in (1, 2):
        total = _sum_of_three(total, axis)
        count = _sum_of_three(count, axis - 1)
    return total / count[None, :, :, None]


def _sum_of_three(values: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """Each entry plus the one before and the one after it along `axis`, where there are such."""
    moved = np.moveaxis(values, axis, 0)
    total = moved.copy()
    total[1:] += moved[:-1]
    total[:-1] += moved[1:]
    return np.moveaxis(total, 0, axis)


def dense_patches(maps: NDArray[np.float32]) -> list[PatchFeatures]:
    """Maps (n, grid, grid, D) as the patch features of n samples, every patch valid."""
    grid, dimension = maps.shape[1], maps.shape[3]
    valid = np.ones(grid * grid, dtype=bool)
    return [PatchFeatures(values=sample.reshape(grid * grid, dimension), valid=valid, grid=grid) for sample in maps]
