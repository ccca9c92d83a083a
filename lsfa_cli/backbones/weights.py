"""Reading weights safely and strictly: no code of a file is run, no layer is left at random without a word.

`read_state_dict` opens .safetensors and PyTorch files, `match` fits names and shapes to a model,
`find_pretrained` finds or downloads the file of a pretrained configuration of timm.
"""

import argparse
import hashlib
import pickle
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from lsfa_cli.errors import WeightsError

StateDict = Mapping[str, Tensor]

PYTORCH_SUFFIXES = (".pth", ".pt", ".bin", ".ckpt")
"""Files that `torch.load` reads."""

_PLAIN_DATA: list[Any] = [argparse.Namespace]
"""What a pickle may hold beside tensors: DINO's full checkpoints keep their options in a Namespace of plain values."""

_WRAPPERS = ("state_dict_ema", "model_ema", "teacher", "state_dict", "model")
_PREFIXES = ("module.", "backbone.", "model.", "encoder.")
_NOT_WEIGHTS = "num_batches_tracked"
_NAMES_SHOWN = 4


class Match(NamedTuple):
    """A state dict that fits a model, and the names of the file that the model has no use for, sorted."""

    state: dict[str, Tensor]
    dropped: tuple[str, ...]

    def notes(self) -> tuple[str, ...]:
        """What to tell the user about the dropped names, if there are any."""
        if not self.dropped:
            return ()
        plural = "" if len(self.dropped) == 1 else "s"
        return (f"dropped {len(self.dropped)} unexpected key{plural}: {shorten(self.dropped)}",)


def shorten(names: Iterable[str]) -> str:
    """The first names of many, by comma."""
    names = list(names)
    return ", ".join(names[:_NAMES_SHOWN]) + (", ..." if len(names) > _NAMES_SHOWN else "")


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def read_state_dict(path: Path, *, wrappers: Iterable[str] = _WRAPPERS) -> dict[str, Tensor]:
    """The tensors of a .safetensors or PyTorch file by name, on the CPU.

    A checkpoint that holds them in an entry named in `wrappers` is opened, the first of these names first.
    What is no tensor (epoch, options) is left out. Raises `WeightsError` naming the file: missing, of another
    format, damaged, without tensors, or a pickle that would run code.
    """
    with readable(path):
        suffix = path.suffix.lower()
        if suffix == ".safetensors":
            content: Any = load_file(path)
        elif suffix in PYTORCH_SUFFIXES:
            content = _load_pytorch(path)
        else:
            raise WeightsError(
                f"{path}: weights of the type '{suffix}' cannot be read.",
                hint=f"Give a .safetensors or a PyTorch file ({', '.join(PYTORCH_SUFFIXES)}).",
            )
    content = _unwrap(content, tuple(wrappers))
    tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    if not tensors:
        raise WeightsError(f"{path}: holds no tensors by name (its entries: {shorten(map(str, content)) or 'none'}).")
    return tensors


def require_file(path: Path) -> None:
    """`WeightsError` when there is no file at `path`."""
    if not path.is_file():
        raise WeightsError(f"{path}: no such weights file.", hint="Check the path given as weights.")


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turns what readers raise for missing and damaged files into a `WeightsError` that names the file."""
    require_file(path)
    try:
        yield
    except (SafetensorError, OSError, EOFError, RuntimeError, ValueError, KeyError, pickle.UnpicklingError) as error:
        reason = (str(error).splitlines() or [""])[0] or type(error).__name__
        raise WeightsError(f"{path}: cannot be read as weights: {reason}", hint="Is the file complete?") from error


def _load_pytorch(path: Path) -> Any:
    """The content of a PyTorch file, of plain data only: a pickle that names other code is refused."""
    try:
        with torch.serialization.safe_globals(_PLAIN_DATA), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of unusual pickles: they are read or refused
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "GLOBAL" not in str(error) and "Unsupported" not in str(error):
            raise
        raise WeightsError(
            f"{path}: refused: it holds more than tensors, and opening it could run code that it brings.",
            hint="Where you trust the file, load it once with PyTorch and save only its state_dict(), "
            "best as .safetensors.",
        ) from error


def _unwrap(content: Any, wrappers: tuple[str, ...]) -> Mapping[Any, Any]:
    """The innermost mapping: checkpoints keep the tensors in an entry of their own, sometimes in two."""
    if not isinstance(content, Mapping):
        return {}
    for name in wrappers:
        if isinstance(content.get(name), Mapping):
            return _unwrap(content[name], wrappers)
    return content


def strip_prefixes(state: StateDict, wanted: StateDict) -> dict[str, Tensor]:
    """The state without the prefixes that training code puts in front of names (`module.`, `backbone.`).

    A prefix stays where taking it away would make fewer names fit `wanted`, or two names the same.
    """
    current = dict(state)
    for _ in range(max(name.count(".") for name in state)):  # prefixes nest: "module.backbone."
        for prefix in _PREFIXES:
            shorter = {name.removeprefix(prefix): value for name, value in current.items()}
            if len(shorter) == len(current) and _fitting(shorter, wanted) >= _fitting(current, wanted):
                current = shorter
    return current


def _fitting(state: StateDict, wanted: StateDict) -> int:
    return sum(name in wanted for name in state)


def fits(state: StateDict, wanted: StateDict) -> bool:
    """Whether every weight of the model is there, in its shape."""
    return all(name in state and state[name].shape == value.shape for name, value in _weights(wanted))


def match(state: StateDict, wanted: StateDict, *, file: Path, model: str) -> Match:
    """The entries of `state` that a model with the state dict `wanted` takes.

    Names that the model lacks are dropped and listed. Raises `WeightsError` for a name that the file lacks and for
    another shape, naming the file, the model, the first such names and the likely cause.
    """
    missing = [name for name, _ in _weights(wanted) if name not in state]
    if missing:
        raise WeightsError(
            f"{file}: no weights of {model}: {len(missing)} of {len(wanted)} names are missing: {shorten(missing)}.",
            hint=_cause(state, wanted, missing),
        )
    for name, value in _weights(wanted):
        if state[name].shape != value.shape:
            raise WeightsError(
                f"{file}: {name} has the shape {_shape(state[name])}, but {model} needs {_shape(value)}.",
                hint="The file belongs to another size of this model: name that model, or give its file.",
            )
    kept = {name: state.get(name, value) for name, value in wanted.items()}
    return Match(kept, tuple(sorted(name for name in state if name not in wanted)))


def _weights(wanted: StateDict) -> Iterator[tuple[str, Tensor]]:
    """The entries that matter for features: batch norm's counter of training steps does not."""
    return ((name, value) for name, value in wanted.items() if not name.endswith(_NOT_WEIGHTS))


def _cause(state: StateDict, wanted: StateDict, missing: list[str]) -> str:
    """The likeliest reason for missing names."""
    unexpected = [name for name in state if name not in wanted]
    if len(unexpected) == len(state):
        return f"No name fits: the file is of another model or of other code; its names: {shorten(state)}."
    parts = {name.partition(".")[0] for name in missing}
    if not unexpected:
        return f"Every name in the file fits, so it is a part of these weights: it lacks {shorten(sorted(parts))}."
    return f"{len(state) - len(unexpected)} names fit, so it may be another variant; it also has {shorten(unexpected)}."


def _shape(tensor: Tensor) -> str:
    return " x ".join(str(size) for size in tensor.shape) or "a single number"
