"""What a run says on the terminal."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from transferlab.feature.sharing import Computed
from transferlab.run.processes import is_worker
from transferlab.run.run_folder import REPORTED
from transferlab.training.build import Experiment

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

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
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


def tracked(text: str, num_images: int, batches: Computed) -> Computed:
    """The batches of a pass over images, announced in a line; with a bar while it lasts on a terminal."""
    say(text)
    if is_worker() or not sys.stdout.isatty():
        yield from batches
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), "images", TimeRemainingColumn())
    with Progress(*columns, transient=True) as bar:
        task = bar.add_task(text, total=num_images)
        for batch in batches:
            yield batch
            bar.advance(task, len(batch[0]))


def quiet_libraries() -> None:
    """Silence what libraries say about settings that the config has decided."""
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning.fabric", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for pattern in _SETTLED:
        warnings.filterwarnings("ignore", pattern)


def epoch_line(entry: Mapping[str, float], max_epochs: int | None, num_stages: int | None) -> str:
    """A finished epoch as a line; without `num_stages` nothing is said of what is open."""
    total = f"/{max_epochs}" if max_epochs and max_epochs > 0 else ""
    parts = [f"epoch {int(entry['epoch']) + 1:>3}{total}", f"train loss {entry.get('train/loss', 0):.4f}"]
    if "val/loss" in entry:
        parts.append(f"val loss {entry['val/loss']:.4f}")
        parts.append(f"val accuracy {entry['val/accuracy']:.3f}")
    if "train/lambda" in entry:
        parts.append(f"lambda {entry['train/lambda']:.2f}")
    if num_stages is not None:
        parts.append(f"stages {int(entry['trainable_stages'])}/{num_stages}")
    parts.append(f"{entry['seconds']:.1f} s")
    return "  ".join(parts)


def show_figures(figures: Mapping[str, Any]) -> None:
    """The metrics of each split as a table."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    names = figures["metrics"]
    for name in names:
        table.add_column(name.replace("_", " "), justify="right")
    for split in REPORTED:
        if split in figures:
            values = [figures[split].get(name) for name in names]
            table.add_row(split.replace("_", " "), *["-" if v is None else f"{v:.3f}" for v in values])
    _console().print(table)


def show_result(figures: Mapping[str, Any]) -> None:
    """The final figures as a table, and how they came about."""
    show_figures(figures)
    console, names = _console(), figures["metrics"]
    selection, cost = figures["selection"], figures["cost"]
    if "target" in selection:
        console.print(_selection_table(selection["target"], selection["rule"], names[:2]))
    stages = f", {selection['trainable_stages']} stages open" if "trainable_stages" in selection else ""
    console.print(
        f"kept epoch {selection.get('epoch', -1) + 1} of {cost['epochs']} ({selection['rule']}{stages}); "
        f"{cost['trainable_parameters']:,} of {cost['parameters']:,} parameters trained; "
        f"{cost['fit_seconds']:.1f} s",
        highlight=False,
    )


def _console() -> Console:
    from rich.console import Console

    return Console() if sys.stdout.isatty() else Console(width=160)


def _selection_table(target: Mapping[str, Mapping[str, float]], rule: str, names: Sequence[str]) -> Table:
    """What the epoch that each criterion selects gives on the target's test part."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("epoch selected by")
    table.add_column("epoch", justify="right")
    for name in names:
        table.add_column(f"test {name.replace('_', ' ')}", justify="right")
    for criterion, figures in target.items():
        label = criterion + (" (kept)" if criterion == rule else "")
        label += ", by target labels" if criterion == "oracle" else ""
        table.add_row(label, str(int(figures["epoch"]) + 1), *[f"{figures[name]:.3f}" for name in names])
    return table


def summary_of(experiment: Experiment) -> str:
    """What is about to be trained, in a line."""
    backbone, splits = experiment.network.backbone, experiment.batches.splits
    sizes = ", ".join(f"{name.replace('_', ' ')} {size}" for name, size in splits.counts().items())
    return (
        f"{backbone.name} at {backbone.preprocessing['image_size']} px, {len(backbone.stages)} stages; "
        f"{splits.num_classes} classes; samples: {sizes}"
    )
