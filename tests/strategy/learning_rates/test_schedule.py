"""Learning rates by hand: schedule x warm-up x factor of the group; optimizers by name."""

from __future__ import annotations

import math

import pytest
import torch

from transferlab.run.errors import UserError
from transferlab.strategy.learning_rates.schedule import LearningRates, schedule_factor, warmup_factor


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [  # at 0, 1/4, 1/2, 3/4 and all of 8 epochs
        ("constant", [1.0, 1.0, 1.0, 1.0, 1.0]),
        ("cosine", [1.0, 0.5 + math.sqrt(0.125), 0.5, 0.5 - math.sqrt(0.125), 0.0]),
        ("step", [1.0, 1.0, 0.1, 0.01, 0.01]),
        ("ganin", [1.0, 3.5**-0.75, 6.0**-0.75, 8.5**-0.75, 11.0**-0.75]),
    ],
)
def test_schedules(schedule, expected):
    found = [
        schedule_factor(schedule, p, 8 * p, step_epochs=3, step_factor=0.1) for p in (0, 0.25, 0.5, 0.75, 1)
    ]
    assert found == pytest.approx(expected, abs=1e-12)


def test_step_drops_exactly_at_the_epoch():
    """Epochs are steps / steps per epoch: 30 steps of 10 are 3.0 epochs, the first of the fourth."""
    found = [
        schedule_factor("step", 0, step / 10, step_epochs=3, step_factor=0.5) for step in (29, 30, 59, 60)
    ]
    assert found == [1.0, 0.5, 0.5, 0.25]


def test_warmup_is_a_line_from_zero():
    found = [warmup_factor(epochs, 2.0) for epochs in (0, 0.5, 1, 1.5, 2, 3)]
    assert found == [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]
    assert warmup_factor(0, 0) == 1.0


def test_factor_of_each_group():
    rates = LearningRates(backbone_factor=0.1, stage_decay=0.5, objective_factor=3.0)
    assert [rates.group_factor(stage) for stage in (-1, 0, 1, 2, 3)] == pytest.approx(
        [3.0, 1.0, 0.1, 0.05, 0.025]
    )


def test_rate_is_the_product():
    rates = LearningRates(
        base=0.2, backbone_factor=0.1, stage_decay=0.5, warmup_epochs=2.0, schedule="step", step_epochs=4
    )
    # stage 2 opened at epoch 3; now it is epoch 4.5, after one drop: 3/4 warmed up
    found = rates.rate(2, progress=0.5, epochs=4.5, opened=3.0)
    assert found == pytest.approx(0.2 * (0.1 * 0.5) * 0.1 * 0.75)
    assert rates.rate(0, progress=0.5, epochs=4.5, opened=0.0) == pytest.approx(0.2 * 0.1)
    assert rates.rate(1, progress=0.5, epochs=3.0, opened=3.0) == 0.0


def groups() -> list[dict]:
    matrix, vector = torch.nn.Parameter(torch.ones(2, 2)), torch.nn.Parameter(torch.ones(2))
    return [
        {"name": "a", "stage": 1, "params": [matrix], "weight_decay": 0.3},
        {"name": "a/no_decay", "stage": 1, "params": [vector], "weight_decay": 0.0},
    ]


@pytest.mark.parametrize(
    ("name", "kind", "momentum"),
    [
        ("adamw", "AdamW", None),
        ("AdamW", "AdamW", None),
        ("adam", "Adam", None),
        ("sgd", "SGD", 0.7),
        ("momentum", "SGD", 0.7),
        ("rmsprop", "RMSprop", 0.7),
        ("adagrad", "Adagrad", None),
        ("lamb", "Lamb", None),
        ("lion", "Lion", None),
        ("nadamw", "NAdamW", None),
        ("lars", "Lars", 0.7),
        ("muon", "Muon", 0.7),
    ],
)
def test_optimizers_of_torch_and_timm(name, kind, momentum):
    optimizer = LearningRates(optimizer=name, momentum=0.7, base=0.01).make_optimizer(groups())
    assert type(optimizer).__name__ == kind
    assert isinstance(optimizer, torch.optim.Optimizer)
    decayed, spared = optimizer.param_groups
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.3, 0.0)
    assert (decayed["name"], decayed["stage"], decayed["lr"]) == ("a", 1, 0.01)
    assert decayed.get("momentum") == momentum
    for group in optimizer.param_groups:
        group["params"][0].grad = torch.ones_like(group["params"][0])
    optimizer.step()
    assert all((group["params"][0] < 1).all() for group in optimizer.param_groups)


def test_sgd_step_by_hand():
    """Weight decay reaches the matrix alone: 1 - 0.1 (1 + 0.3) against 1 - 0.1."""
    optimizer = LearningRates(optimizer="momentum", base=0.1).make_optimizer(groups())
    for group in optimizer.param_groups:
        group["params"][0].grad = torch.ones_like(group["params"][0])
    optimizer.step()
    matrix, vector = (group["params"][0] for group in optimizer.param_groups)
    torch.testing.assert_close(matrix.detach(), torch.full((2, 2), 0.87))
    torch.testing.assert_close(vector.detach(), torch.full((2,), 0.9))


def test_optimizer_kwargs_arrive():
    optimizer = LearningRates(optimizer_kwargs={"betas": (0.5, 0.6)}).make_optimizer(groups())
    assert optimizer.param_groups[0]["betas"] == (0.5, 0.6)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"optimizer": "adamv"}, r"optimizer=adamv: timm has no such optimizer. Did you mean adam"),
        ({"optimizer": "AdanWW"}, r"timm has no such optimizer. Did you mean adanw"),
        (
            {"optimizer_kwargs": {"beta": 1}},
            r"timm can not make it with .*optimizer_kwargs=\{'beta': 1\} .*beta",
        ),
        ({"optimizer": "sgd", "momentum": 0.0}, r"optimizer=sgd: timm can not make it with momentum=0\.0"),
    ],
)
def test_wrong_optimizers(arguments, text):
    with pytest.raises(UserError, match=text):
        LearningRates(**arguments).make_optimizer(groups())
