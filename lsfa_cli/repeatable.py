"""Training that repeats: torch's deterministic kernels for as long as it runs, and a seeded start."""

import contextlib
import math
import os
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
NOT_REPEATABLE = "CUDA was in use before training: equal seeds may differ in the last bits"


@contextlib.contextmanager
def repeatable_kernels(device: str) -> Iterator[bool]:
    """Deterministic kernels inside, what was set before outside; yields whether equal seeds give equal bytes.

    They do on the CPU. On CUDA, cuBLAS reads its workspace setting when the process first uses it; if that was
    before and without the setting, kernels are as repeatable as they can be and the answer is False.
    """
    # A module with a property, which type checkers do not see.
    memory: Any = torch.utils.deterministic
    enabled = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    fill = memory.fill_uninitialized_memory
    workspace = os.environ.get(WORKSPACE)
    try:
        os.environ.setdefault(WORKSPACE, ":4096:8")
        torch.use_deterministic_algorithms(True)
        # Filling would touch all pages of a bank's capacity, used or not.
        memory.fill_uninitialized_memory = False
        repeatable = _products_are_repeatable(device)
        torch.use_deterministic_algorithms(True, warn_only=not repeatable)
        yield repeatable
    finally:
        torch.use_deterministic_algorithms(enabled, warn_only=warn_only)
        memory.fill_uninitialized_memory = fill
        if workspace is None:
            os.environ.pop(WORKSPACE, None)


def _products_are_repeatable(device: str) -> bool:
    """Whether torch accepts a matrix product on the device as deterministic."""
    unit = torch.eye(2, device=device)
    try:
        unit @ unit
    except RuntimeError:
        return False
    return True


def seed_for(seed: int, purpose: str) -> int:
    """An independent seed for each purpose, so that one choice does not change another's."""
    return int(np.random.SeedSequence([seed, zlib.crc32(purpose.encode())]).generate_state(1)[0])


def draw_uniform(module: nn.Module, generator: torch.Generator) -> None:
    """PyTorch's usual start of the linear layers of a module, but seeded: uniform up to 1 / sqrt(inputs)."""
    with torch.no_grad():
        for layer in (part for part in module.modules() if isinstance(part, nn.Linear)):
            bound = 1 / math.sqrt(layer.in_features)
            layer.weight.uniform_(-bound, bound, generator=generator)
            layer.bias.uniform_(-bound, bound, generator=generator)
