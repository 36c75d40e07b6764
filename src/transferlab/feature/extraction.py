"""Outputs of a network's first layers for each view of each sample, computed as fast as the machine can."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from transferlab.backbone.boundary import Boundary, activations
from transferlab.backbone.network import Backbone
from transferlab.data.batches import Batches
from transferlab.data.loading.batch_loader import batch_loader
from transferlab.data.loading.dataset import Batch, stacked
from transferlab.data.loading.workers import choose_workers

LEAST_COSINE = 0.9999  # between an image's outputs in bfloat16 and float32, so that `auto` takes bfloat16
_FLAGS = ("avx512_bf16", "amx_bf16", "bf16")  # x86 and, the last one, Arm
_CPUINFO = Path("/proc/cpuinfo")


Computed = Iterator[tuple[list[int], Tensor]]
"""Some positions at a time with what was computed for them."""


class Views(Dataset[Batch]):
    """The views of a split at positions 0 .. views x samples - 1: all first views, then all second ones.

    Splits that are not trained on, and all where training shows no fixed number of views, have one: the image
    as evaluation sees it.

    Attributes:
        keys: unique to each of them among all images, here and in other runs.
        depends_on: what its pixels depend on besides, as JSON.
        preprocessing: normalises them.
    """

    def __init__(self, batches: Batches, name: str) -> None:
        split, settings = batches.splits[name], batches.settings
        self.preprocessing = batches.preprocessing
        self.num_views = batches.views if split.trained_on else None
        self.images = batches.images(name, augmented=self.num_views is not None)
        self._domain, catalog = split.domain, split.catalog
        contents: list[str] = catalog.table["content"].tolist()
        named = list(zip(contents, catalog.samples, strict=True))
        self.keys = contents
        if self.num_views is not None:
            views = range(self.num_views)
            self.keys = [
                f"{content} {self._domain} {name} {view}" for view in views for content, name in named
            ]
        self.depends_on: dict[str, Any] = {
            "preprocessing": asdict(self.preprocessing),
            "reader": type(catalog.reader).__name__,
            "augmentation": None if self.num_views is None else settings.augmentation.identity,
        }
        self._workers = choose_workers(settings.num_workers, in_memory=catalog.reader.in_memory)

    def __len__(self) -> int:
        return len(self.keys)

    def __getitems__(self, positions: list[int]) -> Batch:
        return {"image": stacked([self._view(at) for at in positions]), "position": torch.tensor(positions)}

    def __getitem__(self, position: int) -> Batch:
        return self.__getitems__([position])

    def loader(self, positions: Sequence[int], *, batch_size: int) -> DataLoader[Any]:
        """Batches {"image": uint8 (N, 3, S, S), "position": (N,)} of these positions, in order."""
        starts = range(0, len(positions), batch_size)
        batches = [list(positions[start : start + batch_size]) for start in starts]
        return batch_loader(self, batches, num_workers=self._workers)

    def _view(self, position: int) -> torch.Tensor:
        number, row = divmod(position, len(self.images))
        return self.images[row] if self.num_views is None else self.images.view(self._domain, row, number)


def batch_size(device: torch.device) -> int:
    """The number of images that run at once."""
    # small batches stay in a CPU's caches: 16 images took two thirds of the time of 64 (mobilenetv2, 128 px)
    return 16 if device.type == "cpu" else 256


def extracted(
    backbone: Backbone,
    boundary: Boundary,
    views: Views,
    positions: Sequence[int],
    *,
    device: torch.device,
    compute: torch.dtype,
    storage: torch.dtype,
) -> Computed:
    """Yield positions and the activations (N, *boundary.shape) of their images, on the CPU, batch by batch.

    The backbone is on `device`. Matrix products and convolutions are computed in `compute`; what is
    yielded is of the type `storage`.
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
    """True if the processor has instructions for bfloat16, so that it is faster than float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type != "cpu" or sys.platform != "linux":
        return False
    text = _CPUINFO.read_text(encoding="utf-8", errors="replace")
    flags = next((line for line in text.splitlines() if line.lower().startswith(("flags", "features"))), "")
    return bool(set(flags.split()) & set(_FLAGS))
