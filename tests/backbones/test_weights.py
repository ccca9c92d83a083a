import argparse
import hashlib
import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from lsfa_cli.backbones.weights import (
    file_digest,
    fits,
    match,
    read_state_dict,
    strip_prefixes,
)
from lsfa_cli.errors import WeightsError

STATE = {"stem.weight": torch.arange(6.0).reshape(2, 3), "block.bias": torch.ones(2)}


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def saved(folder, content, name="weights.pth"):
    path = folder / name
    torch.save(content, path)
    return path


# --- reading


def test_a_safetensors_file_is_read(tmp_path):
    save_file(STATE, tmp_path / "weights.safetensors")
    assert same(read_state_dict(tmp_path / "weights.safetensors"), STATE)


@pytest.mark.parametrize("name", ["weights.pth", "weights.pt", "pytorch_model.bin", "last.CKPT"])
def test_a_pytorch_file_is_read(tmp_path, name):
    assert same(read_state_dict(saved(tmp_path, STATE, name)), STATE)


def test_an_old_pytorch_file_is_read(tmp_path):
    torch.save(STATE, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert same(read_state_dict(tmp_path / "old.pth"), STATE)


@pytest.mark.parametrize(
    "content",
    [
        {"state_dict": STATE, "epoch": 3, "optimizer": {"lr": 0.1}},
        {"model": STATE, "epoch": 3},
        {"teacher": STATE, "student": {"stem.weight": torch.zeros(1)}, "args": argparse.Namespace(arch="vit_base")},
        {"state_dict_ema": STATE, "state_dict": {"stem.weight": torch.zeros(1)}},
        {"state_dict": {"model": STATE}},
        {**STATE, "epoch": 3, "name": "not a tensor"},
    ],
    ids=["state_dict", "model", "teacher", "ema", "nested", "beside"],
)
def test_wrapped_weights_are_found(tmp_path, content):
    assert same(read_state_dict(saved(tmp_path, content)), STATE)


def test_other_wrappers_can_be_named(tmp_path):
    path = saved(tmp_path, {"base_model": STATE, "epoch": 1})
    assert same(read_state_dict(path, wrappers=("base_model",)), STATE)
    with pytest.raises(WeightsError, match=r"holds no tensors by name \(its entries: base_model, epoch"):
        read_state_dict(path)


class Touches:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("new_format", [True, False])
def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(tmp_path, new_format):
    path, trace = tmp_path / "evil.pth", tmp_path / "trace"
    torch.save({"state_dict": STATE, "x": Touches(trace)}, path, _use_new_zipfile_serialization=new_format)
    with pytest.raises(WeightsError, match="refused: it holds more than tensors") as caught:
        read_state_dict(path)
    assert str(path) in str(caught.value)
    assert "state_dict()" in str(caught.value.hint)
    assert len(str(caught.value).splitlines()) <= 3
    assert not trace.exists()


def test_a_whole_model_is_refused(tmp_path):
    with pytest.raises(WeightsError, match="refused"):
        read_state_dict(saved(tmp_path, torch.nn.Linear(2, 2)))


def test_a_plain_pickle_is_refused_or_unreadable_but_never_run(tmp_path):
    path = tmp_path / "plain.pth"
    path.write_bytes(pickle.dumps(Touches(tmp_path / "trace")))
    with pytest.raises(WeightsError, match=r"plain\.pth"):
        read_state_dict(path)
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("damage", ["empty", "truncated", "text", "scrambled"])
def test_a_damaged_file_is_named(tmp_path, suffix, damage):
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save(STATE, path)
    else:
        save_file(STATE, path)
    content = path.read_bytes()
    path.write_bytes(
        {
            "empty": b"",
            "truncated": content[: len(content) // 2],
            "text": b"<html>not found</html>",
            "scrambled": b"\x80\x02" + bytes(range(256)),
        }[damage]
    )
    with pytest.raises(WeightsError) as caught:
        read_state_dict(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 3


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    for path in (tmp_path / "none.pth", tmp_path):
        with pytest.raises(WeightsError, match="no such weights file"):
            read_state_dict(path)


def test_another_type_of_file_says_which_can_be_read(tmp_path):
    (tmp_path / "weights.h5").write_bytes(b"x")
    with pytest.raises(WeightsError, match=r"'\.h5' cannot be read") as caught:
        read_state_dict(tmp_path / "weights.h5")
    assert ".safetensors" in str(caught.value.hint)


def test_a_file_without_tensors_is_named(tmp_path):
    with pytest.raises(WeightsError, match="holds no tensors"):
        read_state_dict(saved(tmp_path, {"epoch": 3}))
    with pytest.raises(WeightsError, match="holds no tensors"):
        read_state_dict(saved(tmp_path, torch.zeros(3)))


def test_the_digest_is_sha256_of_the_bytes(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"abc" * 1_000_000)
    assert file_digest(path) == hashlib.sha256(b"abc" * 1_000_000).hexdigest()


# --- prefixes


@pytest.mark.parametrize("prefix", ["module.", "backbone.", "module.backbone.", "model.module."])
def test_prefixes_of_training_code_are_removed(prefix):
    assert same(strip_prefixes({prefix + name: value for name, value in STATE.items()}, STATE), STATE)


def test_a_prefix_on_some_names_only_is_removed_from_those():
    state = {"backbone.stem.weight": STATE["stem.weight"], "block.bias": STATE["block.bias"], "head.w": torch.ones(1)}
    assert same(strip_prefixes(state, STATE), {**STATE, "head.w": torch.ones(1)})


def test_a_prefix_that_the_model_itself_has_stays():
    wanted = {"encoder.weight": torch.ones(1), "model.bias": torch.ones(1)}
    assert same(strip_prefixes(wanted, wanted), wanted)
    with_module = {f"module.{name}": value for name, value in wanted.items()}
    assert same(strip_prefixes(with_module, wanted), wanted)


def test_names_that_would_become_the_same_are_left_alone():
    state = {"module.weight": torch.ones(1), "weight": torch.zeros(1)}
    assert same(strip_prefixes(state, {"weight": torch.ones(1)}), state)


# --- matching


def matched(state, wanted=STATE):
    return match(state, wanted, file=Path("some.pth"), model="some model")


def test_weights_that_fit_are_taken_and_nothing_is_noted():
    result = matched(STATE)
    assert same(result.state, STATE)
    assert result.dropped == ()
    assert result.notes() == ()
    assert fits(STATE, STATE)


def test_unexpected_names_are_dropped_and_listed_in_order():
    extra = {f"head.{number}": torch.ones(1) for number in reversed(range(6))}
    result = matched({**STATE, **extra})
    assert same(result.state, STATE)
    assert result.notes() == ("dropped 6 unexpected keys: head.0, head.1, head.2, head.3, ...",)
    assert matched({**STATE, "head": torch.ones(1)}).notes() == ("dropped 1 unexpected key: head",)


def test_names_of_another_model_are_an_error_that_shows_both():
    with pytest.raises(WeightsError, match=r"some\.pth: no weights of some model: 2 of 2 names are missing") as caught:
        matched({"conv.w": torch.ones(1)})
    assert "stem.weight, block.bias" in caught.value.message
    assert "No name fits" in str(caught.value.hint)
    assert "conv.w" in str(caught.value.hint)


def test_a_part_of_the_weights_is_an_error_that_says_what_it_lacks():
    with pytest.raises(WeightsError, match=r"1 of 2 names are missing: block\.bias") as caught:
        matched({"stem.weight": STATE["stem.weight"]})
    assert "it lacks block" in str(caught.value.hint)


def test_another_variant_is_an_error_that_says_what_else_it_has():
    with pytest.raises(WeightsError, match=r"1 of 2 names are missing: block\.bias") as caught:
        matched({"stem.weight": STATE["stem.weight"], "block.gamma": torch.ones(2)})
    assert "another variant" in str(caught.value.hint)
    assert "block.gamma" in str(caught.value.hint)


def test_another_shape_is_an_error_with_both_shapes():
    state = {**STATE, "block.bias": torch.ones(5)}
    with pytest.raises(WeightsError, match=r"block\.bias has the shape 5, but some model needs 2"):
        matched(state)
    assert not fits(state, STATE)


def test_a_scalar_has_a_shape_that_can_be_read():
    with pytest.raises(WeightsError, match="x has the shape 2 x 3, but some model needs a single number"):
        matched({"x": torch.ones(2, 3)}, {"x": torch.tensor(1.0)})


def test_the_step_counter_of_batch_norm_may_be_missing():
    wanted = {**STATE, "bn.num_batches_tracked": torch.tensor(0)}
    result = matched(STATE, wanted)
    assert same(result.state, wanted)
    assert fits(STATE, wanted)
