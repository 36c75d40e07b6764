"""A run on the terminal: a line before it, and the tables after it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.table import Table

from transferlab.backbone.network import Backbone
from transferlab.data.splits import Splits
from transferlab.report.plain_console import PlainConsole
from transferlab.run.run_folder import REPORTED


def summary(backbone: Backbone, splits: Splits) -> str:
    """The network and the data of a run, in a line."""
    sizes = ", ".join(f"{name.replace('_', ' ')} {size}" for name, size in splits.counts().items())
    return (
        f"{backbone.name} at {backbone.preprocessing['image_size']} px, {len(backbone.stages)} stages; "
        f"{splits.num_classes} classes; samples: {sizes}"
    )


def show_metrics(result: Mapping[str, Any]) -> None:
    """Print the metrics of each split, from what result.json says."""
    names, intervals = result["metrics"], result.get("intervals") or {}
    rows = []
    for split in [split for split in REPORTED if split in result]:
        cells = ["-" if (value := result[split].get(name)) is None else f"{value:.3f}" for name in names]
        if intervals:
            ends = intervals.get(split, {}).get(names[0])
            cells.insert(1, f"{ends[0]:.3f} to {ends[1]:.3f}" if ends else "")
        rows.append((split.replace("_", " "), cells))
    columns = [names[0], "95 % interval", *names[1:]] if intervals else names
    console = PlainConsole()
    console.print(_table("", columns, rows))
    for covers in dict.fromkeys(found["covers"] for found in intervals.values()):
        console.print(f"The interval covers {covers}", style="dim", highlight=False)


def show_result(result: Mapping[str, Any]) -> None:
    """Print the metrics of each split, and how the model was selected and at what cost."""
    show_metrics(result)
    console, names = PlainConsole(), result["metrics"][:2]
    selection, cost = result["selection"], result["cost"]
    if "target" in selection:  # by each criterion the epoch, and metrics of the target's test split
        columns = ["epoch", *(f"test {name}" for name in names)]
        rows = [
            (
                _criterion(name, selection["rule"]),
                [str(int(of["epoch"]) + 1), *(f"{of[n]:.3f}" for n in names)],
            )
            for name, of in selection["target"].items()
        ]
        console.print(_table("epoch selected by", columns, rows))
    stages = f", {selection['trainable_stages']} stages open" if "trainable_stages" in selection else ""
    console.print(
        f"selected epoch {selection.get('epoch', -1) + 1} of {cost['epochs']} ({selection['rule']}{stages}); "
        f"{cost['trainable_parameters']:,} of {cost['parameters']:,} parameters trained; "
        f"{cost['fit_seconds']:.1f} s",
        highlight=False,
    )


def _criterion(name: str, rule: str) -> str:
    beside = {"oracle": ", on target validation labels", "snd": ", often the first epoch"}
    return name + (" (selected)" if name == rule else "") + beside.get(name, "")


def _table(title: str, columns: Sequence[str], rows: Iterable[tuple[str, Sequence[str]]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(title)
    for name in columns:
        table.add_column(name.replace("_", " "), justify="right")
    for label, cells in rows:
        table.add_row(label, *cells)
    return table
