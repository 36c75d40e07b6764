"""DataLoaders whose worker processes cannot hang or die without a word."""

from __future__ import annotations

import shutil
import sys
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, Sampler, get_worker_info

from transferlab.data.data_error import DataError

WORKER_PATIENCE_S = 600.0  # for one batch, before a worker is taken to be stuck


def batch_loader(
    dataset: Dataset[Any],
    batches: Sampler[Any] | list[list[int]],
    *,
    num_workers: int,
) -> DataLoader[Any]:
    """A DataLoader of whole batches that leaves torch's global generator alone and keeps its workers."""
    return DataLoader(
        dataset,
        batch_sampler=batches,
        num_workers=num_workers,
        collate_fn=_handed_over,
        timeout=WORKER_PATIENCE_S if num_workers > 0 else 0,
        pin_memory=torch.cuda.is_available(),
        persistent_workers=num_workers > 0,
        # forked: a script without a main guard still works, and the data is not copied to each worker
        multiprocessing_context="fork" if num_workers > 0 and sys.platform == "linux" else None,
        generator=torch.Generator().manual_seed(0),
    )


def _handed_over(batch: Any) -> Any:
    """The collate function: the data sets make whole batches. A worker's is put into shared memory here.

    The queue to the main process would do the same in a thread, whose error is lost: the training would wait
    for ever.

    Raises:
        DataError: there is no room for it.
    """
    if get_worker_info() is None:
        return batch
    try:
        return {name: tensor.share_memory_() for name, tensor in batch.items()}
    except RuntimeError as error:
        if "shared memory" not in str(error) and "No space left" not in str(error):
            raise
        megabytes = sum(tensor.nbytes for tensor in batch.values()) / 1e6
        raise DataError(
            f"/dev/shm: {shutil.disk_usage('/dev/shm').free / 1e6:.1f} MB are free, and a batch that a data "
            f"worker hands over takes {megabytes:.1f} MB. Fix: data.num_workers=0, a smaller "
            "data.batch_size, or more room (docker run --shm-size=2g)."
        ) from error
