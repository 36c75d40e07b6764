"""What a step of training costs where the backbone learns: behind kept activations, and beside a bare loop.

    python benchmarks/training_step.py [--rounds 3]

Both ways train timm's ResNet-18 with random weights on scikit-learn's digits. Writes
benchmarks/results/training_step.json and .md.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from comparison import Row, Spent, one_thread, rounds_asked, timed, write
from omegaconf import DictConfig
from pytorch_lightning.callbacks import Callback
from torch import Tensor
from torch.nn import functional as F

from transferlab.config.compose import compose_checked
from transferlab.model.classifier import Classifier
from transferlab.run.run_folder import Run
from transferlab.strategy.learning_rates.schedule import parameter_groups
from transferlab.training.build import Experiment, build
from transferlab.training.frozen.prefix import FrozenPrefix
from transferlab.training.lightning.loaders import Loaders
from transferlab.training.lightning.module import TransferModule
from transferlab.training.lightning.trainer import fit_callbacks, make_trainer
from transferlab.training.recorder import Recorder
from transferlab.training.terminal import quiet_libraries

SETTINGS = (
    *("backbone=resnet18", "backbone.weights=random", "data=digits", "data.batch_size=32", "trainer=cpu"),
    *("data.val_fraction=0.02", "data.test_fraction=0.02"),
    # a plain step, as the bare loop makes it
    *("strategy.bn=mixed", "strategy.learning_rates.warmup_epochs=0", "trainer.gradient_clip_val=null"),
)
PARTIAL = (*SETTINGS, "strategy=partial", "data.image_size=128", "data.fraction=0.12", "trainer.max_epochs=2")
FINE_TUNE = (
    *(*SETTINGS, "strategy=fine_tune", "data.image_size=64", "trainer.max_epochs=1", "features.cache=off"),
)


class StepTimes(Callback):
    """From the end of a step to the end of the next one in an epoch: its batch, forward, backward, update."""

    def __init__(self) -> None:
        self.processor_s: list[float] = []
        self.wall_s: list[float] = []
        self._last: tuple[float, float] | None = None

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._last = None

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *step: Any) -> None:
        now = time.process_time(), time.perf_counter()
        if self._last is not None:
            self.processor_s.append(now[0] - self._last[0])
            self.wall_s.append(now[1] - self._last[1])
        self._last = now

    @property
    def median(self) -> Spent:
        return Spent(statistics.median(self.processor_s), statistics.median(self.wall_s))


def fitted(config: DictConfig, experiment: Experiment, folder: Path, *callbacks: Callback) -> TransferModule:
    """The fit of a run as `transferlab train` does it: history, a line an epoch, checkpoints, history.csv."""
    run = Run(folder)
    run.create()
    module = TransferModule(experiment.network, experiment.strategy, experiment.fit, seed=experiment.seed)
    prefix = None
    if experiment.features.cache != "off":
        prefix = FrozenPrefix(experiment, print)
    recorder = Recorder(run)
    own = fit_callbacks(config.trainer, experiment.fit, experiment.strategy.selection, recorder)
    trainer = make_trainer(config.trainer, recorder, [*callbacks, *own], reload=prefix is not None)
    trainer.fit(module, datamodule=Loaders(experiment.batches, prefix))
    recorder.write_history(module.history)
    if prefix is not None:
        assert experiment.network.backbone.boundary is not None, "the activations were not kept"
    return module


def partial_row(folder: Path, rounds: int) -> Row:
    spent: dict[str, list[Spent]] = {"auto": [], "off": []}
    modules: dict[str, TransferModule] = {}
    for number, cache in itertools.product(range(rounds + 1), spent):
        config = compose_checked([*PARTIAL, f"features.cache={cache}"]).config
        experiment, times = build(config), StepTimes()
        with contextlib.redirect_stdout(io.StringIO()):
            modules[cache] = fitted(config, experiment, folder / f"partial-{cache}-{number}", times)
        if number > 0:
            spent[cache].append(times.median)
    off = largest_difference(modules["auto"].network, modules["off"].network)
    assert off <= 1e-4, off
    return Row(
        what="step with layer4 and the head trainable, 32 images of 128 px, layers before it kept",
        against="features.cache=off",
        spent=spent["auto"],
        baseline=spent["off"],
        at_least=2.0,
        equal=f"all weights to {off:.0e}",
    )


def everything_row(folder: Path, rounds: int) -> Row:
    config = compose_checked(list(FINE_TUNE)).config
    spent, bare = list[Spent](), list[Spent]()
    steps = 0
    for number in range(rounds):
        experiment = build(config)
        with contextlib.redirect_stdout(io.StringIO()):
            module, took = timed(lambda: fitted(config, experiment, folder / f"everything-{number}"))  # noqa: B023
        spent.append(took)
        steps = module.global_step
        other = build(config)
        images, labels = everything_at_once(other, "train")
        val_images, val_labels = everything_at_once(other, "val")
        val_loss, took = timed(lambda: bare_loop(other, images, labels, val_images, val_labels))  # noqa: B023
        bare.append(took)
        off = largest_difference(module.network, other.network)
        assert off <= 1e-6, off
        assert abs(val_loss - module.history[-1]["val/loss"]) <= 1e-6, (val_loss, module.history)
    return Row(
        what=f"fit of ResNet-18, {steps} steps of 32 images of 64 px, everything on",
        against="bare torch loop",
        spent=spent,
        baseline=bare,
        at_most=1.05,
        equal=f"all weights to {off:.0e}, validation loss to 1e-06",
    )


def everything_at_once(experiment: Experiment, split: str) -> tuple[Tensor, Tensor]:
    """The images of a split (uint8) and their labels, in memory."""
    images = experiment.batches.images(split)
    codes = experiment.batches.splits[split].catalog.codes
    return images.rows(range(len(images))), torch.from_numpy(codes)


def bare_loop(experiment: Experiment, images, labels, val_images, val_labels) -> float:
    """One epoch, the same optimizer, rates and batches; validation afterwards, nothing recorded."""
    network, rates, data = experiment.network, experiment.strategy.learning_rates, experiment.batches
    groups = parameter_groups(network, experiment.strategy.objective, rates)
    optimizer = rates.make_optimizer(groups)
    batches = torch.from_numpy(data.order(experiment.seed).visits(0)[..., 0])
    network.train()
    for step, rows in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = rates.rate(
                group["stage"], progress=step / len(batches), epochs=step / len(batches), opened=0.0
            )
        scores = network(data.preprocessing.normalised(images[rows]))
        loss = F.cross_entropy(scores, labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    network.eval()
    with torch.no_grad():
        parts = [network(data.preprocessing.normalised(some)) for some in val_images.split(32)]
        return float(F.cross_entropy(torch.cat(parts).double(), val_labels))


def largest_difference(one: Classifier, other: Classifier) -> float:
    """Of any weight."""
    states = one.state_dict(), other.state_dict()
    return max(float((states[0][name] - states[1][name]).abs().max()) for name in states[0])


def main() -> None:
    rounds = rounds_asked(__doc__)
    one_thread()
    quiet_libraries()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TRANSFERLAB_CACHE"] = f"{folder}/cache"
        rows = [partial_row(Path(folder), rounds), everything_row(Path(folder), rounds)]
    write(
        "training_step",
        "Training ResNet-18 with and without its frozen layers, and against a bare loop",
        rows,
    )


if __name__ == "__main__":
    main()
