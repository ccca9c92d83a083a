"""Small samples, weights of small networks made on the spot, and options that the tests of finetuning share."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from lsfa_cli.backbones import load_backbone
from lsfa_cli.backbones.base import Backbone
from lsfa_cli.finetuning import FinetuningOptions, TrainingSamples
from lsfa_cli.samples import Modality, PreparedSample, SampleRecord
from tests.training_parts import small_options

SIZE = 64
XYZ_GRID = 16


def weights_of(folder: Path, model: str) -> Path:
    """A file of seeded weights of a small model of timm for 64 pixels; `?depth=N` cuts a transformer short."""
    model, _, option = model.partition("?")
    if not timm.is_model(model):
        pytest.skip(f"this version of timm has no {model}")
    path = folder / f"{model}{option}.safetensors"
    if not path.exists():
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            options: dict[str, Any] = {"img_size": SIZE} if "vit" in model else {}
            if option:
                options["depth"] = int(option.removeprefix("depth="))
            whole = timm.create_model(model, **options)
            for name, value in whole.state_dict().items():
                if name.endswith("running_var"):
                    value.uniform_(0.5, 2)
            save_file(whole.state_dict(), path)
    return path


def rgb_backbone(folder: Path, model: str = "test_vit", **more: object) -> Backbone:
    """A small network of timm with weights of its own."""
    return load_backbone(f"timm:{model}", weights_of(folder, model), image_size=SIZE, **more)


def prepared(count: int, *, seed: int = 0) -> list[PreparedSample]:
    """Seeded bumps on a plate, seen in both modalities; parts differ in where the bump is."""
    generator = np.random.default_rng(seed)
    rows, columns = np.meshgrid(np.arange(SIZE), np.arange(SIZE), indexing="ij")
    samples = []
    for index in range(count):
        center = generator.uniform(24, 40, 2)
        bump = np.exp(-((rows - center[0]) ** 2 + (columns - center[1]) ** 2) / 60)
        rgb = np.stack([bump, 1 - bump, 0.3 * bump]) + 0.05 * generator.random((3, SIZE, SIZE))
        valid = (rows - 32) ** 2 + (columns - 32) ** 2 < 28**2
        xyz = np.stack([columns / 1000, rows / 1000, 0.5 - 0.01 * bump]) * valid
        record = SampleRecord(f"train/good/{index:03d}", "train", "good", {})
        samples.append(
            PreparedSample(record, np.clip(rgb, 0, 1).astype(np.float32), xyz.astype(np.float32), valid, None)
        )
    return samples


def training_samples(backbones: dict[Modality, Backbone], count: int = 5) -> TrainingSamples:
    """The samples as finetuning takes them."""
    samples = TrainingSamples(backbones)
    samples.add(prepared(count))
    return samples


def finetuning_options(how: str, **changes: object) -> FinetuningOptions:
    """Options that finish in a moment."""
    common = vars(small_options(**{"head_dimension": 8, "patches_per_sample": 16, **changes}))
    left_out = ("adaptor", "start", "largest_sample")
    own = {"how": how, "rank": 2, "alpha": 4.0}
    return FinetuningOptions(**{name: value for name, value in common.items() if name not in left_out} | own)
