"""Lines of a run on the terminal, and silence of the libraries."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Mapping

from transferlab.feature.extraction import Computed
from transferlab.run.printable import printable_lines
from transferlab.run.processes import is_worker
from transferlab.run.progress import progress

# Advice of libraries that a run has already taken into account
_SETTLED = (
    ".*does not have many workers.*",
    ".*number of training batches.*",
    ".*Checkpoint directory .* exists and is not empty.*",
    ".*module\\(s\\) in eval mode at the start of training.*",
    ".*You're resuming from a checkpoint that ended before the epoch ended.*",
    ".*You're resuming from a checkpoint that ended mid-epoch.*",
    ".*find_unused_parameters=True was specified.*",
    ".*when logging on epoch level in distributed setting.*",  # what is logged is the mean of all processes
    ".*Please use `isinstance.treespec, TreeSpec.`.*",
    ".*isinstance.treespec, LeafSpec.*",
    ".*The `srun` command is available on your system but is not used.*",
)


def say(text: str) -> None:
    """A line on the terminal, from the first process only."""
    if not is_worker():
        try:
            sys.stdout.write(printable_lines(text) + "\n")
            sys.stdout.flush()
        except BrokenPipeError:  # its reader has gone (`| head`); the training goes on without it
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, sys.stdout.fileno())


def tracked(text: str, num_images: int, batches: Computed) -> Computed:
    """The batches of a pass over images, announced in a line, with its progress."""
    say(text)
    if is_worker():
        yield from batches
        return
    with progress(text, num_images, "images") as advance:
        for batch in batches:
            yield batch
            advance(len(batch[0]))


def quiet_libraries() -> None:
    """Silence what libraries say about settings that the config has decided."""
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning.fabric", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for pattern in _SETTLED:
        warnings.filterwarnings("ignore", pattern)


def epoch_line(entry: Mapping[str, float], max_epochs: int | None, num_stages: int | None) -> str:
    """A finished epoch as a line; how many stages are open only with `num_stages`."""
    total = f"/{max_epochs}" if max_epochs and max_epochs > 0 else ""
    cells = [f"epoch {int(entry['epoch']) + 1:>3}{total}", f"train loss {entry.get('train/loss', 0):.4f}"]
    if "val/loss" in entry:
        cells.append(f"val loss {entry['val/loss']:.4f}")
        cells.append(f"val accuracy {entry['val/accuracy']:.3f}")
    if "train/lambda" in entry:
        cells.append(f"lambda {entry['train/lambda']:.2f}")
    if num_stages is not None:
        cells.append(f"stages {int(entry['trainable_stages'])}/{num_stages}")
    cells.append(f"{entry['seconds']:.1f} s")
    return "  ".join(cells)
