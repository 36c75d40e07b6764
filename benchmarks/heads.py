"""What it takes to train heads on features that are computed already: many at once, and one alone.

    python benchmarks/heads.py [--rounds 3]

Linear heads (1,280 features, 10 classes) learn 2,000 samples in batches of 64 for 310 steps, with a cosine
schedule, and are validated on 500 samples after each epoch. 20 of them have five learning rates and four
weight decays, and one seed, or a seed and so an order of the samples each. Writes
benchmarks/results/heads.json and .md.
"""

from __future__ import annotations

import copy
import logging
import math
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import pytorch_lightning as pl
import torch
from comparison import Row, in_turns, one_thread, rounds_asked, write
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Sampler, TensorDataset
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassAUROC, MulticlassF1Score

from transferlab.data.loading.sampler import one_pass
from transferlab.strategy.learning_rates.schedule import LearningRates
from transferlab.strategy.objective.cross_entropy import CrossEntropy
from transferlab.training.fit_settings import FitSettings
from transferlab.training.heads.head_job import HeadFit, HeadJob, LabelledFeatures
from transferlab.training.heads.loop import fit_heads

NUM_FEATURES, NUM_CLASSES, BATCH_SIZE = 1280, 10, 64
NUM_EPOCHS, NUM_HEADS = 10, 20
NUM_BY_LIGHTNING = 4  # of the 20, for all take the same; the time is scaled
OPTIMIZERS = {"adamw": "AdamW", "momentum": "SGD with momentum"}  # timm's names
State = dict[str, Tensor]


EPOCHS = 34


def samples(count: int, seed: int) -> LabelledFeatures:
    """Features as after a ReLU, one of which tells the class."""
    generator = torch.Generator().manual_seed(seed)
    features_ND = torch.randn(count, NUM_FEATURES, generator=generator).relu()
    labels_N = torch.randint(NUM_CLASSES, (count,), generator=generator)
    features_ND[torch.arange(count), labels_N] += 2.0
    return LabelledFeatures(features_ND, labels_N)


TRAIN, VAL = samples(2000, 0), samples(500, 1)
STEPS_PER_EPOCH = len(TRAIN.labels_N) // BATCH_SIZE


@cache
def order(seed: int, epoch: int) -> Tensor:
    """Rows of an epoch's batches `(steps, batch size)`."""
    rows = one_pass(len(TRAIN.labels_N), domain="source", seed=seed, epoch=epoch)[:, 0]
    return torch.from_numpy(rows[: STEPS_PER_EPOCH * BATCH_SIZE].reshape(STEPS_PER_EPOCH, BATCH_SIZE))


def job(number: int, optimizer: str, *, seed: int) -> HeadJob:
    """One of the 20: rate and decay by its number."""
    torch.manual_seed(seed)
    objective = CrossEntropy()
    objective.build(NUM_FEATURES, torch.ones(NUM_CLASSES))
    rates = LearningRates(
        base=(1e-4 if optimizer == "adamw" else 3e-4) * (1, 2, 5, 10, 20)[number % 5],
        optimizer=optimizer,
        weight_decay=(0.0, 1e-3, 1e-2, 1e-1)[number // 5 % 4],
    )
    head = nn.Linear(NUM_FEATURES, NUM_CLASSES)
    return HeadJob(head=head, objective=objective, learning_rates=rates, seed=seed)


def by_transferlab(jobs: Sequence[HeadJob]) -> list[HeadFit]:
    """Histories with the figures on the validation samples, and the weights of the last epoch."""
    return fit_heads(
        jobs, TRAIN, VAL, order=order, max_epochs=NUM_EPOCHS, fit=FitSettings(), selection="last"
    )


def torch_optimizer(head: nn.Linear, rates: LearningRates) -> torch.optim.Optimizer:
    """Torch's own, with its defaults; no weight decay on the bias."""
    groups = [
        {"params": [head.weight], "weight_decay": rates.weight_decay},
        {"params": [head.bias], "weight_decay": 0.0},
    ]
    if rates.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=rates.base)
    return torch.optim.SGD(groups, lr=rates.base, momentum=rates.momentum)


def cosine(step: int) -> float:
    return 0.5 * (1 + math.cos(math.pi * step / (NUM_EPOCHS * STEPS_PER_EPOCH)))


def by_a_bare_loop(jobs: Sequence[HeadJob]) -> list[State]:
    """One after another; nothing is recorded or validated."""
    return [_bare_loop(job) for job in jobs]


def _bare_loop(job: HeadJob) -> State:
    head = copy.deepcopy(job.head)
    assert isinstance(head, nn.Linear)
    optimizer = torch_optimizer(head, job.learning_rates)
    step = 0
    for epoch in range(NUM_EPOCHS):
        for rows_B in order(job.seed, epoch):
            for group in optimizer.param_groups:
                group["lr"] = job.learning_rates.base * cosine(step)
            loss = F.cross_entropy(head(TRAIN.features_ND[rows_B]), TRAIN.labels_N[rows_B])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
    return head.state_dict()


class InOrder(Sampler[list[int]]):
    """A seed's batches, epoch after epoch."""

    def __init__(self, seed: int) -> None:
        self.seed, self.epoch = seed, -1

    def __iter__(self) -> Iterator[list[int]]:
        self.epoch += 1
        return iter(order(self.seed, self.epoch).tolist())

    def __len__(self) -> int:
        return STEPS_PER_EPOCH


