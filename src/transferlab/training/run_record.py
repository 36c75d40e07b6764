"""The record of a run besides its model: inputs.json, split.csv, memory.safetensors, result.json."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from safetensors.torch import save

from transferlab.data.batches import Batches
from transferlab.data.data_error import some
from transferlab.data.splits import Splits
from transferlab.evaluation.comparison.answers import Answers
from transferlab.evaluation.comparison.intervals import coverage_of, intervals
from transferlab.evaluation.metrics import classification_metrics, confusion_matrix, per_class_metrics
from transferlab.evaluation.predictions import Predictions
from transferlab.model.classifier import Classifier
from transferlab.report.contact_sheet import contact_sheet
from transferlab.run.cache import write_whole
from transferlab.run.errors import UserError
from transferlab.run.reading import read_csv, read_json
from transferlab.run.run_folder import Run, write_atomically
from transferlab.strategy.parts import History
from transferlab.strategy.strategy import Strategy
from transferlab.strategy.unfreezing.validated import depth_curve
from transferlab.training.fit_settings import selected_epoch

_INPUTS = "inputs.json"  # hashes of what a run is made from besides its config


def describe_data(batches: Batches, run: Run) -> None:
    """Write split.csv and, where training images are augmented, a sheet of what that makes of them."""
    write_atomically(run.path / "split.csv", batches.splits.table().to_csv(index=False))
    if batches.settings.augmentation.is_random:
        file = run.path / "plots" / "augmentation.png"
        file.parent.mkdir(exist_ok=True)
        images = batches.images("train"), batches.images("train", augmented=True)
        Image.fromarray(contact_sheet(*images)).save(file)


def split_differences(splits: Splits, run: Run) -> list[str]:
    """Differences of samples, labels, groups and splits from split.csv, a sentence per kind of difference."""
    file = run.path / "split.csv"
    if not file.is_file():
        return []
    keys, notes = ["domain", "sample"], []
    # through CSV, too, so that equal cells are equal
    now = pd.read_csv(io.StringIO(splits.table().to_csv(index=False)), dtype=str, keep_default_na=False)
    then = read_csv(file, [*keys, "label", "group", "split"], dtype=str, keep_default_na=False)
    both = then.merge(now, on=keys, how="outer", suffixes=("_then", "_now"), indicator=True)
    for side, what in (("left_only", "are gone"), ("right_only", "are new")):
        names = both.loc[both["_merge"] == side, "sample"].tolist()
        if names:
            notes.append(f"data: {len(names)} images {what}: {some(names)}.")
    shared = both[both["_merge"] == "both"]
    for column in ("label", "group", "split"):
        names = shared.loc[shared[f"{column}_then"] != shared[f"{column}_now"], "sample"].tolist()
        if names:
            notes.append(f"data: {len(names)} images have another {column}: {some(names)}.")
    return notes


def require_same_data(splits: Splits, run: Run) -> None:
    """Refuse other data than a run began with.

    Raises:
        UserError: with the differences.
    """
    before = recorded_inputs(run).get("data")
    if before is not None and before != splits.fingerprint():
        changes = split_differences(splits, run) or ["data: the contents of images are others."]
        raise UserError(
            f"{run.path}: the data there is not the data that this run began with. {' '.join(changes)} "
            "Fix: name the folder that holds the same images, or train anew."
        )


def current_inputs(backbone: Mapping[str, Any], splits: Splits) -> dict[str, str]:
    """`data`: a hash of samples, labels, contents and split; `backbone.weights`: see `weights_hash`.

    Args:
        backbone: the config's section.
        splits: of the data.
    """
    return {"data": splits.fingerprint(), "backbone.weights": weights_hash(backbone)}


def recorded_inputs(run: Run) -> dict[str, str]:
    """The content of inputs.json; empty before the run has read anything."""
    file = run.path / _INPUTS
    return read_json(file, dict[str, str]) if file.is_file() else {}


def record_inputs(inputs: Mapping[str, str], run: Run) -> list[str]:
    """Write inputs.json; return a note where a run starts over with other inputs.

    Raises:
        UserError: the run goes on from a checkpoint that was made with others.
    """
    before = recorded_inputs(run)
    changed = sorted(name for name in before if before[name] != inputs.get(name))
    if changed and run.last_checkpoint.is_file():
        raise UserError(
            f"{run.path}: {' and '.join(changed)}: not the same files as when this run began, so it cannot "
            "go on from its checkpoint. Bring them back, or train anew in another folder."
        )
    run.write_json(_INPUTS, inputs)
    note = f"{' and '.join(changed)}: not the same files as when this run began; it starts over with these."
    return [note] if changed else []


def weights_hash(backbone: Mapping[str, Any]) -> str:
    """A text that differs where pretrained weights do, for a config's section `backbone`.

    For a file, or an earlier run, a hash of the weights and of the JSON beside them. For the hub the place
    there, which timm's version decides. `random`, which the seed decides, stands for itself.

    Raises:
        WeightsError: no such file.
    """
    from transferlab.backbone.weights import find_weights

    weights = str(backbone["weights"])
    file = find_weights(weights, backbone.get("name"), needs_json="network" not in backbone)
    if file is not None:
        pair = [path for path in (file.json, file.path) if path.is_file()]
        return _hash_of(*((path, path.stat().st_mtime_ns, path.stat().st_size) for path in pair))
    return f"hub {_place_on_hub(str(backbone['name']))}" if weights == "hub" else weights


@lru_cache(maxsize=64)
def _hash_of(*stamped: tuple[Path, int, int]) -> str:
    """A hash of some files' contents; computed once as long as time and size of each stay."""
    digest = hashlib.blake2b(digest_size=16)
    for file, *_ in stamped:
        with file.open("rb") as content:
            while block := content.read(2**20):
                digest.update(block)
    return digest.hexdigest()


