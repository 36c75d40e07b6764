"""Fit heads on cached features: the loop over epochs, the same for one head and for many."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from transferlab.evaluation.metrics import classification_metrics
from transferlab.run import signals
from transferlab.training.fit_settings import FitSettings, epochs_without_better, selected_epoch
from transferlab.training.heads.alone import AloneLearner
from transferlab.training.heads.head_job import HeadFit, HeadJob, LabelledFeatures, Learner, Order, StepValues
from transferlab.training.heads.stacked import StackedLearner, lockstep_groups
from transferlab.training.losses import NotFiniteError, loss_not_finite, predictions_not_finite

HeadSelection = Literal["val_loss", "last"]
OnEpoch = Callable[[int, Mapping[str, float]], None]  # the job's position, the epoch's entry


def fit_heads(
    jobs: Sequence[HeadJob],
    train: LabelledFeatures,
    val: LabelledFeatures | None,
    *,
    order: Order,
    max_epochs: int,
    min_epochs: int | None = None,
    max_time_s: float | None = None,
    fit: FitSettings,
    selection: HeadSelection = "val_loss",
    on_epoch: OnEpoch = lambda job, entry: None,
) -> list[HeadFit]:
    """Fit every job's head, each as `TransferModule` would behind a frozen backbone, and as if alone.

    Heads of the same layers and optimizer are trained in lockstep, as many at once as the processor's cache
    holds; others, and those with penalties or a user's own objective, one after the other.
    Sums are then taken in another order, as if each batch came reversed: weights agree to about 1e-7. AdamW
    makes more of it where a gradient is little but rounding error (hidden layers at high rates: 3e-5 seen).

    Args:
        jobs: the heads; they stay as they are.
        train: what they learn.
        val: what they are validated on after each epoch, if at all.
        order: which samples come when; equally many for all seeds and epochs.
        max_epochs: -1: no limit.
        min_epochs: early stopping waits for so many, and so does `max_time_s`.
        max_time_s: no epoch begins later than this; heads in lockstep share the time. None: no limit.
        fit: early stopping; the other settings have no meaning here.
        selection: keep the epoch of the lowest validation loss (the first of equals), or the last. Without
            validation it is the last.
        on_epoch: called with a job's position and each entry of its history.

    Raises:
        signals.Stopped: a signal was noted; heads have no checkpoints.

    Returns:
        For each job its fit. A loss that is not finite ends that job's alone; it is in its `error`. The
        `seconds` of an epoch are those of all heads in lockstep, divided among them.
    """
    fits = [HeadFit() for _ in jobs]
    batch_size = order(jobs[0].seed, 0).shape[1] if jobs else 0

    def is_over(history: list[dict[str, float]], spent_s: float) -> bool:
        patience = fit.early_stopping_patience
        if len(history) < (min_epochs or 0):
            return False
        if max_time_s is not None and spent_s >= max_time_s:
            return True
        return patience is not None and epochs_without_better(history, fit.min_delta) >= patience

    for positions in lockstep_groups(jobs, train.features_ND, batch_size):
        learner: Learner
        started = time.monotonic()
        if len(positions) == 1:
            learner = AloneLearner(jobs[positions[0]], train, order, max_epochs)
        else:
            learner = StackedLearner([jobs[position] for position in positions], train, order, max_epochs)
        for epoch in itertools.count() if max_epochs < 0 else range(max_epochs):
            if signals.received() is not None:
                signals.stop()
            trained = [fits[position] for position in positions]
            _fit_epoch(learner, trained, val, epoch, selection)
            for position, head in zip(positions, trained, strict=True):
                if head.error is None:
                    on_epoch(position, head.history[-1])
            spent_s = time.monotonic() - started
            staying = [
                n
                for n, head in enumerate(trained)
                if head.error is None and not is_over(head.history, spent_s)
            ]
            if not staying:
                break
            if len(staying) < len(positions):
                learner.keep(staying)
                positions = [positions[place] for place in staying]
    return fits


def _fit_epoch(
    learner: Learner, fits: list[HeadFit], val: LabelledFeatures | None, epoch: int, selection: HeadSelection
) -> None:
    """Train every head for an epoch, and add it to its fit."""
    started = time.perf_counter()
    trained = _training_metrics(learner.train_epoch(epoch), epoch)
    validated = _validation_metrics(learner, val, len(fits), epoch)
    rates = learner.rates()
    seconds = (time.perf_counter() - started) / len(fits)
    for place, fit in enumerate(fits):
        entry = {"epoch": float(epoch), "trainable_stages": 0.0}
        for metrics in (trained[place], validated[place]):
            if isinstance(metrics, NotFiniteError):
                fit.error = fit.error or metrics
            else:
                entry |= metrics
        if fit.error is not None:
            continue
        entry |= {f"learning_rate/{name}": rate for name, rate in rates[place].items()}
        fit.history.append(entry | {"seconds": seconds})
        if "val/loss" not in entry or selected_epoch(fit.history, selection) == len(fit.history) - 1:
            fit.state, fit.epoch, fit.parts = learner.state(place), epoch, learner.parts(place)


def _training_metrics(steps: StepValues, epoch: int) -> list[dict[str, float] | NotFiniteError]:
    """Each head's means over the steps, or what went wrong in the first step that did."""
    means = {
        f"train/{name}": values.mean(0).tolist()
        for name, values in ({"loss": steps.loss} | steps.terms | steps.observed).items()
    }
    finite_KJ = steps.loss.isfinite().cpu()
    results: list[dict[str, float] | NotFiniteError] = []
    for place, fine in enumerate(finite_KJ.all(0).tolist()):
        if fine:
            results.append({name: values[place] for name, values in means.items()})
            continue
        step = int(finite_KJ[:, place].int().argmin())
        bad = [name for name, term in steps.terms.items() if not term[step, place].isfinite()]
        results.append(loss_not_finite(bad, epoch=epoch, step=epoch * len(finite_KJ) + step))
    return results


def _validation_metrics(
    learner: Learner, val: LabelledFeatures | None, num_heads: int, epoch: int
) -> list[dict[str, float] | NotFiniteError]:
    """Each head's metrics on the validation split, or that its predictions are not finite."""
    if val is None or len(val.labels_N) == 0:
        return [{} for _ in range(num_heads)]
    labels_N = val.labels_N.cpu().numpy()
    results: list[dict[str, float] | NotFiniteError] = []
    for scores_NC in learner.scores(val.features_ND):
        probabilities_NC = scores_NC.double().softmax(1)
        if not probabilities_NC.isfinite().all():
            results.append(predictions_not_finite(epoch))
            continue
        metrics = classification_metrics(probabilities_NC.cpu().numpy(), labels_N)
        results.append({f"val/{name}": value for name, value in metrics.items() if value is not None})
    return results
