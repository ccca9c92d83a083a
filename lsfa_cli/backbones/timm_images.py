"""Image features from any model of timm (METHOD 2, RGB): tokens of a transformer, feature maps of a CNN.

Transformer: the tokens of the last block as `forward_features` gives them (after the final norm), class and register
tokens dropped, on their grid. Anything else: `features_only`, the maps of strides 8 and 16, each resized
bilinearly to the larger grid, concatenated.
"""

import dataclasses
import difflib
import inspect
import math
import re
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lsfa_cli.backbones import weights as weight_files
from lsfa_cli.backbones.base import BackboneArguments, IdentityValue, argument, average_neighbours, dense_patches
from lsfa_cli.backbones.downloads import find_pretrained
from lsfa_cli.errors import UnknownNameError, UsageError, WeightsError
from lsfa_cli.samples import Modality, PatchFeatures, PreparedSample, image_of

STRIDES = (8, 16)
_OWN_KEYWORDS = frozenset(
    {"pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir", "features_only"}
    | {"num_classes", "in_chans", "img_size", "model", "options", "feature_cls", "scriptable", "exportable"}
)
_NAMES_SUGGESTED = 5

OptionValue = bool | int | float | str


@dataclasses.dataclass(frozen=True)
class TimmArguments(BackboneArguments):
    """Arguments of `timm:MODEL?...`. What is no field goes to `timm.create_model` (`pad_type=same`)."""

    mean: tuple[float, ...] = argument((), "Mean of the input, one number or three by comma. Default: the model's.")
    std: tuple[float, ...] = argument((), "Deviation of the input, one number or three. Default: the model's.")
    out_indices: tuple[int, ...] = argument((), "Feature maps to take, by comma or dash. Default: strides 8 and 16.")
    model: str = argument("", "Name in timm, with or without the tag of its weights.")
    options: tuple[tuple[str, OptionValue], ...] = argument((), "Keywords of timm.create_model.")

    @classmethod
    def parse(cls, backbone: str, given: Mapping[str, str]) -> "TimmArguments":
        """The arguments of `backbone`, which is "timm:MODEL". Raises as `BackboneArguments.parse`."""
        model = backbone.partition(":")[2]
        if not model:
            raise UsageError("backbone timm: the model is missing.", hint="Write timm:MODEL, such as timm:resnet18.")
        own = {name: text for name, text in given.items() if name in ("mean", "std", "out_indices")}
        options = {name: _literal(text) for name, text in given.items() if name not in own}
        reserved = sorted(_OWN_KEYWORDS & options.keys())
        if reserved:
            raise UsageError(f"backbone {backbone}: {', '.join(reserved)} cannot be set: lsfa sets it itself.")
        parsed = super().parse(backbone, own)
        for name in ("mean", "std"):
            if len(getattr(parsed, name)) not in (0, 1, 3):
                raise UsageError(f"backbone {backbone}: {name} takes one number or three by comma.")
        if any(value <= 0 for value in parsed.std):
            raise UsageError(f"backbone {backbone}: std must be positive.")
        return dataclasses.replace(parsed, model=model, options=tuple(sorted(options.items())))

    def canonical(self) -> str:
        """All arguments but the model as text, the keywords of timm among them, in the order of their names."""
        own = [f"{name}={','.join(map(str, getattr(self, name)))}" for name in ("mean", "std", "out_indices")]
        return "&".join(sorted(own + [f"{name}={value}" for name, value in self.options]))