def _place_on_hub(name: str) -> str:
    import timm

    known = (
        timm.get_pretrained_cfg(name, allow_unregistered=False) if timm.is_model(name.split(".")[0]) else None
    )
    if known is None:
        return name
    return str(known.hf_hub_id or known.url or f"{known.architecture}.{known.tag}")


def selection_record(strategy: Strategy, history: History) -> dict[str, Any]:
    """The epoch whose weights were selected, by which rule, and how deep they were trained."""
    record: dict[str, Any] = {"rule": strategy.selection}
    if history:
        selected = selected_epoch(history, strategy.selection)
        entry = history[-1 if selected is None else selected]
        record |= {
            "epoch": int(entry["epoch"]),
            "trainable_stages": int(entry["trainable_stages"]),
            "val_loss": entry.get("val/loss"),
        }
        if (score := entry.get(f"selection/{strategy.selection}")) is not None:
            record["score"] = score
    if getattr(strategy.unfreezing, "searches_depth", False):
        record["depth_curve"] = {str(depth): loss for depth, loss in depth_curve(history).items()}
    return record


def cost_record(network: Classifier, history: History, fit_seconds: float) -> dict[str, Any]:
    """Cost of the run; `fit_seconds` is wall time from the first image read to the fitted model."""
    deepest = max((int(entry["trainable_stages"]) for entry in history), default=0)
    stages = network.backbone.stages[len(network.backbone.stages) - deepest :]
    opened = [network.backbone.network.get_parameter(name) for stage in stages for name in stage.parameters]
    trained = [*opened, *network.bottleneck.parameters(), *network.head.parameters()]
    return {
        "fit_seconds": round(fit_seconds, 3),
        "epochs": len(history),
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "trainable_parameters": sum(parameter.numel() for parameter in trained),
    }


def evaluation_record(
    predictions: Mapping[str, Predictions], groups: Mapping[str, Sequence[Any]] | None = None
) -> dict[str, Any]:
    """The metrics of each split, and per class and with intervals those of test splits.

    Args:
        predictions: by split.
        groups: of the images of each split, in the order of its predictions; empty where one has none.
    """
    record: dict[str, Any] = {}
    predictions = {split: table for split, table in predictions.items() if (table.labels_N >= 0).any()}
    for split, table in predictions.items():
        labelled = _labelled(table)
        record[split] = {**classification_metrics(*labelled), "samples": len(labelled[1])}
    of_test = {
        split: _interval_record(table, (groups or {}).get(split))
        for split, table in predictions.items()
        if split != "val"  # on which the epoch was selected
    }
    if any(of_test.values()):
        record["intervals"] = {split: found for split, found in of_test.items() if found}
    if "test" in predictions:
        classes, labelled = predictions["test"].classes, _labelled(predictions["test"])
        record["per_class"] = per_class_metrics(*labelled, classes)
        counts = confusion_matrix(*labelled).tolist()
        record["confusion_matrix"] = {"classes": list(classes), "counts": counts}
    return record


def _interval_record(table: Predictions, groups: Sequence[Any] | None) -> dict[str, Any]:
    """95 % intervals `[low, high]` of this one model's metrics, and what they cover."""
    known_N = table.labels_N >= 0
    guesses_N = table.probabilities_NC[known_N].argmax(1)
    of_known = None if groups is None else np.asarray(groups, dtype=object)[known_N].tolist()
    answers = Answers.of(table.labels_N[known_N].tolist(), [guesses_N.tolist()], of_known)
    found = intervals(answers)
    if not found:
        return {}
    ends = {name: [round(interval.low, 6), round(interval.high, 6)] for name, interval in found.items()}
    return {"covers": coverage_of(answers), **ends}


def _labelled(table: Predictions) -> tuple[np.ndarray, np.ndarray]:
    known = table.labels_N >= 0
    return table.probabilities_NC[known], table.labels_N[known]


def save_memory(tensors: Mapping[str, torch.Tensor], run: Run) -> None:
    """Write memory.safetensors: what the strategy's parts have concluded."""
    write_whole(run.path / "memory.safetensors", save(dict(tensors)))
