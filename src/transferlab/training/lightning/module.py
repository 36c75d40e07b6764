"""The LightningModule: a network, the strategy that transfers it, and the record of its epochs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytorch_lightning as pl
import torch
from torch import nn

from transferlab.backbone.freezing import freeze_all_but_last, set_modes
from transferlab.evaluation.metrics import classification_metrics
from transferlab.model.classifier import Classifier
from transferlab.run.randomness import derived_seed
from transferlab.strategy.learning_rates.schedule import parameter_groups
from transferlab.strategy.learning_rates.sharpness import ascended
from transferlab.strategy.parts import call_hook
from transferlab.strategy.strategy import Strategy
from transferlab.training.fit_settings import FitSettings, is_over
from transferlab.training.lightning.distributed import (
    agree_on_buffers,
    mean_over_processes,
    of_all_processes,
    wrap_again,
)
from transferlab.training.lightning.outputs import EpochMeans, Outputs, gradient_norms, gradients_are_due
from transferlab.training.losses import loss_not_finite, losses_of, predictions_not_finite

if TYPE_CHECKING:
    from transferlab.training.lightning.target_epochs import TargetWatch

_STEPS_BETWEEN_CHECKS = 50  # on a GPU, looking at the loss means waiting for it


class TransferModule(pl.LightningModule):
    """Trains a `Classifier` as a `Strategy` says.

    Everything that decides the next step is a function of the seed, the position and `history`, one entry
    for each finished epoch, which travels in the checkpoint.

    Args:
        network: backbone and head.
        strategy: begun; its objective and penalties belong to this module from now on.
        fit: when to stop.
        seed: of dropout and the like.
        watch: records what each epoch predicts for the target; None without a target.
    """

    def __init__(
        self,
        network: Classifier,
        strategy: Strategy,
        fit: FitSettings,
        *,
        seed: int,
        watch: TargetWatch | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.strategy = strategy
        self.fit = fit
        self.objective = strategy.objective
        self.penalties = nn.ModuleDict(cast(Mapping[str, nn.Module], strategy.penalty))
        self.seed = seed
        self.history: list[dict[str, float]] = []
        self.watch = watch
        self.outputs = {
            split: Outputs(with_features=watch is not None and watch.needs_features)
            for split in ("val", *(watch.splits if watch else ()))
        }
        self.tested = Outputs()
        self.validation: dict[str, float] = {}
        self._open_stages = 0
        self._wrapped_stages = self.num_stages  # Lightning wraps the network before anything is frozen
        self._started = 0.0
        self._means = EpochMeans()
        self._seconds = 0.0
        self._total_steps = 1.0

    @property
    def in_epoch(self) -> bool:
        """True if an epoch has begun that is not in the history yet."""
        return bool(self._means)

    # --- which stages train, and how fast ---------------------------------------------------------------

    @property
    def num_stages(self) -> int:
        return len(self.network.backbone.stages)

    @property
    def trainable_stages(self) -> int:
        """Number of stages that train in the current epoch, counted from the output."""
        return self.strategy.unfreezing.trainable_stages(self.current_epoch, self.history, self.num_stages)

    def train(self, mode: bool = True) -> TransferModule:
        """As in torch, except that frozen stages stay in evaluation mode."""
        super().train(mode)
        if mode:
            freeze_bn = self.strategy.bn.startswith("frozen")
            set_modes(self.network.backbone, self._open_stages, freeze_bn=freeze_bn)
        return self

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """One optimizer with every parameter in it from the start; see `parameter_groups`."""
        rates = self.strategy.learning_rates
        groups = parameter_groups(self.network, self.objective, rates)
        return rates.make_optimizer(groups)

    def on_train_start(self) -> None:
        """Also on a mid-epoch resume, where Lightning skips `on_train_epoch_start`."""
        self._total_steps = float(self.trainer.estimated_stepping_batches)
        self._freeze()

    def on_train_epoch_start(self) -> None:
        self._freeze()

    def _freeze(self) -> None:
        self._open_stages = self.trainable_stages
        freeze_all_but_last(
            self.network.backbone,
            self._open_stages,
            freeze_scale_and_shift=self.strategy.bn == "frozen_norms",
        )
        if self._open_stages != self._wrapped_stages:
            wrap_again(self.trainer)
            self._wrapped_stages = self._open_stages
        self.train()
        self._started = time.perf_counter()

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        torch.manual_seed(derived_seed("step", self.seed, self.current_epoch, batch_idx, self.global_rank))
        self._set_learning_rates()

    def _set_learning_rates(self) -> None:
        steps_per_epoch = self._steps_per_epoch()
        epochs = self.global_step / steps_per_epoch
        depths = [int(entry["trainable_stages"]) for entry in self.history] + [self._open_stages]
        for group in self.optimizers(use_pl_optimizer=False).param_groups:  # type: ignore[union-attr]
            stage = group["stage"]
            opened = next((epoch for epoch, depth in enumerate(depths) if depth >= stage), len(depths))
            group["lr"] = group["scale"] * self.strategy.learning_rates.rate(
                stage, progress=self._progress(), epochs=epochs, opened=float(opened)
            )

    def _progress(self) -> float:
        """The share of the training that is over; 0 throughout where no end is known."""
        return min(self.global_step / self._total_steps, 1.0)

    def _steps_per_epoch(self) -> float:
        batches, accumulated = self.trainer.num_training_batches, self.trainer.accumulate_grad_batches
        return max(1.0, math.ceil(batches / accumulated))

    # --- a step -------------------------------------------------------------------------------------------

    def training_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> torch.Tensor:
        """The loss of a batch: the objective's terms and the penalties."""
        losses = losses_of(self.objective, self.network, batch, self._progress())
        penalties = {name: part.penalty(self.network) for name, part in self.strategy.penalty.items()}
        terms = losses.terms | penalties
        loss = torch.stack([term.float() for term in terms.values()]).sum()
        if loss.device.type == "cpu" or batch_idx % _STEPS_BETWEEN_CHECKS == 0:
            self._refuse_nan(loss, terms)
        self._means.add({"loss": loss} | terms | losses.observed)
        return loss

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Every few steps of an adaptation, how large the gradients are; then the parts' `before_step`."""
        if self.objective.uses_target and gradients_are_due(self._means.counts):
            self._means.add(gradient_norms(optimizer))
        call_hook("before_step", self.strategy.parts, self.network, self.global_step + 1)

    def optimizer_step(
        self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Callable[[], Any] | None = None
    ) -> None:
        """As in Lightning, or by SAM; then the parts' `after_step`, before a checkpoint can be written.

        Not in `on_train_batch_end`: callbacks come first there, and a checkpoint would lack this step.
        """
        if self.strategy.learning_rates.sam_rho and optimizer_closure is not None:
            optimizer_closure = partial(self._compute_sharp_gradients, optimizer_closure, batch_idx)
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        call_hook("after_step", self.strategy.parts, self.network, self.global_step + 1)

    def _compute_sharp_gradients(self, closure: Callable[[], Any], batch_idx: int) -> Any:
        """Two passes over a batch, with the same random numbers; only the second one's gradients stay."""
        loss, means = closure(), self._means
        self._means = EpochMeans()
        with ascended(self, self.strategy.learning_rates.sam_rho):
            self.on_train_batch_start(None, batch_idx)
            closure()
        self._means = means
        return loss

    def _refuse_nan(self, loss: torch.Tensor, terms: Mapping[str, torch.Tensor]) -> None:
        if not torch.isfinite(loss):
            bad = [name for name, term in terms.items() if not torch.isfinite(term)]
            raise loss_not_finite(bad, epoch=self.current_epoch, step=self.global_step)

    # --- evaluation ---------------------------------------------------------------------------------------

    def on_validation_epoch_start(self) -> None:
        for outputs in self.outputs.values():
            outputs.clear()
        agree_on_buffers(self.network)
        agree_on_buffers(self.objective.domains)

    def validation_step(
        self, batch: dict[str, torch.Tensor], batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """The loaders are those of `outputs`, in this order: the source's, then the target's."""
        split = list(self.outputs)[dataloader_idx]
        with self.objective.domains.on_source(self.network) if split == "val" else nullcontext():
            self._predict(self.outputs[split], batch)

    def _predict(self, outputs: Outputs, batch: dict[str, torch.Tensor]) -> None:
        features_ND = self.network.features(batch["input"])
        outputs.add(features_ND, self.network.classify(features_ND), batch)

    def on_validation_epoch_end(self) -> None:
        if self.trainer.sanity_checking:  # of a network that no epoch has trained
            return
        if self.watch is not None:
            self.validation |= self.watch.record(self.current_epoch, self.outputs)
        probabilities_NC, labels_N, _ = self.outputs["val"].gathered()
        if len(labels_N) == 0:
            return
        if not np.isfinite(probabilities_NC).all():
            raise predictions_not_finite(self.current_epoch)
        self.validation |= {
            f"val/{name}": value
            for name, value in classification_metrics(probabilities_NC, labels_N).items()
            if value is not None
        }

    def on_test_epoch_start(self) -> None:
        self.tested.clear()
        agree_on_buffers(self.network)

    def test_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> None:
        self._predict(self.tested, batch)

    # --- the record ---------------------------------------------------------------------------------------

    def on_train_epoch_end(self) -> None:
        """Add the epoch to the history; the callbacks that save and stop come after this."""
        self._seconds += time.perf_counter() - self._started
        means = mean_over_processes({f"train/{name}": mean for name, mean in self._means.means().items()})
        if not np.isfinite(means.get("train/loss", 0.0)):
            self._refuse_nan(torch.tensor(float("nan")), self._means.sums)
        entry = {
            "epoch": float(self.current_epoch),
            "trainable_stages": float(self._open_stages),
            **means,
            **self.validation,
            **{f"learning_rate/{name}": rate for name, rate in self._rates_now().items()},
            "seconds": self._seconds,
        }
        self.history.append(entry)
        self.log_dict({name: value for name, value in entry.items() if "/" in name}, rank_zero_only=True)
        self._means.clear()
        self._seconds, self.validation = 0.0, {}
        if self._may_stop() and is_over(self.history, self.strategy.unfreezing, self.num_stages, self.fit):
            self.trainer.should_stop = True  # never False: others may wish it, too (Timer, a user's callback)

    def _may_stop(self) -> bool:
        """True from the epoch on, and the step, before which the trainer would not stop."""
        loop = self.trainer.fit_loop
        return len(self.history) >= (loop.min_epochs or 0) and self.global_step >= (loop.min_steps or 0)

    def _rates_now(self) -> dict[str, float]:
        groups: Sequence[dict[str, Any]] = self.optimizers(use_pl_optimizer=False).param_groups  # type: ignore
        return {
            group["name"]: group["lr"]
            for group in groups
            if group["stage"] <= self._open_stages and "/" not in group["name"]
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        seconds = self._seconds + (time.perf_counter() - self._started if self._means else 0.0)
        checkpoint["transferlab"] = {
            "history": self.history,
            "means": of_all_processes(self._means.state()),  # the first process writes
            "seconds": seconds,
            "validation": self.validation,
            "is_over": self.trainer.should_stop and self._may_stop() and not self._means,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        record = checkpoint["transferlab"]
        self.history = record["history"]
        self._means.load(record["means"][self.global_rank % len(record["means"])])
        self._seconds = record["seconds"]
        self.validation = record["validation"]
