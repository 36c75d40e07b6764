"""Sharpness-aware steps and averages of epochs' weights, against those by hand and by torch's own tools."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import AveragedModel, update_bn

from tests.training.test_resume import TINY
from transferlab.config.compose import compose_checked
from transferlab.run.randomness import derived_seed
from transferlab.training.build import Experiment, build
from transferlab.training.fit import fit
from transferlab.training.lightning.module import TransferModule

ONE_RATE = [
    *("strategy.learning_rates.schedule=constant", "strategy.learning_rates.backbone_factor=1"),
    *("strategy.learning_rates.optimizer=sgd", "strategy.learning_rates.weight_decay=0"),
    *("strategy.learning_rates.base=0.05", "strategy.learning_rates.warmup_epochs=0"),
    *("strategy.selection=last", "strategy.bn=mixed", "trainer.gradient_clip_val=null"),
]


def experiment(*further: str) -> Experiment:
    return build(compose_checked([*TINY, "backbone.name=test_resnet", *ONE_RATE, *further]).config)


def assert_close(network: torch.nn.Module, expected: torch.nn.Module) -> None:
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, expected.state_dict()[name], atol=1e-6, rtol=1e-6, msg=name)


def loss_of(network: torch.nn.Module, batch: dict[str, torch.Tensor], step: int) -> torch.Tensor:
    torch.manual_seed(derived_seed("step", 0, 0, step, 0))  # dropout's
    network.zero_grad()
    return functional.cross_entropy(network(batch["input"]), batch["label"])


def norms_of(network: torch.nn.Module) -> list[_BatchNorm]:
    return [module for module in network.modules() if isinstance(module, _BatchNorm)]


def step_by_hand(network: torch.nn.Module, optimizer: torch.optim.Optimizer, batch, step: int) -> float:
    loss = loss_of(network, batch, step)
    loss.backward()
    weights = list(network.parameters())
    before = [weight.detach().clone() for weight in weights]
    norm = torch.cat([weight.grad.flatten() for weight in weights]).norm()
    with torch.no_grad():
        for weight in weights:
            weight += 0.1 * weight.grad / norm
    for norm_layer in norms_of(network):
        norm_layer.track_running_stats = False  # batches' own statistics, none is recorded
    loss_of(network, batch, step).backward()
    for norm_layer in norms_of(network):
        norm_layer.track_running_stats = True
    with torch.no_grad():
        for weight, value in zip(weights, before, strict=True):
            weight.copy_(value)
    torch.nn.utils.clip_grad_norm_(weights, 0.5)
    optimizer.step()
    return loss.item()


def test_sharpness_aware_steps_are_those_by_hand(monkeypatch):
    """With dropout, batch norms, momentum and clipping; two passes in a step, of which the first counts."""
    ours = experiment(
        *("strategy.learning_rates.sam_rho=0.1", "strategy.head_dropout=0.3", "trainer.max_epochs=1"),
        *("trainer.gradient_clip_val=0.5", "trainer.limit_train_batches=3"),
    )
    network = copy.deepcopy(ours.network).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9, nesterov=True)
    passes, losses = [], []
    original = TransferModule.training_step
    monkeypatch.setattr(TransferModule, "training_step", lambda *a: (passes.append(a[2]), original(*a))[1])
    (entry,) = fit(ours).history
    for step, batch in zip(range(3), ours.batches.train(), strict=False):
        losses.append(step_by_hand(network, optimizer, ours.batches.prepared(batch), step))
    assert passes == [0, 0, 1, 1, 2, 2]
    assert entry["train/loss"] == pytest.approx(sum(losses) / 3, rel=1e-5)
    assert_close(ours.network, network)


@pytest.mark.slow
def test_sharpness_aware_steps_in_bf16_and_on_stored_features():
    mixed = experiment("strategy.learning_rates.sam_rho=0.1", "trainer.precision=bf16-mixed")
    assert fit(mixed).history[-1]["train/loss"] < 2.4
    head = [
        "strategy=feature_extraction",
        "strategy/head=linear",
        "trainer.max_epochs=2",
        "strategy.learning_rates.base=0.5",
    ]
    plain, sharp = (
        fit(experiment(*head, f"strategy.learning_rates.sam_rho={rho}")).history[-1]["train/loss"]
        for rho in (0, 1)
    )
    assert plain != sharp


def epochs_of(*further: str) -> tuple[Experiment, list[dict[str, torch.Tensor]]]:
    """A training without averages, and the network's state at the end of each epoch."""
    plain, states = experiment(*further), []
    original = TransferModule.on_train_epoch_end

    def end(module: TransferModule) -> None:
        states.append(copy.deepcopy(module.network.state_dict()))
        original(module)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransferModule, "on_train_epoch_end", end)
        fit(plain)
    return plain, states


def test_the_average_of_epochs_is_that_of_torch_with_statistics_anew():
    """Of the last three of four epochs; the statistics are of the last epoch's training batches."""
    plain, states = epochs_of("trainer.max_epochs=4")
    averaged = AveragedModel(plain.network)
    for state in states[1:]:
        plain.network.load_state_dict(state)
        averaged.update_parameters(plain.network)
    ours = experiment("trainer.max_epochs=4", "fit.swa_start=0.5")
    history = fit(ours, predict=["val"])
    visits = ours.batches.order(0).visits(3)[..., 0]
    rows = torch.from_numpy(visits.reshape(-1)).tolist()
    images = ours.batches.images("train")
    pixels = torch.stack([torch.as_tensor(images[row]) for row in rows]).split(visits.shape[1])
    update_bn((ours.batches.preprocessing.normalised(batch) for batch in pixels), averaged)
    assert_close(ours.network, averaged.module)
    assert history.predictions["val"].probabilities_NC.shape[1] == 10
