"""Fit heads behind a frozen backbone on features that were computed once, without Lightning.

Lightning runs everything that runs a backbone; a step of a head alone takes less time than Lightning's own
bookkeeping.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from omegaconf import DictConfig
from torch.nn import functional

from transferlab.data.batches import Batches
from transferlab.data.loading.dataset import InMemory
from transferlab.evaluation.metrics import classification_metrics
from transferlab.evaluation.predictions import Predictions
from transferlab.feature.rows import Rows
from transferlab.run.errors import UserError
from transferlab.strategy.objective.cross_entropy import CrossEntropy
from transferlab.training.build import Experiment, Fitted, device_of
from transferlab.training.conclusion import conclude
from transferlab.training.fit_settings import seconds_of
from transferlab.training.frozen.prefix import extractor_of
from transferlab.training.frozen.prefix_policy import never_opens
from transferlab.training.heads.head_job import HeadFit, HeadJob, LabelledFeatures
from transferlab.training.heads.loop import fit_heads
from transferlab.training.heads.sharing import shares_a_fit
from transferlab.training.recorder import Recorder
from transferlab.training.terminal import epoch_line, say

if TYPE_CHECKING:
    from transferlab.strategy.head.logistic import Logistic

Stored = Mapping[str, Rows | InMemory]  # features by split


def fits_head_alone(experiment: Experiment) -> bool:
    """True if nothing but a head is fitted, in a way that needs no Lightning."""
    strategy = experiment.strategy
    by_lbfgs = strategy.solver == "lbfgs" and never_opens(experiment) and not strategy.objective.uses_target
    return by_lbfgs or shares_a_fit(experiment.config)


def fit_heads_of(
    recorders: Sequence[Recorder],
    experiments: Sequence[Experiment],
    *,
    predict: Sequence[str] = (),
    started: float | None = None,
) -> list[Fitted | UserError]:
    """Fit the heads of experiments that share their data and their backbone.

    Args:
        recorders: of the runs.
        experiments: what their configs build; they differ in the head's start, its rates and their seed.
        predict: the splits to predict with the selected weights.
        started: `time.perf_counter()` when the first run began; None: now.

    Returns:
        What came out of each, or why it failed; the others go on.
    """
    started = time.perf_counter() if started is None else started
    first = experiments[0]
    assert not any(part.needs_images for each in experiments for part in each.strategy.parts.values())
    trained_on = [split.name for split in first.batches.trained_on]
    stored = features_of(first, [*trained_on, "val", *predict])
    train = labelled(stored, first.batches, "train")
    val = labelled(stored, first.batches, "val") if "val" in stored else None
    chosen: list[dict[str, Any]] = [{} for _ in experiments]
    if first.strategy.solver == "lbfgs":
        pairs = [
            _fit_logistic(recorder, experiment, train, val)
            for recorder, experiment in zip(recorders, experiments, strict=True)
        ]
        fits, chosen = [fit for fit, _ in pairs], [record for _, record in pairs]
    else:
        trainer, steps_per_epoch = first.config.trainer, len(first.batches.order(first.seed))
        fits = fit_heads(
            [_job(experiment) for experiment in experiments],
            train,
            val,
            order=lambda seed, epoch: _order(first.batches, seed, epoch),
            max_epochs=-1 if trainer.max_epochs is None else trainer.max_epochs,  # max_time ends it then
            min_epochs=trainer.min_epochs,
            max_time_s=seconds_of(trainer.get("max_time")),
            fit=first.fit,
            selection="last" if first.strategy.selection == "last" else "val_loss",
            on_epoch=lambda job, entry: _report(recorders[job], trainer, entry, steps_per_epoch),
        )
    seconds = (time.perf_counter() - started) / len(fits)
    predicted = {split: stored[split] for split in predict}
    return [
        _fitted(*each, predicted, train, seconds)
        for each in zip(recorders, experiments, fits, chosen, strict=True)
    ]


def features_of(experiment: Experiment, splits: Sequence[str]) -> Stored:
    """The features of each of these splits that has samples."""
    batches, device = experiment.batches, device_of(experiment.config.trainer)
    backbone = experiment.network.backbone.to(device)
    extractor = extractor_of(experiment, device)
    stored = {name: extractor.features(name) for name in dict.fromkeys(splits) if len(batches.splits[name])}
    backbone.cpu()
    return stored


def labelled(stored: Stored, batches: Batches, split: str) -> LabelledFeatures:
    """The features of a split; of all its views, one after the other, where it has several."""
    features_ND = _in_fresh_memory(stored[split])
    labels_N = torch.from_numpy(batches.splits[split].catalog.codes)
    return LabelledFeatures(features_ND, labels_N.repeat(len(features_ND) // len(labels_N)))


def _in_fresh_memory(features: Rows | InMemory) -> torch.Tensor:
    """Features as fp32, aligned as torch aligns: last bits depend on it, and a store's files lie anyhow."""
    return features.all().to(torch.float32, copy=True)


