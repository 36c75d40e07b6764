"""Learning-rate range test: one that respects the groups of parameters.

Smith (2017), Cyclical Learning Rates for Training Neural Networks, section 3.3. Only `base` is raised, so
that all groups keep their ratios (backbone_factor, stage_decay, objective_factor). Lightning's own finder
gives all groups one rate.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytorch_lightning as pl
from omegaconf import DictConfig
from pytorch_lightning.callbacks import Callback

from transferlab.analysis.short_fit import fit_shortly
from transferlab.run.errors import UserError
from transferlab.training.build import build
from transferlab.training.lightning.module import TransferModule
from transferlab.training.losses import NotFiniteError

SMOOTHING = 0.98  # of the loss, an exponential moving average, as fastai and Lightning have it
DIVERGED = 4.0  # times the lowest smoothed loss
_SKIPPED_FIRST, _SKIPPED_LAST = 10, 5  # steps where the average is young, or the loss explodes


@dataclass(frozen=True)
class RangeTest:
    """Result of a range test."""

    rates_N: np.ndarray  # `base` in each step, rising
    losses_N: np.ndarray  # the loss of each step
    trainable_stages: int  # of the backbone, that were open

    @property
    def smoothed_N(self) -> np.ndarray:
        return smoothed(self.losses_N)

    @property
    def suggestion(self) -> float:
        """Where the smoothed loss falls most steeply; raises `UserError` where it does not fall."""
        return steepest(self.rates_N, self.smoothed_N)

    @property
    def lowest(self) -> float:
        """Where the smoothed loss is lowest: too high a rate to train with, a tenth of it is usual."""
        return float(self.rates_N[self.smoothed_N.argmin()])


def smoothed(losses_N: Sequence[float] | np.ndarray, weight: float = SMOOTHING) -> np.ndarray:
    """The exponential moving average without the bias of its beginning (Kingma & Ba, 2015, section 3).

    >>> smoothed([2.0, 2.0, 2.0]).tolist()
    [2.0, 2.0, 2.0]
    """
    average, found = 0.0, []
    for step, loss in enumerate(losses_N, start=1):
        average = weight * average + (1 - weight) * float(loss)
        found.append(average / (1 - weight**step))
    return np.array(found)


def steepest(rates_N: np.ndarray, losses_N: np.ndarray) -> float:
    """The rate at which the loss falls most per factor of the rate.

    Raises:
        UserError: too few steps, or a loss that never falls.
    """
    inner = slice(_SKIPPED_FIRST, max(len(rates_N) - _SKIPPED_LAST, 0))
    rates, losses = rates_N[inner], losses_N[inner]
    if len(rates) < 3:
        raise UserError(
            f"The loss diverged after {len(rates_N)} steps. Begin lower: --lowest={rates_N[0] / 100:.0e}."
        )
    slopes = np.gradient(losses, np.log(rates))
    if slopes.min() >= 0:
        raise UserError(
            f"The loss does not fall at any rate from {rates_N[0]:.0e} to {rates_N[-1]:.0e}. Take other "
            "bounds (--lowest, --highest), or more steps (--steps)."
        )
    return float(rates[slopes.argmin()])


class _RaiseRate(Callback):
    """Sets `base` for each step of the optimizer, and ends the fit when the loss has diverged."""

    def __init__(self, rates_N: np.ndarray) -> None:
        self.rates_N = rates_N
        self.losses: list[float] = []
        self._of_step: list[float] = []
        self.trainable_stages = 0

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Before the module sets the rates of its groups, which it derives from `base`."""
        assert isinstance(pl_module, TransferModule)
        self.trainable_stages = pl_module.trainable_stages
        rates = replace(
            pl_module.strategy.learning_rates,
            base=float(self.rates_N[trainer.global_step]),
            schedule="constant",
            warmup_epochs=0.0,
        )
        pl_module.strategy = replace(pl_module.strategy, learning_rates=rates)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._of_step.append(float(outputs["loss"]) * trainer.accumulate_grad_batches)
        if len(self._of_step) < trainer.accumulate_grad_batches:
            return
        self.losses.append(float(np.mean(self._of_step)))
        self._of_step = []
        means = smoothed(self.losses)
        if not math.isfinite(means[-1]) or (len(means) > 1 and means[-1] > DIVERGED * means.min()):
            trainer.should_stop = True


def range_test(config: DictConfig, *, lowest: float, highest: float, steps: int) -> RangeTest:
    """Train for some steps while `strategy.learning_rates.base` rises by the same factor in each.

    Args:
        config: checked and resolved.
        lowest: `base` of the first step.
        highest: of the last one, unless the loss has diverged before.
        steps: of the optimizer.

    Raises:
        UserError: data, weights or a head that cannot be used.
    """
    raising = _RaiseRate(np.geomspace(lowest, highest, steps))
    batches = steps * int(config.trainer.accumulate_grad_batches)
    with contextlib.suppress(NotFiniteError):  # diverged within a step
        fit_shortly(build(config), raising, steps=batches)
    losses_N = np.array(raising.losses)
    finite = np.isfinite(losses_N)
    return RangeTest(raising.rates_N[: len(losses_N)][finite], losses_N[finite], raising.trainable_stages)


def write_range_test(test: RangeTest, folder: Path) -> Path:
    """Write learning_rate.csv and learning_rate.png into a folder; return the picture's path."""
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    table = {"base": test.rates_N, "loss": test.losses_N, "smoothed_loss": test.smoothed_N}
    pd.DataFrame(table).to_csv(folder / "learning_rate.csv", index=False)
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.plot(test.rates_N, test.losses_N, color="#B8B8B8", linewidth=1, label="each step")
    axes.plot(test.rates_N, test.smoothed_N, color="#0072B2", label="smoothed")
    axes.axvline(test.suggestion, color="#D55E00", linestyle="--", label=f"suggested: {test.suggestion:.2g}")
    top = min(float(test.losses_N.max()), 1.5 * float(test.smoothed_N[0]))
    axes.set(xscale="log", xlabel="strategy.learning_rates.base", ylabel="training loss", ylim=(None, top))
    axes.legend(frameon=False)
    figure.savefig(folder / "learning_rate.png", dpi=130)
    return folder / "learning_rate.png"
