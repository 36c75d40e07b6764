"""Batch-size test: images a second of doubling sizes, until memory or speed sets an end."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.utilities.memory import garbage_collection_cuda, is_oom_error

from transferlab.analysis.short_fit import fit_shortly
from transferlab.run.errors import UserError
from transferlab.training.build import Experiment, build
from transferlab.training.terminal import say

WORTHWHILE = 1.05  # times the images a second: a larger batch is not worth less
_WARM_UP = 2  # steps before those that count


@dataclass(frozen=True)
class Size:
    """Speed and memory of training with one batch size."""

    batch_size: int  # source images of a step; a target, where there is one, comes beside them
    images_per_s: float  # of the source, with reading them; the median of some steps
    peak_gib: float | None  # the most GPU memory that torch has reserved; None on other devices


@dataclass(frozen=True)
class Search:
    """Sizes tried, smallest first, and the reason for the end."""

    sizes: Sequence[Size]
    ended_by: str

    @property
    def suggestion(self) -> int:
        """The smallest size that is as fast as any, to within 5 %."""
        return worthwhile(self.sizes)


def worthwhile(sizes: Sequence[Size]) -> int:
    """The smallest batch size whose speed no other surpasses by more than 5 %."""
    fastest = max(size.images_per_s for size in sizes)
    return next(size.batch_size for size in sizes if size.images_per_s * WORTHWHILE >= fastest)


class _Clock(Callback):
    """Seconds from the end of a step to the end of the next, the reading of images included."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_train_batch_end(self, trainer: pl.Trainer, *step: Any) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.ends.append(time.perf_counter())

    @property
    def seconds(self) -> float:
        """Of a step: the median of those that count."""
        counted = self.ends[_WARM_UP - 1 :]
        return statistics.median(after - before for before, after in pairwise(counted))


def search(config: DictConfig, *, first: int, steps: int) -> Search:
    """Try doubling batch sizes until memory runs out, a step gains too little, or the images are too few.

    Args:
        config: checked and resolved.
        first: the smallest size.
        steps: that count, for each size.

    Raises:
        UserError: data, weights or a head that cannot be used; not even the smallest size fits.
    """
    experiment = build(config)
    sizes: list[Size] = []
    size, num_images = first, len(experiment.batches.splits["train"])
    while True:
        if sizes and size > num_images:
            return Search(sizes, f"there are {num_images} training images")
        try:
            sizes.append(_measured(config, experiment, size, steps))
        except RuntimeError as error:
            if not is_oom_error(error):
                raise
            garbage_collection_cuda()
            if not sizes:
                raise UserError(
                    f"Not even a batch of {size} fits into memory: a smaller --first, data.image_size, "
                    "backbone.gradient_checkpointing=true or trainer.precision=bf16-mixed takes less."
                ) from error
            return Search(sizes, f"a batch of {size} does not fit into memory")
        say(f"batch size {size:>5}: {sizes[-1].images_per_s:.0f} images/s")
        if len(sizes) > 2 and sizes[-1].images_per_s < WORTHWHILE * sizes[-2].images_per_s:
            return Search(sizes, f"a batch of {size} is hardly faster")
        size *= 2


def _measured(config: DictConfig, experiment: Experiment, size: int, steps: int) -> Size:
    clock = _Clock()
    batches = experiment.batches.with_settings(batch_size=size)
    on_gpu = torch.cuda.is_available() and config.trainer.accelerator != "cpu"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    strategy = replace(experiment.strategy, head_start="fresh")  # a probe would not change the speed
    fit_shortly(replace(experiment, batches=batches, strategy=strategy), clock, steps=_WARM_UP + steps)
    peak_gib = torch.cuda.max_memory_reserved() / 2**30 if on_gpu else None
    return Size(size, size / clock.seconds, peak_gib)


def write_search(found: Search, folder: Path) -> Path:
    """Write batch_size.csv into a folder; return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame([asdict(size) for size in found.sizes])
    table.to_csv(folder / "batch_size.csv", index=False)
    return folder / "batch_size.csv"
