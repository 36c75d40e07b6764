"""DANN: the adversary's gradient, its own learning, and each domain's weight."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from transferlab.model.classifier import Classifier
from transferlab.strategy.learning_rates.schedule import LearningRates, parameter_groups
from transferlab.strategy.objective.critic import domain_loss
from transferlab.strategy.objective.dann import DANN
from transferlab.strategy.parts import Facts


def make(network: Classifier, **arguments) -> DANN:
    torch.manual_seed(1)
    objective = DANN(hidden_units=8, **arguments)
    objective.prepare(Facts(network.backbone.num_features, torch.ones(3)))
    return objective


def gradients(module: torch.nn.Module, loss: torch.Tensor) -> list[torch.Tensor]:
    return list(torch.autograd.grad(loss, list(module.parameters()), retain_graph=True))


@pytest.mark.parametrize(("weight", "progress"), [(1.0, 0.3), (0.5, 1.0), (2.0, 0.05)])
def test_reversed_gradient_is_minus_lambda_times_the_plain_one(network, batch, weight, progress):
    objective = make(network, weight=weight)
    network.eval()
    losses = objective.losses(network, batch, progress)
    reversed_ = gradients(network.backbone, losses.terms["critic_loss"])

    features = network.features(torch.cat([batch["input"], batch["target_input"]]))
    scores = objective.critic(features).squeeze(1)
    plain_loss = domain_loss(scores[:6], scores[6:])
    plain = gradients(network.backbone, plain_loss)

    torch.testing.assert_close(losses.terms["critic_loss"], plain_loss)
    factor = objective.adaptation.factor(progress)
    assert losses.observed["lambda"].item() == pytest.approx(factor)
    for backwards, forwards in zip(reversed_, plain, strict=True):
        torch.testing.assert_close(backwards, -factor * forwards, rtol=1e-4, atol=1e-7)
        assert backwards.abs().sum() > 0
    # the critic itself learns forwards, at full strength
    for own, expected in zip(
        gradients(objective, losses.terms["critic_loss"]), gradients(objective, plain_loss), strict=True
    ):
        torch.testing.assert_close(own, expected)
        assert own.abs().sum() > 0


def test_lambda_zero_leaves_the_backbone_alone(network, batch):
    losses = make(network).losses(network.eval(), batch, 0.0)
    assert all((g == 0).all() for g in gradients(network.backbone, losses.terms["critic_loss"]))


def test_head_learns_from_the_source_alone(network, batch):
    objective = make(network)
    loss = objective.losses(network.eval(), batch, 0.5).terms["class_loss"]
    expected = functional.cross_entropy(network(batch["input"]), batch["label"])
    torch.testing.assert_close(loss, expected)
    with pytest.raises(RuntimeError, match="not have been used in the graph"):
        gradients(network.head, objective.losses(network, batch, 0.5).terms["critic_loss"])
    smoothed = make(network, label_smoothing=0.2).losses(network, batch, 0.5).terms["class_loss"]
    torch.testing.assert_close(
        smoothed, functional.cross_entropy(network(batch["input"]), batch["label"], label_smoothing=0.2)
    )


def test_one_forward_pass_over_both_domains(network, batch):
    """Batch norm's statistics are those of source and target together, and count one batch."""
    seen = []
    network.backbone.register_forward_hook(lambda module, inputs, output: seen.append(len(inputs[0])))
    norm = network.backbone.network.conv1[1]
    before = int(norm.num_batches_tracked)
    make(network).losses(network.train(), batch, 0.5)
    assert seen == [16]
    assert int(norm.num_batches_tracked) == before + 1


def test_one_step_moves_critic_head_and_backbone(network, batch):
    objective = make(network)
    optimizer = LearningRates(optimizer="sgd").make_optimizer(
        parameter_groups(network, objective, LearningRates(weight_decay=0.0))
    )
    modules = {"critic": objective, "head": network.head, "backbone": network.backbone}
    before = {name: [p.detach().clone() for p in module.parameters()] for name, module in modules.items()}
    losses = objective.losses(network.train(), batch, 0.5)
    torch.stack(list(losses.terms.values())).sum().backward()
    optimizer.step()
    for name, module in modules.items():
        moved = [
            not torch.equal(old, new) for old, new in zip(before[name], module.parameters(), strict=True)
        ]
        assert all(moved), name


def test_the_critic_learns_to_tell_domains_apart(network, batch):
    objective = make(network)
    optimizer = torch.optim.Adam(objective.parameters(), lr=0.01)
    network.eval()
    for _ in range(60):
        losses = objective.losses(network, batch, 0.5)
        optimizer.zero_grad()
        losses.terms["critic_loss"].backward()
        optimizer.step()
    assert losses.terms["critic_loss"] < 0.2
    assert losses.observed["critic_accuracy_source"] == 1
    assert losses.observed["critic_accuracy_target"] == 1


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_fp32_under_autocast(network, batch, dtype):
    objective = make(network)
    kinds = []
    objective.critic.register_forward_hook(
        lambda module, inputs, output: kinds.append((inputs[0].dtype, output.dtype))
    )
    with torch.autocast("cpu", dtype=dtype):
        losses = objective.losses(network, batch, 0.5)
    assert kinds == [(torch.float32, torch.float32)]
    assert {term.dtype for term in losses.terms.values()} == {torch.float32}
    assert all(torch.isfinite(term) for term in losses.terms.values())