def _fit_logistic(
    recorder: Recorder, experiment: Experiment, train: LabelledFeatures, val: LabelledFeatures | None
) -> tuple[HeadFit, dict[str, Any]]:
    """The head fitted by L-BFGS, as if after one epoch, and how its strength was chosen.

    Raises:
        UserError: features that are not finite, or no validation samples to choose by.
    """
    started = time.perf_counter()
    objective = experiment.strategy.objective
    max_time_s = seconds_of(experiment.config.trainer.get("max_time"))
    assert isinstance(objective, CrossEntropy)  # others are refused with the config
    fitted = cast("Logistic", experiment.strategy.head).fit(
        (train.features_ND, train.labels_N),
        None if val is None else (val.features_ND, val.labels_N),
        num_classes=experiment.batches.splits.num_classes,
        class_weights_C=objective.weights_C,
        out_of_time=lambda: max_time_s is not None and time.perf_counter() - started >= max_time_s,
    )
    recorder.note(*fitted.notes)
    weight_CD, bias_C = fitted.state["weight"], fitted.state["bias"]
    scores_NC = functional.linear(train.features_ND, weight_CD, bias_C)
    loss = functional.cross_entropy(scores_NC.double(), train.labels_N)
    entry = {
        "epoch": 0.0,
        "trainable_stages": 0.0,
        "train/loss": loss.item(),
        "train/accuracy": (scores_NC.argmax(1) == train.labels_N).double().mean().item(),
    }
    if val is not None:
        probabilities_NC = functional.linear(val.features_ND, weight_CD, bias_C).double().softmax(1)
        metrics = classification_metrics(probabilities_NC.numpy(), val.labels_N.numpy())
        entry |= {f"val/{name}": value for name, value in metrics.items() if value is not None}
    entry["seconds"] = time.perf_counter() - started
    return HeadFit([entry], fitted.state, 0), {"head": fitted.record}


def _job(experiment: Experiment) -> HeadJob:
    strategy = experiment.strategy
    return HeadJob(
        head=experiment.network.head,
        objective=strategy.objective,
        learning_rates=strategy.learning_rates,
        seed=experiment.seed,
        head_dropout=strategy.head_dropout,
        penalties=strategy.penalty,
        clip_norm=experiment.config.trainer.gradient_clip_val or None,  # 0 is none, as for Lightning
    )


def _order(batches: Batches, seed: int, epoch: int) -> torch.Tensor:
    """Rows of the stored training features, (batches, batch size), that an epoch goes through."""
    visits = batches.order(seed).visits(epoch)
    views = (epoch + visits[..., 1]) % (batches.views or 1)
    return torch.from_numpy(visits[..., 0] + views * len(batches.splits["train"]))


def _report(
    recorder: Recorder, trainer: DictConfig, entry: Mapping[str, float], steps_per_epoch: int
) -> None:
    """Print an epoch and hand it to the loggers."""
    if trainer.enable_progress_bar and not recorder.quiet:
        say(epoch_line(entry, trainer.max_epochs, None))
    metrics = {name: value for name, value in entry.items() if "/" in name} | {"epoch": entry["epoch"]}
    for logger in recorder.loggers:
        logger.log_metrics(metrics, step=int(entry["epoch"] + 1) * steps_per_epoch - 1)


def _fitted(
    recorder: Recorder,
    experiment: Experiment,
    fit: HeadFit,
    selected: dict[str, Any],
    stored: Stored,
    train: LabelledFeatures,
    seconds: float,
) -> Fitted | UserError:
    recorder.write_history(fit.history)
    if fit.error is not None:
        return fit.error
    if fit.state is not None:
        experiment.network.head.load_state_dict(fit.state)
    for name, state in fit.parts.items():
        experiment.strategy.parts[name].load_state_dict(state)
    predictions = _predictions(stored, experiment)
    # features of several views are not those of the images as they are
    features = train if experiment.batches.views is None else None
    memory = conclude(experiment, fit.history, train.features_ND.device, features)
    return Fitted(fit.history, predictions, seconds, selected, memory)


def _predictions(stored: Stored, experiment: Experiment) -> dict[str, Predictions]:
    """The head's predictions for each sample of these splits."""
    splits, network = experiment.batches.splits, experiment.network.eval()
    tables = {}
    for name, features in stored.items():
        with torch.inference_mode():
            scores_NC = network.classify(_in_fresh_memory(features))
        probabilities_NC: np.ndarray[Any, Any] = scores_NC.double().softmax(1).numpy()
        catalog = splits[name].catalog
        tables[name] = Predictions(catalog.samples, catalog.codes, probabilities_NC, splits.classes)
    return tables
