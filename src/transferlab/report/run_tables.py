"""A run on the terminal: a line before it, and the tables after it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from rich.table import Table

from transferlab.backbone.network import Backbone, shown_px
from transferlab.backbone.package_weights import distribution_of
from transferlab.data.data_error import DataError
from transferlab.data.splits import Splits
from transferlab.report.plain_console import PlainConsole
from transferlab.run.run_folder import REPORTED

SMALL_PX = 64  # networks for images of at most this size know no photos


def summary(backbone: Backbone, splits: Splits, data: str) -> str:
    """The network, its weights and the data of a run, in a line; `data` names the latter."""
    sizes = ", ".join(f"{name.replace('_', ' ')} {size}" for name, size in splits.counts().items())
    return (
        f"{backbone.name} (weights: {_origin(backbone)}) at {shown_px(backbone.image_sides)} px, "
        f"{len(backbone.stages)} stages; data: {data}, {splits.num_classes} classes; samples: {sizes}"
    )


def _origin(backbone: Backbone) -> str:
    """Where the weights come from, and what they were trained on as far as it is known."""
    if backbone.weights == "shipped":
        return "shipped, of rendered letters"
    if backbone.weights == "package":
        return f"package {distribution_of(backbone.name)}, of ImageNet"
    known = getattr(backbone.network, "pretrained_cfg", None) or {}
    if backbone.weights == "hub" and known.get("tag"):
        return f"hub, {known['architecture']}.{known['tag']}"
    return backbone.weights


def unsuited_size(backbone: Backbone, splits: Splits) -> str | None:
    """A warning where images are far larger or smaller than what a network takes; looks at a few of them."""
    side, catalog = max(backbone.image_sides), splits.trained_on[0].catalog
    if not len(catalog):
        return None
    chosen = catalog.samples[:: max(len(catalog) // 15, 1)]
    try:
        height, width = np.median([catalog.reader(sample).shape[:2] for sample in chosen], axis=0).astype(int)
    except DataError:  # a broken image: whoever trains on it says so
        return None
    own = _pretrained_px(backbone)
    if side <= SMALL_PX and min(height, width) >= 2 * side:
        letters = (
            ", and its weights have seen rendered letters alone" if backbone.weights == "shipped" else ""
        )
        mend = (
            f"data.image_size={own}"
            if backbone.weights != "shipped" and own > SMALL_PX
            else "a network pretrained on photos, backbone=efficientnet_lite0"
        )
        return (
            f"WARNING: {backbone.name} takes {side} px and these images have about {width}x{height}: at "
            f"{side} px most of what a photo shows is lost{letters}. Expect poor results. Fix: {mend}"
        )
    if side >= 3 * max(height, width) and side > SMALL_PX:
        return (
            f"WARNING: these images of about {width}x{height} px are enlarged to {side} px, which takes "
            f"time and shows nothing more. Fix: data.image_size={SMALL_PX}"
        )
    return None


def _pretrained_px(backbone: Backbone) -> int:
    """The side of the images that the weights were trained with; of a user's own network, what it takes."""
    known = getattr(backbone.network, "pretrained_cfg", None) or {}
    return max(known.get("input_size") or backbone.image_sides)


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
