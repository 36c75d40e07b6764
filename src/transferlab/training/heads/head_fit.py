"""Fit heads behind a frozen backbone on features that were computed once, in a loop of their own.

Lightning runs everything that runs a backbone; a step of a head alone takes less time than Lightning's own
bookkeeping.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig

from transferlab.data.batches import Batches
from transferlab.data.loading.dataset import InMemory
from transferlab.evaluation.predictions import Predictions
from transferlab.feature.extractor import Extractor
from transferlab.feature.rows import Rows
from transferlab.run.errors import UserError
from transferlab.training.build import Experiment, Fitted
from transferlab.training.conclusion import conclude
from transferlab.training.frozen.prefix_policy import never_opens, why_not_kept
from transferlab.training.heads.head_job import HeadFit, HeadJob, LabelledFeatures
from transferlab.training.heads.loop import fit_heads
from transferlab.training.heads.needs_lightning import needs_no_lightning
from transferlab.training.recorder import Recorder
from transferlab.training.terminal import epoch_line, say, tracked

Kept = Mapping[str, Rows | InMemory]  # features by split


def fits_head_alone(experiment: Experiment) -> bool:
    """Whether nothing but a head is fitted, in a way that needs no Lightning."""
    if not never_opens(experiment) or experiment.strategy.objective.uses_target:
        return False
    if experiment.strategy.solver == "lbfgs":
        return True
    if experiment.batches.splits.has_target or experiment.strategy.bottleneck_units is not None:
        return False  # each epoch's predictions for the target are recorded; a bottleneck is no head
    kept = experiment.features.cache != "off" and why_not_kept(experiment) is None
    return kept and needs_no_lightning(experiment.config)


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
    kept = _features(first, predict)
    train = _labelled(kept, first.batches, "train")
    val = _labelled(kept, first.batches, "val") if "val" in kept else None
    trainer = first.config.trainer

    def on_epoch(job: int, entry: Mapping[str, float]) -> None:
        _report(recorders[job], trainer, entry, len(first.batches.order(first.seed)))

    chosen: list[dict[str, Any]] = [{} for _ in experiments]
    if first.strategy.solver == "lbfgs":
        from transferlab.training.heads.logistic_fit import fit_logistic_head

        pairs = [
            fit_logistic_head(recorder, experiment, train, val)
            for recorder, experiment in zip(recorders, experiments, strict=True)
        ]
        fits, chosen = [fit for fit, _ in pairs], [record for _, record in pairs]
    else:
        fits = fit_heads(
            [_job(experiment) for experiment in experiments],
            train,
            val,
            order=lambda seed, epoch: _order(first.batches, seed, epoch),
            max_epochs=trainer.max_epochs,
            min_epochs=trainer.min_epochs,
            fit=first.fit,
            selection="last" if first.strategy.selection == "last" else "val_loss",
            on_epoch=on_epoch,
        )
    seconds = (time.perf_counter() - started) / len(fits)
    tables = {split: kept[split] for split in predict}
    return [
        _fitted(*each, tables, train, seconds)
        for each in zip(recorders, experiments, fits, chosen, strict=True)
    ]


def _job(experiment: Experiment) -> HeadJob:
    strategy = experiment.strategy
    return HeadJob(
        head=experiment.network.head,
        objective=strategy.objective,
        learning_rates=strategy.learning_rates,
        seed=experiment.seed,
        head_dropout=strategy.head_dropout,
        penalties=strategy.penalty,
    )


def _features(experiment: Experiment, predict: Sequence[str]) -> Kept:
    """The features of every split that is learned from, validated on or predicted."""
    batches, trainer = experiment.batches, experiment.config.trainer
    wants_gpu = trainer.accelerator in ("auto", "gpu", "cuda")
    device = torch.device("cuda" if wants_gpu and torch.cuda.is_available() else "cpu")
    backbone = experiment.network.backbone.to(device)
    extractor = Extractor(
        backbone=backbone,
        batches=batches,
        settings=experiment.features,
        trainer_precision=str(trainer.precision),
        device=device,
        note=say,
        track=tracked,
    )
    names = [*(split.name for split in batches.trained_on), "val", *predict]
    kept = {name: extractor.features(name) for name in dict.fromkeys(names) if len(batches.splits[name])}
    backbone.cpu()
    return kept


def _labelled(kept: Kept, batches: Batches, split: str) -> LabelledFeatures:
    """The features of a split; of all its views, one after the other, where it has several."""
    features_ND = _in_fresh_memory(kept[split])
    labels_N = torch.from_numpy(batches.splits[split].catalog.codes)
    return LabelledFeatures(features_ND, labels_N.repeat(len(features_ND) // len(labels_N)))


def _in_fresh_memory(features: Rows | InMemory) -> torch.Tensor:
    """Features as fp32, aligned as torch aligns: last bits depend on it, and a store's files lie anyhow."""
    return features.all().to(torch.float32, copy=True)


def _order(batches: Batches, seed: int, epoch: int) -> torch.Tensor:
    """Rows of the kept training features, (batches, batch size), that an epoch goes through."""
    visits = batches.order(seed).visits(epoch)
    views = (epoch + visits[..., 1]) % (batches.views or 1)
    return torch.from_numpy(visits[..., 0] + views * len(batches.splits["train"]))


def _report(
    recorder: Recorder, trainer: DictConfig, entry: Mapping[str, float], steps_per_epoch: int
) -> None:
    """Print an epoch and hand it to the loggers."""
    if trainer.enable_progress_bar and not recorder.quiet:
        say(epoch_line(entry, trainer.max_epochs, None))
    metrics = {name: value for name, value in entry.items() if "/" in name}
    for logger in recorder.loggers:
        logger.log_metrics(
            metrics | {"epoch": entry["epoch"]}, step=int(entry["epoch"] + 1) * steps_per_epoch - 1
        )


def _fitted(
    recorder: Recorder,
    experiment: Experiment,
    fit: HeadFit,
    selected: dict[str, Any],
    kept: Kept,
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
    predictions = predictions_from(kept, experiment)
    # features of several views are not those of the images as they are
    features = train if experiment.batches.views is None else None
    memory = conclude(experiment, fit.history, train.features_ND.device, features)
    return Fitted(fit.history, predictions, seconds, selected, memory)


def predictions_from(kept: Kept, experiment: Experiment) -> dict[str, Predictions]:
    """The head's predictions for each sample of these splits."""
    splits, network = experiment.batches.splits, experiment.network.eval()
    tables = {}
    for name, features in kept.items():
        with torch.inference_mode():
            scores_NC = network.classify(_in_fresh_memory(features))
        probabilities_NC: np.ndarray[Any, Any] = scores_NC.double().softmax(1).numpy()
        catalog = splits[name].catalog
        tables[name] = Predictions(catalog.samples, catalog.codes, probabilities_NC, splits.classes)
    return tables
