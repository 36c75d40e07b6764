"""In which arithmetic frozen layers run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

import torch

LEAST_COSINE = (
    0.9999  # between an image's outputs in bfloat16 and in float32, for `auto` to choose the former
)

_FLAGS = ("avx512_bf16", "amx_bf16", "bf16")  # x86 and, the last one, Arm
_CPUINFO = Path("/proc/cpuinfo")


def compute_dtype(
    asked: Literal["float32", "bfloat16", "auto"], trainer_precision: str, device: torch.device
) -> torch.dtype:
    """The type that matrix products and convolutions are computed in.

    What the trainer's own mixed precision says wins: the frozen layers then run as the others do.
    """
    if trainer_precision in ("bf16-mixed", "bf16"):
        return torch.bfloat16
    if trainer_precision in ("16-mixed", "16"):
        return torch.float16
    if asked == "bfloat16" or (asked == "auto" and has_bfloat16(device)):
        return torch.bfloat16
    return torch.float32


def least_cosine(exact: torch.Tensor, rounded: torch.Tensor) -> float:
    """The smallest cosine between the outputs (N, ...) of an image in two precisions, -1 to 1."""
    pairs = exact.flatten(1).double(), rounded.flatten(1).double()
    return torch.nn.functional.cosine_similarity(*pairs).min().item()


def has_bfloat16(device: torch.device) -> bool:
    """Whether the processor has instructions for bfloat16, so that it is faster than float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type != "cpu" or sys.platform != "linux":
        return False
    text = _CPUINFO.read_text(encoding="utf-8", errors="replace")
    flags = next((line for line in text.splitlines() if line.lower().startswith(("flags", "features"))), "")
    return bool(set(flags.split()) & set(_FLAGS))
