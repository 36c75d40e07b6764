"""The outputs of a network's first layers, computed as fast as the machine can; the arithmetic for that."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from transferlab.backbone.boundary import Boundary, activations
from transferlab.backbone.network import Backbone
from transferlab.data.views import Views

LEAST_COSINE = 0.9999  # between an image's outputs in bfloat16 and float32, so that `auto` takes bfloat16
_FLAGS = ("avx512_bf16", "amx_bf16", "bf16")  # x86 and, the last one, Arm
_CPUINFO = Path("/proc/cpuinfo")
# On a CPU small batches stay in its caches: 16 images took two thirds of the time of 64 (mobilenetv2, 128 px)
_BATCH_SIZE = {"cpu": 16}
_BATCH_SIZE_ELSEWHERE = 256


def batch_size(device: torch.device) -> int:
    """How many images run at once."""
    return _BATCH_SIZE.get(device.type, _BATCH_SIZE_ELSEWHERE)


def extracted(
    backbone: Backbone,
    boundary: Boundary,
    views: Views,
    positions: Sequence[int],
    *,
    device: torch.device,
    compute: torch.dtype,
    storage: torch.dtype,
) -> Iterator[tuple[list[int], Tensor]]:
    """Yield positions and the activations (N, *boundary.shape) of their images, on the CPU, batch by batch.

    The backbone is on `device`. Matrix products and convolutions are computed in `compute`; what is yielded is
    of the type `storage`.
    """
    size = batch_size(device)
    modes = {module: module.training for module in backbone.modules()}
    backbone.eval()
    try:
        for batch in views.loader(positions, batch_size=size):
            at = batch["position"].tolist()
            # an incomplete batch is filled up: kernels, and so last bits, may depend on a batch's size
            image = batch["image"][torch.arange(size) % len(at)].to(device)
            image = views.preprocessing.normalised(image).contiguous(memory_format=torch.channels_last)
            with torch.autocast(device.type, dtype=compute, enabled=compute != torch.float32):
                made = activations(backbone, boundary, image)
            yield at, made[: len(at)].to("cpu", storage)
    finally:
        for module, training in modes.items():
            module.training = training


def compute_dtype(
    precision: Literal["float32", "bfloat16", "auto"], trainer_precision: str, device: torch.device
) -> torch.dtype:
    """The type that matrix products and convolutions are computed in.

    The trainer's own mixed precision wins: the frozen layers then run as the others do.
    """
    if trainer_precision in ("bf16-mixed", "bf16"):
        return torch.bfloat16
    if trainer_precision in ("16-mixed", "16"):
        return torch.float16
    if precision == "bfloat16" or (precision == "auto" and has_bfloat16(device)):
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
