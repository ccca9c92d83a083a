"""Training through a backbone: what changes, what does not, and that it comes back."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from lsfa_cli.backbones import load_backbone
from lsfa_cli.backbones.base import Backbone, TunableBackbone
from lsfa_cli.errors import UsageError
from lsfa_cli.finetuning import FinetuningResult, finetune
from lsfa_cli.samples import Modality
from lsfa_cli.training import FINISHED
from lsfa_cli.weight_changes import apply_changes
from tests.finetuning_parts import (
    SIZE,
    XYZ_GRID,
    finetuning_options,
    prepared,
    rgb_backbone,
    training_samples,
    weights_of,
)

HOWS = ("lora", "adalora", "last_1", "last_2", "last_3", "all")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("weights")


def surface() -> Backbone:
    return load_backbone("surface", image_size=SIZE, grid=XYZ_GRID)


def tuned(folder: Path, how: str, model: str = "test_vit", **changes: object) -> tuple[FinetuningResult, Backbone]:
    """What finetuning gives, and the backbone with its changes."""
    backbones: dict[Modality, Backbone] = {"rgb": rgb_backbone(folder, model), "xyz": surface()}
    rate = 1e-2 if how.endswith("lora") else 1e-4
    options = finetuning_options(how, **{"learning_rate": rate, "steps": 4, **changes})
    result = finetune(training_samples(backbones), options)
    fresh = rgb_backbone(folder, model)
    assert isinstance(fresh, TunableBackbone)
    apply_changes(fresh.network, result.changes["rgb"])
    # The network that was trained, as training left it, and the file's with the changes agree.
    trained = backbones["rgb"].patches(prepared(1))[0].values
    np.testing.assert_allclose(fresh.patches(prepared(1))[0].values, trained, rtol=1e-3, atol=1e-4)
    return result, fresh


def changed(result: FinetuningResult) -> set[str]:
    """Names of the weights that are not what they were, by the parts that tell where they are."""
    found = result.changes["rgb"]
    return {*found.weights, *(name for name, (left, right) in found.factors.items() if (left @ right).any())}


def bytes_of(result: FinetuningResult) -> list[bytes]:
    found = result.changes["rgb"]
    arrays = [*found.weights.values(), *(part for pair in found.factors.values() for part in pair)]
    return [array.tobytes() for array in (*arrays, *result.curves.values())]


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("model", ["test_vit", "test_efficientnet"])
def test_every_way_trains(folder: Path, how: str, model: str) -> None:
    if how.endswith("lora"):
        pytest.importorskip("peft")
    result, backbone = tuned(folder, how, model)
    assert result.stopped == FINISHED
    assert result.notes == ("xyz: surface has no weights to train; its features stay as they are",)
    before = rgb_backbone(folder, model).patches(prepared(1))[0].values
    assert not np.allclose(backbone.patches(prepared(1))[0].values, before, atol=1e-4)


@pytest.mark.parametrize("how", ["adalora", "all"])
def test_equal_seeds_equal_bytes(folder: Path, how: str) -> None:
    if how.endswith("lora"):
        pytest.importorskip("peft")
    first, again, other = (bytes_of(tuned(folder, how, seed=seed)[0]) for seed in (0, 0, 1))
    assert again == first
    assert other != first


def test_the_last_blocks_are_those_that_reach_the_features(folder: Path) -> None:
    for how, first in (("last_1", 5), ("last_2", 4), ("last_3", 3)):
        names = changed(tuned(folder, how)[0])
        assert {name.split(".")[1] for name in names} == {str(number) for number in range(first, 6)}
    # The feature wrapper ends at stride 16, and the network's last stage would have no gradient.
    names = changed(tuned(folder, "last_1", "test_efficientnet")[0])
    assert {name[:8] for name in names} == {"blocks.3"}
    every = changed(tuned(folder, "all", "test_efficientnet")[0])
    assert {"conv_stem.weight", "bn1.bias"} < every
    assert not any(name.startswith("blocks.4") for name in every)


def test_all_of_a_transformer_has_its_embedding_and_its_final_norm(folder: Path) -> None:
    assert {"pos_embed", "cls_token", "patch_embed.proj.weight", "norm.bias"} < changed(tuned(folder, "all")[0])


def test_more_blocks_than_there_are_is_told(folder: Path) -> None:
    backbones: dict[Modality, Backbone] = {"rgb": rgb_backbone(folder, "test_vit?depth=2")}
    result = finetune(training_samples(backbones), finetuning_options("last_3", steps=1))
    assert "rgb: the network has 2 blocks, and last_3 trains all of them" in result.notes


def test_adalora_ends_with_ranks_of_its_own(folder: Path) -> None:
    pytest.importorskip("peft")
    factors = tuned(folder, "adalora", steps=6)[0].changes["rgb"].factors
    ranks = [right.shape[0] for _, right in factors.values()]
    assert sum(ranks) == 2 * len(ranks)
    assert len(set(ranks)) > 1
    lora = tuned(folder, "lora")[0].changes["rgb"].factors
    assert {right.shape[0] for _, right in lora.values()} == {2}
    assert set(lora) == set(factors)
    assert all(".attn." in name or ".mlp." in name for name in lora)


def test_batch_norm_keeps_its_statistics(folder: Path) -> None:
    backbones: dict[Modality, Backbone] = {"rgb": rgb_backbone(folder, "test_resnet"), "xyz": surface()}
    finetune(training_samples(backbones), finetuning_options("all"))
    assert isinstance(backbones["rgb"], TunableBackbone)
    after = backbones["rgb"].network.state_dict()
    saved = load_file(weights_of(folder, "test_resnet"))
    statistics = [name for name in after if "running" in name]
    assert len(statistics) > 10
    assert all(torch.equal(after[name], saved[name]) for name in statistics)
    assert any(not torch.equal(after[name], saved[name]) for name in after if name not in statistics)


@pytest.mark.parametrize("how", ["last_1", "lora", "adalora"])
def test_no_steps_change_nothing(folder: Path, how: str) -> None:
    if how.endswith("lora"):
        pytest.importorskip("peft")
    result, backbone = tuned(folder, how, steps=0)
    before = rgb_backbone(folder).patches(prepared(1))[0].values
    assert np.array_equal(backbone.patches(prepared(1))[0].values, before)
    assert result.curves["step"].tolist() == [0]


def test_a_modality_without_weights_takes_part_in_clc_alone(folder: Path) -> None:
    curves = tuned(folder, "last_1")[0].curves
    assert {"L_LA", "L_GA", "L_LC_rgb", "L_GC_rgb", "effective_rank_rgb"} < set(curves)
    assert not any(name.endswith("_xyz") for name in curves)


def test_one_modality_trains_on_ifc(folder: Path) -> None:
    result = finetune(training_samples({"rgb": rgb_backbone(folder)}), finetuning_options("last_1"))
    assert any("no CLC" in note for note in result.notes)
    assert "L_LA" not in result.curves


@pytest.mark.parametrize("how", ["last_2", "adalora"])
def test_alternating_updates(folder: Path, how: str) -> None:
    if how == "adalora":
        pytest.importorskip("peft")
    result, _ = tuned(folder, how, update="alternating", steps=5)
    assert result.stopped == FINISHED
    if how == "adalora":
        ranks = [right.shape[0] for _, right in result.changes["rgb"].factors.values()]
        assert sum(ranks) == 2 * len(ranks)


def test_collapse_gives_back_the_last_good_state(folder: Path) -> None:
    result, _ = tuned(folder, "all", learning_rate=1e-2, steps=12, guard_interval=1)
    assert result.stopped.startswith("collapse at step")
    assert all(np.isfinite(values).all() for values in result.changes["rgb"].weights.values())


def test_nothing_to_train_is_a_usage_error() -> None:
    backbones = {"rgb": load_backbone("texture", image_size=SIZE), "xyz": surface()}
    with pytest.raises(UsageError, match="nothing to train: texture and surface have no weights") as refused:
        finetune(training_samples(backbones), finetuning_options("all"))
    assert "timm:MODEL" in str(refused.value.hint)
    with pytest.raises(UsageError, match="surface has no weights"):
        finetune(training_samples({"xyz": surface()}), finetuning_options("all"))
