"""A user's own parts: plain classes that fit the protocols train like ours, with no change elsewhere."""

from __future__ import annotations

from typing import ClassVar

import pytorch_lightning as pl
import torch
from torch import nn
from torch.nn import functional

from tests.strategy.tiny import tiny_classifier
from transferlab.strategy.head.linear import Linear
from transferlab.strategy.learning_rates.schedule import LearningRates
from transferlab.strategy.parts import Facts, Losses, Objective, Penalty
from transferlab.strategy.strategy import Strategy
from transferlab.training.fit_settings import FitSettings
from transferlab.training.lightning.module import TransferModule


class FirstEpochHeadOnly:
    """An unfreezing of a user: it inherits from nothing."""

    def trainable_stages(self, epoch, history, num_stages):
        assert len(history) == epoch
        return 0 if epoch == 0 else 2

    def phase(self, history, num_stages):
        return "finished" if len(history) == 2 else "opening"


class Reconstruct(Objective):
    """An objective with a module of its own: classify, and tell the mean colour from the features."""

    uses_target: ClassVar[bool] = False

    def prepare(self, facts):
        self.decoder = nn.Linear(facts.num_features, 3)
        self.register_buffer("rarity_C", 1 / facts.class_counts_C.float())

    def losses(self, network, batch, progress):
        features = network.features(batch["input"])
        class_loss = functional.cross_entropy(network.classify(features), batch["label"], self.rarity_C)
        colour_loss = functional.mse_loss(self.decoder(features), batch["input"].mean((2, 3)))
        return Losses(
            {"class_loss": class_loss, "colour_loss": colour_loss}, {"done": torch.tensor(progress)}
        )


class SmallHead(Penalty):
    def penalty(self, network):
        return 0.01 * network.head.weight.square().sum()


def test_own_parts_train():
    network = tiny_classifier()
    objective = Reconstruct()
    objective.prepare(Facts(network.backbone.num_features, torch.tensor([4, 2, 2])))
    strategy = Strategy(
        head=Linear(),
        unfreezing=FirstEpochHeadOnly(),
        objective=objective,
        penalty={"small_head": SmallHead()},
        learning_rates=LearningRates(schedule="constant", base=0.01, backbone_factor=1.0),
    )
    module = TransferModule(network, strategy, FitSettings(), seed=0)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    assert "objective.decoder.weight" in before  # so it is in the checkpoint

    samples = [
        {"input": torch.randn(3, 32, 32), "label": torch.tensor(n % 3), "index": torch.tensor(n)}
        for n in range(8)
    ]
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=9,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    loader = torch.utils.data.DataLoader(samples, batch_size=4)
    trainer.fit(module, loader, loader)

    assert [entry["trainable_stages"] for entry in module.history] == [
        0,
        2,
    ]  # its own phase ended the training
    first, second = module.history
    for name in ("train/class_loss", "train/colour_loss", "train/small_head", "train/done"):
        assert name in first
    total = first["train/class_loss"] + first["train/colour_loss"] + first["train/small_head"]
    assert abs(first["train/loss"] - total) < 1e-5
    assert second["train/loss"] < first["train/loss"]
    moved = {name for name, tensor in module.state_dict().items() if not torch.equal(before[name], tensor)}
    open_stages = {
        f"network.backbone.network.{p}" for s in network.backbone.stages[-2:] for p in s.parameters
    }
    frozen = {f"network.backbone.network.{p}" for s in network.backbone.stages[:-2] for p in s.parameters}
    assert {"objective.decoder.weight", "objective.decoder.bias", "network.head.weight"} <= moved
    assert open_stages <= moved
    assert not frozen & moved
