"""What `auto` stands for, and that products in bfloat16 change features and training no more than they may."""

from pathlib import Path

import numpy as np
import pytest
import torch

from lsfa_cli import precision
from lsfa_cli.precision import has_matrix_units, multiplies_bfloat16, precision_of, products_in
from lsfa_cli.settings import AdaptSettings, BankSettings, ExtractSettings, content_of
from lsfa_cli.stages.recorded import recorded
from lsfa_cli.training import train
from tests.training_parts import SmallSource, small_options


@pytest.fixture
def processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Sets what the processor says it can do."""

    def says(flags: str) -> None:
        file = tmp_path / "cpuinfo"
        file.write_text(f"processor : 0\nmodel name : one\nflags : {flags}\nbugs : amx_tile amx_bf16\n")
        monkeypatch.setattr(precision, "PROCESSOR_INFORMATION", file)

    return says


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("fpu avx512f avx512_bf16", "fp32"),
        ("fpu amx_tile avx512_bf16", "fp32"),
        ("fpu amx_bf16 avx512_bf16 amx_tile amx_int8", "bf16"),
    ],
)
def test_auto_asks_the_processor(processor, flags: str, expected: str) -> None:
    processor(flags)
    assert precision_of("auto", "cpu") == expected
    assert precision_of("fp32", "cpu") == "fp32"
    assert precision_of("bf16", "cpu") == "bf16"


def test_a_system_that_does_not_tell_computes_in_float32(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "PROCESSOR_INFORMATION", tmp_path / "missing")
    assert not has_matrix_units("cpu")
    assert not multiplies_bfloat16("cpu")


@pytest.mark.parametrize(
    ("flags", "expected"), [("fpu avx512f", False), ("fpu avx512_bf16", True), ("fpu amx_bf16 amx_tile", True)]
)
def test_any_instructions_for_bfloat16_will_do_for_a_coreset(processor, flags: str, expected: bool) -> None:
    processor(flags)
    assert multiplies_bfloat16("cpu") is expected
    assert not multiplies_bfloat16("cuda")


@pytest.mark.parametrize(("capability", "expected"), [((7, 5), False), ((8, 0), True), ((9, 0), True)])
def test_cuda_tells_by_its_capability(monkeypatch: pytest.MonkeyPatch, capability: tuple, expected: bool) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert has_matrix_units("cuda") is expected


def test_products_in_a_precision_give_it() -> None:
    ones = torch.ones(2, 2)
    with products_in("bf16", "cpu"):
        assert (ones @ ones).dtype == torch.bfloat16
    with products_in("fp32", "cpu"):
        assert (ones @ ones).dtype == torch.float32


@pytest.mark.parametrize(("stage", "settings"), [("extract", ExtractSettings), ("adapt", AdaptSettings)])
def test_artifacts_record_what_it_resolved_to(processor, stage: str, settings) -> None:
    """float32 is not recorded: what was made before there was a choice stays up to date."""
    processor("fpu")
    plain = recorded(stage, settings(precision="fp32"), device="cpu")
    assert "precision" not in plain
    assert recorded(stage, settings(), device="cpu") == plain
    rounded = recorded(stage, settings(precision="bf16"), device="cpu")
    assert rounded == plain | {"precision": "bf16"}
    processor("amx_tile amx_bf16")
    assert recorded(stage, settings(), device="cpu") == rounded
    assert "precision" not in recorded("bank", BankSettings(), device="cpu")
    assert "precision" not in recorded("adapt", AdaptSettings(method="cfm"), device="cpu")


def test_studies_name_cells_as_before_there_was_a_choice() -> None:
    assert "precision" not in content_of(ExtractSettings())
    assert content_of(ExtractSettings(precision="bf16"))["precision"] == "bf16"


def test_training_in_bfloat16_follows_training_in_float32() -> None:
    runs = {
        name: train(SmallSource(40), ("rgb", "xyz"), small_options(precision=name, steps=8, batch_size=8))
        for name in ("fp32", "bf16")
    }
    plain, rounded = runs["fp32"].curves, runs["bf16"].curves
    assert list(plain) == list(rounded)
    for name in ("L", "L_LA", "L_LC_rgb", "L_GC_xyz"):
        np.testing.assert_allclose(rounded[name][1:], plain[name][1:], rtol=0.02, err_msg=name)
    assert not np.array_equal(rounded["L"], plain["L"])
    changed = False
    for modality, state in runs["bf16"].parameters.items():
        for name, value in state.items():
            assert value.dtype == np.float32
            difference = np.abs(value - runs["fp32"].parameters[modality][name]).max()
            changed = changed or difference > 0
            assert difference < 8 * 1e-3  # AdamW moves a weight by at most about the learning rate a step
    assert changed


def test_training_in_bfloat16_repeats_itself() -> None:
    options = small_options(precision="bf16")
    first, second = (train(SmallSource(5), ("rgb", "xyz"), options) for _ in range(2))
    assert {name: values.tobytes() for name, values in first.curves.items()} == {
        name: values.tobytes() for name, values in second.curves.items()
    }
