"""A head on cached features equals the head of a training by Lightning behind a frozen backbone."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, Sampler

from tests.strategy.tiny import tiny_classifier
from tests.training.heads.problem import CLASS_COUNTS_C
from tests.training.witnesses import EVENTS, Witness, WitnessObjective, WitnessPenalty
from transferlab.data.loading.sampler import one_pass
from transferlab.model.classifier import Classifier
from transferlab.strategy.head.linear import Linear
from transferlab.strategy.learning_rates.schedule import LearningRates
from transferlab.strategy.objective.cross_entropy import CrossEntropy
from transferlab.strategy.objective.focal import Focal
from transferlab.strategy.objective.logit_adjustment import LogitAdjustment
from transferlab.strategy.parts import Facts, Objective
from transferlab.strategy.penalty.l1 import L1
from transferlab.strategy.strategy import Strategy
from transferlab.strategy.unfreezing.none import NoStage
from transferlab.training.fit_settings import FitSettings
from transferlab.training.heads.head_job import HeadFit, HeadJob, LabelledFeatures
from transferlab.training.heads.loop import fit_heads
from transferlab.training.lightning.module import TransferModule

NUM, NUM_CLASSES, BATCH_SIZE, EPOCHS = 30, 4, 8, 3


class Images(Dataset[dict[str, torch.Tensor]]):
    """Noise, brighter in some classes than in others."""

    def __init__(self, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.labels = torch.arange(NUM) % NUM_CLASSES
        self.images = torch.randn(NUM, 3, 32, 32, generator=generator) + self.labels[:, None, None, None]

    def __len__(self) -> int:
        return NUM

    def __getitem__(self, row: int) -> dict[str, torch.Tensor]:
        return {"input": self.images[row], "label": self.labels[row], "index": torch.tensor(row)}


def order(seed: int, epoch: int) -> torch.Tensor:
    rows = one_pass(NUM, domain="source", seed=seed, epoch=epoch)[: 3 * BATCH_SIZE, 0]
    return torch.as_tensor(rows).reshape(3, BATCH_SIZE)


class Order(Sampler[list[int]]):
    """The same order for Lightning, an epoch after the other."""

    def __init__(self, seed: int) -> None:
        self.seed, self.epoch = seed, -1

    def __len__(self) -> int:
        return 3

    def __iter__(self) -> Iterator[list[int]]:
        self.epoch += 1
        return iter(order(self.seed, self.epoch).tolist())


TRAIN, VAL = Images(0), Images(1)


def by_lightning(
    network: Classifier, strategy: Strategy, fit: FitSettings, seed: int, clip_norm: float | None = None
) -> TransferModule:
    module = TransferModule(network, strategy, fit, seed=seed)
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=EPOCHS,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        gradient_clip_val=clip_norm,
    )
    trainer.fit(module, DataLoader(TRAIN, batch_sampler=Order(seed)), DataLoader(VAL, batch_size=16))
    return module


@torch.no_grad()
def cached(network: Classifier, images: Images) -> LabelledFeatures:
    features_ND = network.eval().features(images.images)
    network.train()
    return LabelledFeatures(features_ND, images.labels)


def mlp(num_features: int) -> nn.Module:
    return nn.Sequential(nn.Linear(num_features, 6), nn.ReLU(), nn.Dropout(0.3), nn.Linear(6, NUM_CLASSES))


def assert_same(found: HeadFit, module: TransferModule) -> None:
    for name, value in module.network.head.state_dict().items():
        torch.testing.assert_close(found.state[name], value, rtol=0, atol=1e-5)
    parts = {name: module.strategy.parts[name].state_dict() for name in found.parts}
    torch.testing.assert_close(found.parts, parts, rtol=0, atol=1e-5)
    own = any(isinstance(part, Witness) for part in module.strategy.parts.values())
    assert list(found.parts) == (["objective", "penalty.witness"] if own else [])
    assert len(found.history) == len(module.history)
    for entry, reference in zip(found.history, module.history, strict=True):
        assert list(entry) == list(reference)
        for name, value in reference.items():
            if name != "seconds":
                assert entry[name] == pytest.approx(value, abs=1e-5), name


CASES: dict[str, tuple[Objective, dict, dict, bool]] = {
    "plain": (CrossEntropy(), {}, {}, False),
    "warm-up and SGD": (CrossEntropy(), {"optimizer": "sgd", "warmup_epochs": 1.5}, {}, False),
    "momentum and smoothing": (CrossEntropy(label_smoothing=0.1), {"optimizer": "momentum"}, {}, False),
    "clipped": (CrossEntropy(), {"optimizer": "sgd"}, {"clip_norm": 0.3}, False),
    "dropout": (Focal(class_weights="balanced"), {}, {"head_dropout": 0.4}, False),
    "mlp with dropout": (
        LogitAdjustment(),
        {"schedule": "step", "step_epochs": 1},
        {"head_dropout": 0.2},
        True,
    ),
    "penalty": (CrossEntropy(), {}, {"penalty": {"l1": L1(strength=1e-2)}}, False),
    "hooks": (
        WitnessObjective(),
        {"optimizer": "sgd"},
        {"penalty": {"l1": L1(strength=1e-2), "witness": WitnessPenalty()}, "head_dropout": 0.3},
        False,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_equals_a_training_by_lightning(name):
    objective, rates, given, hidden = CASES[name]
    settings = {key: value for key, value in given.items() if key != "clip_norm"}
    clip_norm = given.get("clip_norm")
    learning_rates = LearningRates(**{"base": 1e-2, "weight_decay": 0.1, **rates})
    jobs, modules = [], []
    for seed in (3, 4):
        backbone = tiny_classifier().backbone
        torch.manual_seed(seed)
        head = mlp(backbone.num_features) if hidden else Linear().build(backbone.num_features, NUM_CLASSES)
        dropout = settings.get("head_dropout", 0.0)
        strategy = Strategy(
            head=Linear(),
            unfreezing=NoStage(),
            objective=copy.deepcopy(objective),
            learning_rates=learning_rates,
            **copy.deepcopy(settings),
        )
        network = Classifier(backbone, head, head_dropout=dropout)
        strategy.begin(network, Facts(backbone.num_features, CLASS_COUNTS_C))
        jobs.append(
            HeadJob(
                head=copy.deepcopy(head),
                objective=copy.deepcopy(strategy.objective),
                learning_rates=learning_rates,
                seed=seed,
                head_dropout=dropout,
                penalties=copy.deepcopy(strategy.penalty),
                clip_norm=clip_norm,
            )
        )
        modules.append(by_lightning(network, strategy, FitSettings(), seed, clip_norm))
    train, val = cached(modules[0].network, TRAIN), cached(modules[0].network, VAL)
    settings = {"order": order, "max_epochs": EPOCHS, "fit": FitSettings(), "selection": "last"}
    together = fit_heads(jobs, train, val, **settings)
    for job, module, found in zip(jobs, modules, together, strict=True):
        assert_same(fit_heads([job], train, val, **settings)[0], module)
        assert_same(found, module)


def test_hooks_come_in_the_order_of_lightning():
    strategy = Strategy(
        head=Linear(),
        unfreezing=NoStage(),
        objective=WitnessObjective(),
        penalty={"witness": WitnessPenalty()},
        learning_rates=LearningRates(base=1e-2),
    )
    network = tiny_classifier(NUM_CLASSES)
    strategy.begin(network, Facts(network.backbone.num_features, CLASS_COUNTS_C))
    job = HeadJob(
        head=copy.deepcopy(network.head),
        objective=copy.deepcopy(strategy.objective),
        learning_rates=strategy.learning_rates,
        seed=3,
        penalties=copy.deepcopy(strategy.penalty),
    )
    EVENTS.clear()
    by_lightning(network, strategy, FitSettings(), 3)
    expected = EVENTS.copy()
    assert len(expected) == 3 * EPOCHS * 4
    EVENTS.clear()
    fit_heads([job], cached(network, TRAIN), None, order=order, max_epochs=EPOCHS, fit=FitSettings())
    assert expected == EVENTS
    assert not job.objective.calls.any()  # a job stays as it is


def test_a_failure_says_the_same():
    learning_rates = LearningRates(base=1e38, optimizer="sgd", schedule="constant")
    classifier = tiny_classifier(NUM_CLASSES)
    objective = CrossEntropy()
    train, val = cached(classifier, TRAIN), cached(classifier, VAL)
    job = HeadJob(
        head=copy.deepcopy(classifier.head), objective=objective, learning_rates=learning_rates, seed=3
    )
    found = fit_heads([job], train, val, order=order, max_epochs=EPOCHS, fit=FitSettings())[0]
    strategy = Strategy(
        head=Linear(), unfreezing=NoStage(), objective=objective, learning_rates=learning_rates
    )
    with pytest.raises(type(found.error)) as raised:
        by_lightning(classifier, strategy, FitSettings(), 3)
    assert str(raised.value) == str(found.error)