class LightningHead(pl.LightningModule):
    """A head as Lightning's guide writes it, with the figures that transferlab records."""

    def __init__(self, job: HeadJob) -> None:
        super().__init__()
        self.head, self.rates = copy.deepcopy(job.head), job.learning_rates
        figures: dict[str, Any] = {
            "val/accuracy": MulticlassAccuracy(NUM_CLASSES, average="micro"),
            "val/balanced_accuracy": MulticlassAccuracy(NUM_CLASSES),
            "val/macro_f1": MulticlassF1Score(NUM_CLASSES),
            "val/auroc": MulticlassAUROC(NUM_CLASSES),
        }
        self.val_figures = MetricCollection(figures)

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        features_BD, labels_B = batch
        scores_BC = self.head(features_BD)
        loss = F.cross_entropy(scores_BC, labels_B)
        accuracy = (scores_BC.argmax(1) == labels_B).float().mean()
        self.log_dict({"train/loss": loss, "train/accuracy": accuracy}, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        features_BD, labels_B = batch
        scores_BC = self.head(features_BD)
        self.val_figures.update(scores_BC, labels_B)
        self.log("val/loss", F.cross_entropy(scores_BC, labels_B))
        self.log_dict(self.val_figures)

    def configure_optimizers(self) -> Any:
        optimizer = torch_optimizer(self.head, self.rates)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, cosine)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def by_lightning(jobs: Sequence[HeadJob]) -> list[State]:
    """One after another, each with a Trainer of its own that writes a CSV file and the best checkpoint."""
    return [_by_lightning(job) for job in jobs]


def _by_lightning(job: HeadJob) -> State:
    module = LightningHead(job)
    train = DataLoader(TensorDataset(TRAIN.features_ND, TRAIN.labels_N), batch_sampler=InOrder(job.seed))
    val = DataLoader(TensorDataset(VAL.features_ND, VAL.labels_N), batch_size=BATCH_SIZE)
    with tempfile.TemporaryDirectory() as folder:
        trainer = pl.Trainer(
            max_epochs=NUM_EPOCHS,
            accelerator="cpu",
            logger=CSVLogger(folder),
            callbacks=[ModelCheckpoint(folder, monitor="val/loss")],
            num_sanity_val_steps=0,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(module, train, val)
    return module.head.state_dict()


def largest_difference(fits: Sequence[HeadFit], states: Sequence[State]) -> float:
    """Of any weight of the first heads."""
    differences = []
    for fit, state in zip(fits, states, strict=False):
        assert fit.state is not None
        differences += [float((fit.state[name] - state[name]).abs().max()) for name in state]
    return max(differences)


def rows_of(optimizer: str, rounds: int) -> list[Row]:
    """20 heads of one seed, 20 of as many seeds, and one alone."""
    rows = []
    for seeds in ("one seed", f"{NUM_HEADS} seeds"):
        jobs = [
            job(number, optimizer, seed=0 if seeds == "one seed" else number) for number in range(NUM_HEADS)
        ]
        results: dict[str, Any] = {}
        ways = {
            "ours": lambda: results.update(ours=by_transferlab(jobs)),  # noqa: B023
            "bare": lambda: results.update(bare=by_a_bare_loop(jobs)),  # noqa: B023
            "lightning": lambda: results.update(lightning=by_lightning(jobs[:NUM_BY_LIGHTNING])),  # noqa: B023
        }
        spent = in_turns(ways, rounds=rounds)
        spent["lightning"] = [took.times(NUM_HEADS / NUM_BY_LIGHTNING) for took in spent["lightning"]]
        off = {way: largest_difference(results["ours"], results[way]) for way in ("bare", "lightning")}
        assert max(off.values()) <= 1e-5, off
        rows += [
            Row(
                what=f"{NUM_HEADS} heads of {seeds} together, {OPTIMIZERS[optimizer]}",
                against=against,
                spent=spent["ours"],
                baseline=spent[way],
                at_least=goal,
                equal=f"all weights to {off[way]:.0e}",
            )
            for way, against, goal in (
                ("lightning", "one after another by Lightning", 30),
                ("bare", "one after another in a bare torch loop", 2),
            )
        ]
    return [*rows, row_of_one(optimizer, rounds)]


def row_of_one(optimizer: str, rounds: int) -> Row:
    jobs = [job(1, optimizer, seed=0)]
    spent = in_turns(
        {"ours": lambda: by_transferlab(jobs), "bare": lambda: by_a_bare_loop(jobs)}, rounds=3 * rounds
    )
    off = largest_difference(by_transferlab(jobs), by_a_bare_loop(jobs))
    assert off <= 1e-5, off
    return Row(
        what=f"one head with all figures, {OPTIMIZERS[optimizer]}",
        against="bare torch loop without any",
        spent=spent["ours"],
        baseline=spent["bare"],
        at_most=1.3,
        equal=f"all weights to {off:.0e}",
    )


def main() -> None:
    rounds = rounds_asked(__doc__)
    one_thread()
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    rows = [row for optimizer in OPTIMIZERS for row in rows_of(optimizer, rounds)]
    write("heads", "Linear heads on features that are computed already", rows)


if __name__ == "__main__":
    main()
