import errno
import time

import huggingface_hub
import pytest
import timm
import torch
from huggingface_hub import constants

from lsfa_cli.backbones import load_backbone
from lsfa_cli.backbones.downloads import find_pretrained
from lsfa_cli.errors import ResourceError, WeightsError

REPOSITORY = {"hf_hub_id": "timm/some.tag", "url": "https://example.org/never_asked.pth"}


class NoNetwork:
    """A session of the hub's client on a machine without network."""

    def __init__(self):
        self.asked = []

    def head(self, url, timeout):
        self.asked.append((url, timeout))
        raise ConnectionError("Name or service not known\nwith more\nlines")


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    """Empty caches and no network; returns the session that was asked."""
    session = NoNetwork()
    monkeypatch.setattr(huggingface_hub.utils, "get_session", lambda: session)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *_, **__: pytest.fail("asked the network"))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "torch"))
    return session


def cached(folder, name, repository="timm/some.tag", revision="main"):
    """A file in the layout of the hub's cache."""
    home = folder / "hub" / f"models--{repository.replace('/', '--')}"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / revision).write_text("0123abcd")
    path = home / "snapshots" / "0123abcd" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(b"weights")
    return path


def test_without_network_the_message_names_the_file_and_the_ways_to_provide_it(offline):
    start = time.monotonic()
    with pytest.raises(WeightsError) as caught:
        find_pretrained("some.tag", REPOSITORY)
    assert time.monotonic() - start < 5
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("the weights of some.tag are not here and cannot be downloaded: no connection to ")
    assert "Name or service not known" in lines[0]
    assert lines[1] == "Expected: model.safetensors of timm/some.tag (Hugging Face)."
    assert "--rgb-weights FILE" in lines[2]
    assert "'texture'" in lines[2]
    ((url, timeout),) = offline.asked
    assert url.endswith("timm/some.tag/resolve/main/model.safetensors")
    assert timeout <= 10


def test_the_papers_backbone_fails_so_too(offline):
    with pytest.raises(WeightsError, match=r"vit_base_patch8_224\.dino are not here") as caught:
        load_backbone("dino_vitb8")
    assert "timm/vit_base_patch8_224.dino" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_a_cached_file_is_used_without_asking_the_network(tmp_path, offline, name):
    path = cached(tmp_path, name)
    assert find_pretrained("some.tag", REPOSITORY) == path
    assert offline.asked == []


def test_a_configuration_may_name_its_file_and_revision(tmp_path):
    path = cached(tmp_path, "open_clip_model.safetensors", revision="v2")
    configuration = {"hf_hub_id": "timm/some.tag@v2", "hf_hub_filename": "open_clip_model.safetensors"}
    assert find_pretrained("some.tag", configuration) == path


def test_what_is_in_no_cache_is_downloaded(monkeypatch, tmp_path):
    monkeypatch.setattr(NoNetwork, "head", lambda *_, **__: None)
    asked = []

    def download(repository, name, revision):
        asked.append((repository, name, revision))
        if name == "model.safetensors":
            raise huggingface_hub.errors.EntryNotFoundError("not there")
        return str(tmp_path / name)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    assert find_pretrained("some.tag", REPOSITORY) == tmp_path / "pytorch_model.bin"
    assert asked == [("timm/some.tag", "model.safetensors", None), ("timm/some.tag", "pytorch_model.bin", None)]


@pytest.mark.parametrize(
    ("raised", "expected"),
    [(OSError("401 Client Error: gated"), WeightsError), (OSError(errno.ENOSPC, "No space left"), ResourceError)],
)
def test_a_failing_download_is_told_by_its_cause(monkeypatch, raised, expected):
    def fail(*_, **__):
        raise raised

    monkeypatch.setattr(NoNetwork, "head", lambda *_, **__: None)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fail)
    with pytest.raises(expected, match=r"401 Client Error: gated|no space left on disk for the weights of some\.tag"):
        find_pretrained("some.tag", REPOSITORY)


def test_weights_at_an_address_are_kept_in_the_cache_of_pytorch(monkeypatch, tmp_path):
    configuration = {"hf_hub_id": None, "url": "https://example.org/models/some-0123.pth?download=1"}
    asked = []

    def download(url, path, progress):
        asked.append(url)
        (tmp_path / "torch" / "checkpoints" / "some-0123.pth").write_bytes(b"weights")
        assert path == str(tmp_path / "torch" / "checkpoints" / "some-0123.pth")

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    for _ in range(2):
        assert find_pretrained("some", configuration).read_bytes() == b"weights"
    assert asked == [configuration["url"]]


def test_an_address_that_does_not_answer_is_named(monkeypatch):
    def fail(*_, **__):
        raise OSError("timed out")

    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    with pytest.raises(WeightsError, match="timed out") as caught:
        find_pretrained("some", {"url": "https://example.org/some.pth"})
    assert "https://example.org/some.pth" in str(caught.value)


def test_a_model_without_published_weights_says_so():
    unpublished = next(name for name in timm.list_models("resnet*") if not timm.is_model_pretrained(name))
    with pytest.raises(WeightsError, match=f"no published weights for {unpublished}"):
        load_backbone(f"timm:{unpublished}")
