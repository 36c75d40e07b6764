"""One head with whatever a user brings: own objectives, heads and optimizers."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from tests.training.heads.problem import NUM_CLASSES, NUM_FEATURES, features, job, linear, mlp, order
from transferlab.run.randomness import derived_seed
from transferlab.strategy.objective.cross_entropy import CrossEntropy
from transferlab.strategy.parts import Losses, Objective
from transferlab.training.heads.alone import AloneLearner

TRAIN = features()


class Scaled(Objective):
    """Scores times a learned factor, and noise on the features."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(1.5))

    def losses(self, network, batch, progress):
        noisy = batch["input"] + torch.randn_like(batch["input"])
        loss = nn.functional.cross_entropy(
            self.factor * network.classify(network.features(noisy)), batch["label"]
        )
        return Losses({"scaled": loss, "size": 0.01 * self.factor**2}, {"progress": torch.tensor(progress)})


def test_own_objective_with_parameters_and_randomness():
    case = job(2, objective=Scaled(), optimizer="sgd", objective_factor=0.5, weight_decay=0.0, base=0.1)
    learner = AloneLearner(case, TRAIN, order, 2)
    figures = [learner.train_epoch(epoch) for epoch in range(2)]
    head, objective = copy.deepcopy(case.head), Scaled()
    optimizer = torch.optim.SGD(
        [{"params": head.parameters()}, {"params": objective.parameters()}], momentum=0.9, nesterov=True
    )
    losses = []
    for step in range(12):
        epoch, batch = divmod(step, 6)
        rate = 0.05 * (1 + torch.tensor(torch.pi * step / 12).cos().item())
        for group, factor in zip(optimizer.param_groups, (1.0, 0.5), strict=True):
            group["lr"] = rate * factor
        rows = order(2, epoch)[batch]
        torch.manual_seed(derived_seed("step", 2, epoch, batch, 0))
        x, labels = TRAIN.features_ND[rows], TRAIN.labels_N[rows]
        scores = objective.factor * head(x + torch.randn_like(x))
        loss = nn.functional.cross_entropy(scores, labels) + 0.01 * objective.factor**2
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    torch.testing.assert_close(torch.cat([steps.loss for steps in figures])[:, 0], torch.stack(losses))
    for name, value in learner.state(0).items():
        torch.testing.assert_close(value, head.state_dict()[name])
    assert list(figures[0].terms) == ["scaled", "size"]
    assert figures[1].observed["progress"][:, 0].tolist() == pytest.approx([(6 + k) / 12 for k in range(6)])
    # a factor without dimensions is a vector to the optimizer, and no group of those is told
    assert learner.rates() == [{"head": pytest.approx(rate)}]
    assert case.objective.factor.item() == 1.5


def test_own_head_with_buffers():
    torch.manual_seed(0)
    head = nn.Sequential(nn.BatchNorm1d(NUM_FEATURES), nn.Linear(NUM_FEATURES, NUM_CLASSES))
    learner = AloneLearner(job(0, head=head), TRAIN, order, 1)
    learner.train_epoch(0)
    state = learner.state(0)
    assert state["0.num_batches_tracked"] == 6
    head.load_state_dict(state)
    (found,) = learner.scores(TRAIN.features_ND)
    torch.testing.assert_close(found, head.eval()(TRAIN.features_ND))


@pytest.mark.parametrize(
    ("case", "draws"),
    [
        (job(), False),
        (job(head=mlp(0)), False),
        (job(head=mlp(0, 0.1)), True),
        (job(head_dropout=0.1), True),
        (job(objective=Scaled()), True),
        (job(head=nn.Sequential(linear(0), nn.RReLU())), True),
    ],
)
def test_seeds_only_where_numbers_may_be_drawn(case, draws):
    torch.manual_seed(1)
    untouched = torch.get_rng_state()
    AloneLearner(case, TRAIN, order, 1).train_epoch(0)
    assert torch.equal(torch.get_rng_state(), untouched) != draws


@pytest.mark.parametrize(
    ("settings", "fused"),
    [
        ({}, True),
        ({"optimizer": "sgd"}, True),
        ({"optimizer": "lamb"}, None),
        ({"optimizer_kwargs": {"foreach": True}}, None),
    ],
)
def test_fused_where_torch_has_that(settings, fused):
    optimizer = AloneLearner(job(**settings), TRAIN, order, 1).optimizer
    assert optimizer.defaults.get("fused") is fused


def test_term_that_comes_and_goes():
    class Late(CrossEntropy):
        def losses(self, network, batch, progress):
            found = super().losses(network, batch, progress)
            late = {"late": found.terms["class_loss"] * 0 + 6.0} if progress >= 0.5 else {}
            return Losses(found.terms | late, found.observed)

    steps = AloneLearner(job(objective=Late(class_weights="none")), TRAIN, order, 1).train_epoch(0)
    assert steps.terms["late"][:, 0].tolist() == [0, 0, 0, 6, 6, 6]


def test_a_long_gradient_is_shortened():
    """By hand: SGD without momentum moves by rate x gradient, here of length 0.05."""
    case = job(optimizer="momentum", momentum=0.0, base=0.5, weight_decay=0.0, schedule="constant")
    rows = order(0, 0)[0]
    head = copy.deepcopy(case.head)
    nn.functional.cross_entropy(head(TRAIN.features_ND[rows]), TRAIN.labels_N[rows]).backward()
    gradients = {name: parameter.grad for name, parameter in head.named_parameters()}
    length = torch.cat([gradient.flatten() for gradient in gradients.values()]).norm().item()
    assert length > 0.05

    def moved(clip_norm: float | None) -> dict[str, torch.Tensor]:
        learner = AloneLearner(replace(case, clip_norm=clip_norm), TRAIN, lambda *_: order(0, 0)[:1], 1)
        learner.train_epoch(0)
        before = case.head.state_dict()
        return {name: before[name] - value for name, value in learner.state(0).items()}

    whole = {name: 0.5 * gradient for name, gradient in gradients.items()}
    torch.testing.assert_close(moved(None), whole, rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(moved(2 * length), whole, rtol=1e-4, atol=1e-7)
    short = {name: step * 0.05 / length for name, step in whole.items()}
    torch.testing.assert_close(moved(0.05), short, rtol=1e-4, atol=1e-7)
