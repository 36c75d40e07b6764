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

from transferlab.data.module import DataModule
from transferlab.evaluation.predictions import Predictions
from transferlab.feature.kept import InMemory, Source
from transferlab.feature.rows import Rows
from transferlab.run.errors import UserError
from transferlab.training.build import Experiment
from transferlab.training.concluding import conclude
from transferlab.training.head_fitting.job import HeadFit, HeadJob, LabelledFeatures
from transferlab.training.head_fitting.loop import fit_heads
from transferlab.training.needs_lightning import needs_no_lightning
from transferlab.training.outcome import Outcome, evaluated_parts
from transferlab.training.prefix_policy import never_opens, why_not_kept
from transferlab.training.record import write_history
from transferlab.training.recording import Recording
from transferlab.training.terminal import epoch_line, say, tracked

Kept = Mapping[str, Rows | InMemory]  # features by part of the data


def fits_head_alone(config: DictConfig, experiment: Experiment) -> bool:
    """Whether nothing but a head is fitted, in a way that needs no Lightning."""
    if not never_opens(experiment) or experiment.strategy.objective.uses_target:
        return False
    if experiment.strategy.solver == "lbfgs":
        return True
    if experiment.data.has_target or experiment.strategy.bottleneck_units is not None:
        return False  # each epoch's predictions for the target are recorded; a bottleneck is no head
    kept = experiment.features.cache != "off" and why_not_kept(experiment, config) is None
    return kept and needs_no_lightning(config)


def fit_heads_of(
    recordings: Sequence[Recording], experiments: Sequence[Experiment], *, started: float
) -> list[Outcome | UserError]:
    """Fit the heads of experiments that share their data and their backbone.

    Args:
        recordings: of the runs.
        experiments: what their configs build; they differ in the head's start, its rates and their seed.
        started: `time.perf_counter()` when the first run began.

    Returns:
        What came out of each, or why it failed; the others go on.
    """
    first = experiments[0]
    assert not any(part.needs_images for each in experiments for part in each.strategy.parts.values())
    kept = _features(recordings[0], first)
    train = _labelled(kept, first.data, "train")
    val = _labelled(kept, first.data, "val") if "val" in kept else None
    config = recordings[0].config

    def on_epoch(job: int, entry: Mapping[str, float]) -> None:
        _tell(recordings[job], entry, len(first.data.batches(first.seed)))

    chosen: list[dict[str, Any]] = [{} for _ in experiments]
    if first.strategy.solver == "lbfgs":
        from transferlab.training.logistic_fit import fit_logistic_head

        pairs = [
            fit_logistic_head(recording, experiment, train, val)
            for recording, experiment in zip(recordings, experiments, strict=True)
        ]
        fits, chosen = [fit for fit, _ in pairs], [record for _, record in pairs]
    else:
        fits = fit_heads(
            [_job(experiment) for experiment in experiments],
            train,
            val,
            order=lambda seed, epoch: _order(first.data, seed, epoch),
            max_epochs=config.trainer.max_epochs,
            min_epochs=config.trainer.min_epochs,
            fit=first.fit,
            selection="last" if first.strategy.selection == "last" else "val_loss",
            on_epoch=on_epoch,
        )
    seconds = (time.perf_counter() - started) / len(fits)
    return [
        _outcome(*parts, kept, train, seconds)
        for parts in zip(recordings, experiments, fits, chosen, strict=True)
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


def _features(recording: Recording, experiment: Experiment) -> Kept:
    """The features of every part that is learned, validated on or reported."""
    data = experiment.data
    wants_gpu = recording.config.trainer.accelerator in ("auto", "gpu", "cuda")
    device = torch.device("cuda" if wants_gpu and torch.cuda.is_available() else "cpu")
    backbone = experiment.network.backbone.to(device)
    source = Source(
        backbone=backbone,
        data=data,
        settings=experiment.features,
        trainer_precision=str(recording.config.trainer.precision),
        device=device,
        tell=say,
        track=tracked,
    )
    parts = [part for part in ("train", "val") if data.parts[part]] + evaluated_parts(data)
    kept = {part: source.features(part) for part in dict.fromkeys(parts)}
    backbone.cpu()
    return kept


def _labelled(kept: Kept, data: DataModule, part: str) -> LabelledFeatures:
    """The features of a part; of all its views, one after the other, where it has several."""
    features_ND = _in_fresh_memory(kept[part])
    labels_N = torch.from_numpy(data.catalog(part).codes)
    return LabelledFeatures(features_ND, labels_N.repeat(len(features_ND) // len(labels_N)))


def _in_fresh_memory(features: Rows | InMemory) -> torch.Tensor:
    """Features as fp32, aligned as torch aligns: last bits depend on it, and a store's files lie anyhow."""
    return features.all().to(torch.float32, copy=True)


def _order(data: DataModule, seed: int, epoch: int) -> torch.Tensor:
    """Rows of the kept training features, (batches, batch size), that an epoch goes through."""
    visits = data.batches(seed).visits(epoch)
    views = (epoch + visits[..., 1]) % (data.views or 1)
    return torch.from_numpy(visits[..., 0] + views * data.parts["train"])


def _tell(recording: Recording, entry: Mapping[str, float], steps_per_epoch: int) -> None:
    """Tell the loggers of an epoch, and the terminal where this run may."""
    config = recording.config
    if config.trainer.enable_progress_bar and not recording.quiet:
        say(epoch_line(entry, config.trainer.max_epochs, None))
    figures = {name: value for name, value in entry.items() if "/" in name}
    for logger in recording.told:
        logger.log_metrics(
            figures | {"epoch": entry["epoch"]}, step=int(entry["epoch"] + 1) * steps_per_epoch - 1
        )


def _outcome(
    recording: Recording,
    experiment: Experiment,
    fit: HeadFit,
    chosen: dict[str, Any],
    kept: Kept,
    train: LabelledFeatures,
    seconds: float,
) -> Outcome | UserError:
    write_history(fit.history, recording.run)
    if fit.error is not None:
        return fit.error
    if fit.state is not None:
        experiment.network.head.load_state_dict(fit.state)
    for name, state in fit.parts.items():
        experiment.strategy.parts[name].load_state_dict(state)
    predictions = predictions_from(kept, experiment)
    # features of several views are not those of the images as they are
    features = train if experiment.data.views is None else None
    memory = conclude(experiment, fit.history, train.features_ND.device, features)
    return Outcome(fit.history, predictions, seconds, chosen, memory)


def predictions_from(kept: Kept, experiment: Experiment) -> dict[str, Predictions]:
    """What the head says of each sample of each part that is reported."""
    data, network = experiment.data, experiment.network.eval()
    tables = {}
    for part in evaluated_parts(data):
        with torch.inference_mode():
            scores_NC = network.classify(_in_fresh_memory(kept[part]))
        probabilities_NC: np.ndarray[Any, Any] = scores_NC.double().softmax(1).numpy()
        codes = data.catalog(part).codes
        tables[part] = Predictions(data.catalog(part).samples, codes, probabilities_NC, tuple(data.classes))
    return tables
