"""Finding the published weights of a timm model: in the cache, or over the network without long waits."""

import errno
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import huggingface_hub
import torch
from huggingface_hub.errors import EntryNotFoundError

from lsfa_cli.errors import ResourceError, WeightsError

_FILE_NAMES = ("model.safetensors", "pytorch_model.bin")
_PROBE_SECONDS = 5.0


def find_pretrained(model: str, configuration: Mapping[str, Any]) -> Path:
    """The file with the published weights of `model`, downloaded when it is in no cache.

    configuration: timm's `pretrained_cfg`. Raises `WeightsError` naming the file and the ways to provide it when
    there are none, or no network, after a few seconds at most; `ResourceError` when the disk is full.
    """
    repository, url = configuration.get("hf_hub_id"), configuration.get("url")
    try:
        if repository:
            name = configuration.get("hf_hub_filename")
            return _from_hub(str(repository), (str(name),) if name else _FILE_NAMES)
        if url:
            return _from_url(str(url))
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise ResourceError(f"no space left on disk for the weights of {model}: {error}") from error
        raise _unavailable(model, configuration, error) from error
    except (RuntimeError, ValueError) as error:
        raise _unavailable(model, configuration, error) from error
    raise WeightsError(
        f"there are no published weights for {model}.",
        hint="Give a file (--rgb-weights FILE), choose another model, or use the backbone 'texture', which needs none.",
    )


def expected_file(configuration: Mapping[str, Any]) -> str:
    """How a person names the file: the repository of the hub and the file in it, or its address."""
    repository = configuration.get("hf_hub_id")
    if repository:
        return f"{configuration.get('hf_hub_filename') or _FILE_NAMES[0]} of {repository} (Hugging Face)"
    return str(configuration.get("url"))


def _unavailable(model: str, configuration: Mapping[str, Any], error: Exception) -> WeightsError:
    reason = (str(error).splitlines() or [""])[0] or type(error).__name__
    return WeightsError(
        f"the weights of {model} are not here and cannot be downloaded: {reason[:160]}",
        hint=f"Expected: {expected_file(configuration)}.\nDownload it on a machine with network and give it with "
        "--rgb-weights FILE, or use the backbone 'texture', which needs none.",
    )


def _from_hub(repository: str, names: tuple[str, ...]) -> Path:
    """The first of `names` in the hub's cache, else downloaded: a cached file is used without asking the network."""
    repository, _, revision = repository.partition("@")
    for name in names:
        cached = huggingface_hub.try_to_load_from_cache(repository, name, revision=revision or None)
        if isinstance(cached, str):
            return Path(cached)
    _probe(huggingface_hub.hf_hub_url(repository, names[0], revision=revision or None))
    for name in names[:-1]:
        try:
            return Path(huggingface_hub.hf_hub_download(repository, name, revision=revision or None))
        except EntryNotFoundError:
            continue  # older repositories hold only the second name
    return Path(huggingface_hub.hf_hub_download(repository, names[-1], revision=revision or None))


def _probe(url: str) -> None:
    """One short request: the hub's own client repeats a failing one for most of a minute. Any answer will do."""
    hub_utilities: Any = huggingface_hub.utils
    try:
        hub_utilities.get_session().head(url, timeout=_PROBE_SECONDS)
    except Exception as error:  # the client's library, and with it the type, differs between versions of the hub
        raise OSError(f"no connection to {urlparse(url).hostname} ({error})") from error


def _from_url(url: str) -> Path:
    """The file of an address in PyTorch's cache, else downloaded."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(url).path).name
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), progress=False)
    return path
