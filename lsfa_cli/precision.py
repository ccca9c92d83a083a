"""In which floating-point type matrix products run: float32, or bfloat16 where the machine is made for it.

bfloat16 has the range of float32 and 8 significant bits. Products of it are added up in float32. Where the processor
or the GPU has matrix units for it they are several times as fast; elsewhere they are slower than those of float32.
"""

import contextlib
from pathlib import Path
from typing import Literal

import torch

Precision = Literal["fp32", "bf16"]

PROCESSOR_INFORMATION = Path("/proc/cpuinfo")
MATRIX_UNITS = frozenset({"amx_tile", "amx_bf16"})  # AVX-512's bfloat16 is not enough: networks hardly gain
PRODUCTS = frozenset({"avx512_bf16", "amx_bf16"})
FIRST_CAPABILITY = (8, 0)  # of CUDA devices whose tensor cores take bfloat16 (Ampere)


def precision_of(choice: Literal["auto", "fp32", "bf16"], device: str) -> Precision:
    """The precision that is asked for; auto is bf16 on a device that has matrix units for it, fp32 elsewhere.

    Told by what the device says of itself and not by a measurement, so that the answer is the same at every run.
    """
    if choice != "auto":
        return choice
    return "bf16" if has_matrix_units(device) else "fp32"


def has_matrix_units(device: str) -> bool:
    """Whether the device multiplies matrices of bfloat16 in units of their own. Of processors only Linux tells."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_capability(device) >= FIRST_CAPABILITY
    return processor_flags() >= MATRIX_UNITS


def multiplies_bfloat16(device: str) -> bool:
    """Whether the device is a processor with instructions for products of bfloat16, in units of their own or not."""
    return device == "cpu" and bool(processor_flags() & PRODUCTS)


def processor_flags() -> frozenset[str]:
    """What the processor can do, as Linux names it; empty elsewhere."""
    try:
        lines = PROCESSOR_INFORMATION.read_text().splitlines()
    except OSError:
        return frozenset()
    return next((frozenset(line.split()[2:]) for line in lines if line.startswith("flags")), frozenset())


def products_in(precision: Precision, device: str) -> contextlib.AbstractContextManager[object]:
    """A context in which a network's matrix products run in this precision; its weights stay in float32."""
    if precision == "fp32":
        return contextlib.nullcontext()
    return torch.autocast(torch.device(device).type, dtype=torch.bfloat16)
