"""Fit heads on cached features: the loop over epochs, the same for one head and for many."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from transferlab.evaluation.metrics import classification_metrics
from transferlab.training.fit_settings import FitSettings
from transferlab.training.heads.alone import AloneLearner
from transferlab.training.heads.head_job import HeadFit, HeadJob, LabelledFeatures, Learner, Order, StepValues
from transferlab.training.heads.stacked import StackedLearner, lockstep_groups
from transferlab.training.losses import NotFiniteError, loss_not_finite, predictions_not_finite
from transferlab.training.stopping import epochs_without_better

OnEpoch = Callable[[int, Mapping[str, float]], None]  # the job's position, the epoch's entry


@dataclass(frozen=True, kw_only=True)
class _Rules:
    """When a fit is over and which epoch's weights are kept; see `fit_heads`."""

    max_epochs: int
    min_epochs: int
    fit: FitSettings
    selection: Literal["val_loss", "last"]

    def over(self, history: list[dict[str, float]]) -> bool:
        """Whether to stop early after these epochs."""
        patience = self.fit.early_stopping_patience
        if patience is None or len(history) < self.min_epochs:
            return False
        return epochs_without_better(history, self.fit.min_delta) >= patience


def fit_heads(
    jobs: Sequence[HeadJob],
    train: LabelledFeatures,
    val: LabelledFeatures | None,
    *,
    order: Order,
    max_epochs: int,
    min_epochs: int | None = None,
    fit: FitSettings,
    selection: Literal["val_loss", "last"] = "val_loss",
    on_epoch: OnEpoch = lambda job, entry: None,
) -> list[HeadFit]:
    """Fit every job's head, each as `TransferModule` would behind a frozen backbone, and as if alone.

    Heads of the same layers and optimizer are trained in lockstep, in parts that fit into the processor's
    cache; others, and those with penalties or a user's own objective, one after the other.
    Sums are then taken in another order, as if each batch came reversed: weights agree to about 1e-7. AdamW
    makes more of it where a gradient is little but rounding error (hidden layers at high rates: 3e-5 seen).

    Args:
        jobs: the heads; they stay as they are.
        train: what they learn.
        val: what they are validated on after each epoch, if at all.
        order: which samples come when; equally many for all seeds and epochs.
        max_epochs: -1: no limit.
        min_epochs: early stopping waits for so many.
        fit: early stopping; the other settings have no meaning here.
        selection: keep the epoch of the lowest validation loss (the first of equals), or the last. Without
            validation it is the last.
        on_epoch: told each entry of a history as it is made; of heads in lockstep, one after the other.

    Returns:
        For each job its fit. A loss that is not finite ends that job's alone; it is in its `error`. The
        `seconds` of an epoch are those of all heads in lockstep, divided among them.
    """
    rules = _Rules(max_epochs=max_epochs, min_epochs=min_epochs or 0, fit=fit, selection=selection)
    fits: dict[int, HeadFit] = {}
    batch_size = order(jobs[0].seed, 0).shape[1] if jobs else 0
    for positions in lockstep_groups(jobs, train.features_ND, batch_size):
        learner: Learner
        if len(positions) == 1:
            learner = AloneLearner(jobs[positions[0]], train, order, max_epochs)
        else:
            learner = StackedLearner([jobs[position] for position in positions], train, order, max_epochs)
        records = {position: _Record() for position in positions}
        _fit_group(learner, records, val, rules, on_epoch)
        fits |= {position: record.fit() for position, record in records.items()}
    return [fits[position] for position in range(len(jobs))]


class _Record:
    """What is known of a job so far."""

    def __init__(self) -> None:
        self.history: list[dict[str, float]] = []
        self.state: dict[str, torch.Tensor] | None = None
        self.epoch: int | None = None
        self.parts: dict[str, dict[str, torch.Tensor]] = {}
        self.error: NotFiniteError | None = None
        self._lowest = math.inf

    def is_selected(self, selection: Literal["val_loss", "last"]) -> bool:
        """Whether the newest epoch's weights are the ones to keep."""
        loss = self.history[-1].get("val/loss")
        if selection == "last" or loss is None:
            return True
        lower = loss < self._lowest
        self._lowest = min(loss, self._lowest)
        return lower

    def fit(self) -> HeadFit:
        return HeadFit(self.history, self.state, self.epoch, self.parts, self.error)


def _fit_group(
    learner: Learner,
    records: Mapping[int, _Record],
    val: LabelledFeatures | None,
    rules: _Rules,
    on_epoch: OnEpoch,
) -> None:
    """Train until every head is done; the records are filled."""
    active = list(records)
    epochs = itertools.count() if rules.max_epochs < 0 else range(rules.max_epochs)
    for epoch in epochs:
        started = time.perf_counter()
        trained = _training_figures(learner.train_epoch(epoch), epoch)
        validated = _validation_figures(learner, val, len(active), epoch)
        rates = learner.rates()
        seconds = (time.perf_counter() - started) / len(active)
        staying = []
        for place, position in enumerate(active):
            record, figures = records[position], (trained[place], validated[place])
            error = next((part for part in figures if isinstance(part, NotFiniteError)), None)
            if error is not None:
                record.error = error
                continue
            entry = {"epoch": float(epoch), "trainable_stages": 0.0}
            for part in figures:
                assert not isinstance(part, NotFiniteError)
                entry |= part
            entry |= {f"learning_rate/{name}": rate for name, rate in rates[place].items()}
            record.history.append(entry | {"seconds": seconds})
            if record.is_selected(rules.selection):
                record.state, record.epoch = learner.state(place), epoch
                record.parts = learner.parts(place)
            on_epoch(position, record.history[-1])
            if not rules.over(record.history):
                staying.append(place)
        if not staying:
            return
        if len(staying) < len(active):
            learner.keep(staying)
            active = [active[place] for place in staying]


def _training_figures(steps: StepValues, epoch: int) -> list[dict[str, float] | NotFiniteError]:
    """Each head's means over the steps, or what went wrong in the first step that did."""
    means = {
        f"train/{name}": figure.mean(0).tolist()
        for name, figure in ({"loss": steps.loss} | steps.terms | steps.observed).items()
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


def _validation_figures(
    learner: Learner, val: LabelledFeatures | None, num_heads: int, epoch: int
) -> list[dict[str, float] | NotFiniteError]:
    """Each head's figures on the validation part, or that its predictions are not finite."""
    if val is None or len(val.labels_N) == 0:
        return [{} for _ in range(num_heads)]
    labels_N = val.labels_N.cpu().numpy()
    results: list[dict[str, float] | NotFiniteError] = []
    for scores_NC in learner.scores(val.features_ND):
        probabilities_NC = scores_NC.double().softmax(1)
        if not probabilities_NC.isfinite().all():
            results.append(predictions_not_finite(epoch))
            continue
        figures = classification_metrics(probabilities_NC.cpu().numpy(), labels_N)
        results.append({f"val/{name}": value for name, value in figures.items() if value is not None})
    return results