class TimmImages:
    """Image features from a timm model. Batches are the samples given; features are float32."""

    Arguments = TimmArguments
    modality: Modality = "rgb"

    def __init__(
        self,
        arguments: TimmArguments,
        *,
        weights: Path | None,
        device: str,
        image_size: int,
        local_average: bool,
        **_: object,
    ) -> None:
        """Build the model, and load it strictly from `weights` or from timm's published file."""
        configuration = _configuration(arguments.model)
        full_name = f"{configuration['architecture']}.{configuration['tag']}".rstrip(".")
        file = weights or find_pretrained(full_name, configuration)
        weight_files.require_file(file)
        self.device = torch.device(device)
        self.image_size = image_size
        self.local_average = local_average
        network, self.notes = _load(arguments, configuration, file, image_size)
        if weights is None:
            self.notes = ()  # the published file's classifier is of no concern
        self.network = network.eval().requires_grad_(False).to(self.device)
        mean = _three(arguments.mean or configuration["mean"])
        std = _three(arguments.std or configuration["std"])
        self.mean = torch.tensor(mean, device=self.device).reshape(1, 3, 1, 1)
        self.std = torch.tensor(std, device=self.device).reshape(1, 3, 1, 1)
        self.blocks = _blocks(network)
        self.grid, self.dimension = self._probe(arguments.model)
        resolved = dataclasses.replace(arguments, mean=mean, std=std, out_indices=_indices(network))
        self.identity: dict[str, IdentityValue] = {
            "name": f"timm:{full_name if weights is None else configuration['architecture']}",
            "arguments": resolved.canonical(),
            "weights": weight_files.file_digest(file),
        }

    def patches(self, samples: Sequence[PreparedSample]) -> list[PatchFeatures]:
        """Features of each sample on the model's own grid, every patch valid."""
        images = [self.network_input(sample) for sample in samples]
        if not samples:
            return []
        maps = self.feature_maps(torch.stack(images).to(self.device))
        return dense_patches(average_neighbours(maps) if self.local_average else maps)

    def feature_maps(self, images: Tensor) -> NDArray[np.float32]:
        """Images (n, 3, S, S) in [0, 1], before mean and deviation, to features (n, grid, grid, D)."""
        with torch.inference_mode():
            maps = self._maps(images)
        return np.ascontiguousarray(maps.float().cpu().numpy())

    def network_input(self, sample: PreparedSample) -> Tensor:
        """The image (3, S, S) of a sample, in [0, 1]."""
        image = image_of(sample)
        if image.shape != (3, self.image_size, self.image_size):
            raise ValueError(f"samples must be of {self.image_size} x {self.image_size} pixels")
        return torch.from_numpy(image)

    def differentiable_patches(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """(grid * grid, D) features of each image, with gradient."""
        maps = self._maps(torch.stack(list(inputs)).to(self.device))
        if self.local_average:
            # `average_neighbours`: at the edges the mean is over the neighbours that exist.
            maps = maps.permute(0, 3, 1, 2)
            maps = nn.functional.avg_pool2d(maps, 3, stride=1, padding=1, count_include_pad=False).permute(0, 2, 3, 1)
        return list(maps.flatten(1, 2).float().unbind(0))

    def _maps(self, images: Tensor) -> Tensor:
        """Images (n, 3, S, S) in [0, 1] to features (n, grid, grid, D), on the device."""
        normalised = (images - self.mean) / self.std
        if _is_features_only(self.network):
            # In float32 also where products are not: rounded after each of its fifty convolutions, MobileNetV2's
            # features change by a seventh, those of a transformer by less than a hundredth.
            with torch.autocast(self.device.type, enabled=False):
                return _joined_maps(self.network, normalised)
        return _token_maps(self.network, normalised)

    def _probe(self, model: str) -> tuple[int, int]:
        """Grid and dimension, from one black image: timm has no common way to ask."""
        size = self.image_size
        try:
            maps = self.feature_maps(torch.zeros(1, 3, size, size, device=self.device))
        except torch.cuda.OutOfMemoryError:
            raise  # a RuntimeError too, but not the size's fault
        except (RuntimeError, AssertionError, ValueError) as error:
            raise UsageError(f"timm:{model} cannot take images of {size} x {size} pixels: {error}") from error
        return maps.shape[1], maps.shape[3]


def _blocks(network: nn.Module) -> tuple[str, ...]:
    """Names of the blocks of a transformer or of the stages of a CNN, first to last, those before the first included.

    timm has no common way to ask. A feature wrapper of a transformer holds the whole model as `model`; transformers
    and EfficientNets keep their blocks in `blocks`; the feature wrapper of other CNNs has the stages as its children.
    """
    prefix, body = "", network
    if isinstance(whole := getattr(network, "model", None), nn.Module):
        prefix, body = "model.", whole
    names: list[str] = []
    for name, child in body.named_children():
        if name == "blocks":
            names += [f"{prefix}blocks.{number}" for number, _ in child.named_children()]
        elif not hasattr(body, "num_prefix_tokens") and any(True for _ in child.parameters()):
            names.append(f"{prefix}{name}")
    return tuple(names)


def _three(values: Sequence[float]) -> tuple[float, ...]:
    """One number a colour channel, from three or from one for all."""
    return tuple(values) * 3 if len(values) == 1 else tuple(values)


def _literal(text: str) -> OptionValue:
    """A keyword's value: a boolean or a number where it reads as one, otherwise the text."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _configuration(model: str) -> dict[str, Any]:
    """timm's `pretrained_cfg` of a model name, with or without a tag; `UnknownNameError` names the nearest."""
    architecture, _, tag = model.partition(".")
    renamed: Mapping[str, str] = getattr(sys.modules["timm.models._registry"], "_deprecated_models", {})
    if renamed.get(model):
        raise _unknown("timm model", model, [renamed[model]])
    if not timm.is_model(architecture):
        raise _unknown("timm model", model, timm.list_models())
    if tag and model not in timm.list_models(f"{architecture}.*", pretrained=True):
        raise _unknown("timm model", model, timm.list_models(f"{architecture}.*", pretrained=True) or [architecture])
    published: Any = timm.get_pretrained_cfg(model)
    configuration: dict[str, Any] = {} if published is None else published.to_dict()
    tag = configuration.get("tag") or tag
    return {
        "mean": (0.485, 0.456, 0.406),
        "std": (0.229, 0.224, 0.225),
        **configuration,
        "architecture": architecture,
        "tag": tag,
    }


def _unknown(kind: str, name: str, known: Sequence[str]) -> UnknownNameError:
    """The error for an unknown name among very many: only the nearest are listed."""
    error = UnknownNameError(kind, name, known)
    nearest = difflib.get_close_matches(name, known, n=_NAMES_SUGGESTED, cutoff=0.3)
    error.hint = f"Nearest: {', '.join(nearest)}." if nearest else "timm.list_models() in Python lists all of them."
    return error


def _create(arguments: TimmArguments, configuration: Mapping[str, Any], image_size: int, **more: Any) -> nn.Module:
    """The model without weights. timm's objections to a keyword or its value become a `UsageError`."""
    if configuration.get("fixed_input_size"):
        more["img_size"] = image_size
    keywords: dict[str, Any] = {**more, **dict(arguments.options)}
    try:
        model: nn.Module = timm.create_model(configuration["architecture"], pretrained=False, **keywords)
    except (TypeError, ValueError, AssertionError, RuntimeError, KeyError, IndexError, AttributeError) as error:
        unknown = re.search(r"unexpected keyword argument '(\w+)'", str(error))
        if unknown and unknown[1] in dict(arguments.options):
            raise _unknown_option(arguments, configuration, unknown[1]) from error
        raise UsageError(f"timm cannot build {arguments.model} with these arguments: {error}") from error
    return model


def _unknown_option(arguments: TimmArguments, configuration: Mapping[str, Any], name: str) -> UnknownNameError:
    """The error for a keyword that the model's class does not take."""
    model = timm.create_model(configuration["architecture"], pretrained=False)
    known = [*inspect.signature(type(model)).parameters, "mean", "std", "out_indices"]
    return _unknown(f"argument of backbone timm:{arguments.model}", name, sorted({*known} - _OWN_KEYWORDS))


def _load(
    arguments: TimmArguments, configuration: Mapping[str, Any], file: Path, image_size: int
) -> tuple[nn.Module, tuple[str, ...]]:
    """The network with the weights of `file`, and what to tell about them."""
    whole = _create(arguments, configuration, image_size, num_classes=0)
    network = whole
    if arguments.out_indices or not hasattr(whole, "num_prefix_tokens"):
        network = _features_only(arguments, configuration, image_size)
    state = _read(file, whole, arguments.model)
    # timm's feature wrappers rename children ("stages.0" to "stages_0") or put a prefix in front of them.
    file_names = {_flat(name): name for name in whole.state_dict()}
    renamed = {file_names[_flat(name)]: name for name in network.state_dict()}
    wanted = {file_name: network.state_dict()[name] for file_name, name in renamed.items()}
    state = weight_files.strip_prefixes(state, wanted)
    if not weight_files.fits(state, wanted):
        state = _convert(state, whole, configuration["architecture"])
    match = weight_files.match(state, wanted, file=file, model=f"timm:{arguments.model}")
    network.load_state_dict({renamed[name]: value for name, value in match.state.items()}, strict=True)
    return network, match.notes()


def _flat(name: str) -> str:
    """A parameter's name, the same in a model and in its feature wrapper."""
    return re.sub(r"^(model|body)\.", "", name).replace(".", "_")


def _read(file: Path, whole: Any, model: str) -> dict[str, Tensor]:
    """The state dict of a file. An .npz of arrays goes through the model's own reader, as timm does it."""
    if file.suffix.lower() != ".npz":
        return weight_files.read_state_dict(file)
    if not hasattr(whole, "load_pretrained"):
        raise WeightsError(f"{file}: timm:{model} cannot be loaded from .npz files.", hint="Give .safetensors or .pth.")
    with torch.no_grad():
        for parameter in whole.parameters():
            parameter.fill_(math.nan)  # what the reader leaves alone shows
    with weight_files.readable(file):
        whole.load_pretrained(str(file))
    state: dict[str, Tensor] = whole.state_dict()
    return {name: value for name, value in state.items() if not value.isnan().any()}


def _convert(state: dict[str, Tensor], whole: nn.Module, architecture: str) -> dict[str, Tensor]:
    """The state after timm's own conversion for this family of models, or as it was when there is none.

    timm keeps it as `checkpoint_filter_fn` beside the models: it renames the keys of original checkpoints and
    resamples position embeddings to another image size.
    """
    module = sys.modules[timm.model_entrypoint(architecture).__module__]
    convert = getattr(module, "checkpoint_filter_fn", None)
    if convert is None:
        return state
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # remarks on the speed of timm's own code
            return dict(convert(dict(state), whole))
    except (KeyError, ValueError, TypeError, RuntimeError, AttributeError, AssertionError, IndexError):
        return state  # not a checkpoint of this family; matching its names then says in which way


def _features_only(arguments: TimmArguments, configuration: Mapping[str, Any], image_size: int) -> nn.Module:
    """The model cut to its feature maps: those of `out_indices`, by default the last of stride 8 and of stride 16."""
    indices = arguments.out_indices
    if not indices:
        strides = _indices_by_stride(_create(arguments, configuration, image_size, features_only=True))
        indices = tuple(strides[stride] for stride in STRIDES if stride in strides)
        if not indices:
            wanted, there = " or ".join(map(str, STRIDES)), ", ".join(map(str, strides))
            raise UsageError(
                f"timm:{arguments.model} has no feature map of stride {wanted}, only {there}.",
                hint=f"Choose by index: timm:{arguments.model}?out_indices={next(iter(strides.values()), 0)}",
            )
    return _create(arguments, configuration, image_size, features_only=True, out_indices=indices)


def _is_features_only(network: nn.Module) -> bool:
    return hasattr(getattr(network, "feature_info", None), "reduction")


def _indices_by_stride(network: nn.Module) -> dict[int, int]:
    """Index of the last map of each stride of a feature network."""
    info: Any = network.feature_info
    return dict(zip(info.reduction(), info.out_indices, strict=True))


def _indices(network: nn.Module) -> tuple[int, ...]:
    """Indices of the maps of a feature network; none for the tokens of a transformer."""
    info: Any = getattr(network, "feature_info", None)
    return tuple(info.out_indices) if _is_features_only(network) else ()


def _joined_maps(network: Any, images: Tensor) -> Tensor:
    """The maps of a feature network, resized bilinearly to the largest and concatenated: (n, grid, grid, D)."""
    maps: list[Tensor] = network(images)
    if getattr(network, "output_fmt", "NCHW") == "NHWC":
        maps = [values.permute(0, 3, 1, 2) for values in maps]
    grid = max(values.shape[-1] for values in maps)
    resized = [
        values
        if values.shape[-1] == grid
        else nn.functional.interpolate(values, size=(grid, grid), mode="bilinear", align_corners=False)
        for values in maps
    ]
    return torch.cat(resized, dim=1).permute(0, 2, 3, 1)


def _token_maps(network: Any, images: Tensor) -> Tensor:
    """The patch tokens of a transformer on their grid: (n, grid, grid, D)."""
    tokens: Tensor = network.forward_features(images)[:, network.num_prefix_tokens :]
    grid = math.isqrt(tokens.shape[1])
    if grid * grid != tokens.shape[1]:
        raise ValueError(f"its {tokens.shape[1]} tokens make no square grid")
    return tokens.reshape(tokens.shape[0], grid, grid, tokens.shape[2])
