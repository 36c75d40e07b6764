"""What holds for every objective that learns from an unlabelled target."""

from __future__ import annotations

import inspect
import math
from importlib import import_module

import pytest
import torch
from hydra import compose, initialize_config_dir
from scipy import stats

from tests.strategy.tiny import tiny_classifier
from transferlab.backbone.freezing import freeze_all_but_last, set_modes
from transferlab.config.classes import fact, shipped_targets
from transferlab.config.config_files import shipped
from transferlab.strategy.learning_rates.schedule import LearningRates, parameter_groups
from transferlab.strategy.objective.adaptation import (
    Adaptation,
    certainty_weights,
    entropy,
    share_of_weight,
)
from transferlab.strategy.objective.domains import Domains
from transferlab.strategy.parts import Facts, Objective

SMALL = {"hidden_units": 8, "threshold": 0.5}  # where the class takes it
CASES = {
    **{target: {} for target in sorted(shipped_targets()) if fact({"_target_": target}, "uses_target")},
    "transferlab.strategy.objective.cdan.CDAN+E": {"entropy_conditioning": True},
    "transferlab.strategy.objective.cdan.CDAN+random": {"largest_map": 0, "random_units": 8},
}
ADVERSARIAL = {"critic_loss", "adversary_loss"}
EVERY = pytest.mark.parametrize("case", list(CASES), ids=lambda case: case.rpartition(".")[2])


def make(case: str, network, **further) -> Objective:
    module, _, name = case.partition("+")[0].rpartition(".")
    kind = getattr(import_module(module), name)
    small = {key: value for key, value in SMALL.items() if key in inspect.signature(kind).parameters}
    torch.manual_seed(1)
    objective = kind(**small, **CASES[case], **further)
    objective.prepare(Facts(network.backbone.num_features, torch.ones(3)))
    objective.remember(network)
    return objective


def adaptation_term(losses) -> tuple[str, torch.Tensor]:
    (name,) = set(losses.terms) - {"class_loss"}
    return name, losses.terms[name]


@EVERY
def test_source_is_learnt_from_labels_alone(case, network, batch):
    losses = make(case, network).losses(network.eval(), batch, 0.5)
    expected = torch.nn.functional.cross_entropy(network(batch["input"]), batch["label"])
    torch.testing.assert_close(losses.terms["class_loss"], expected)
    assert "target_label" not in batch
    assert not any(figure.requires_grad for name, figure in losses.observed.items() if name == "accuracy")


@EVERY
def test_one_pass_over_both_domains(case, network, batch):
    """Of sizes that differ; the self-training's teacher goes over the target once more."""
    objective = make(case, network).train()
    seen = []
    network.train().backbone.register_forward_hook(lambda m, inputs, output: seen.append(len(inputs[0])))
    objective.losses(network, batch, 0.5)
    assert seen == ([16, 10] if "self_training" in case else [16])
    assert network.backbone.network.conv1[1].num_batches_tracked == 1


@EVERY
@pytest.mark.parametrize("bn", ["separate", "domain_specific"])
def test_a_pass_for_each_domain(case, network, batch, bn):
    objective = make(case, network)
    objective.domains = Domains(network, bn=bn)
    losses = objective.losses(network.train(), batch, 0.5)
    torch.stack(list(losses.terms.values())).sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in network.parameters())
    assert network.backbone.network.conv1[1].num_batches_tracked == (2 if bn == "separate" else 1)


@EVERY
@pytest.mark.parametrize("backbone", ["resnet10t", "test_vit"])
def test_one_step_moves_every_module(case, batch, backbone):
    network = tiny_classifier(name=backbone)
    objective = make(case, network)
    groups = parameter_groups(network, objective, LearningRates(weight_decay=0.0))
    optimizer = LearningRates(optimizer="sgd").make_optimizer(groups)
    modules = (network.backbone, network.head, objective)
    before = [[p.detach().clone() for p in module.parameters()] for module in modules]
    losses = objective.losses(network.train(), batch, 0.5)
    torch.stack(list(losses.terms.values())).sum().backward()
    assert all(p.grad.abs().sum() > 0 for module in modules for p in module.parameters())
    optimizer.step()
    for module, olds in zip(modules, before, strict=True):
        assert not any(torch.equal(old, new) for old, new in zip(olds, module.parameters(), strict=True))


@EVERY
def test_signs(case, settled, batch):
    """An adversary's loss falls by its own step and rises by the features'; others fall by the latter."""
    objective = make(case, settled)
    for module in (objective, settled.backbone):
        parameters = list(module.parameters())
        name, before = adaptation_term(objective.losses(settled, batch, 0.5))
        gradients = torch.autograd.grad(before, parameters) if parameters else ()
        size = sum(gradient.square().sum().item() for gradient in gradients)
        with torch.no_grad():
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.sub_(1e-3 * before.abs() / size * gradient)
        _, after = adaptation_term(objective.losses(settled, batch, 0.5))
        if not parameters:
            assert name not in ADVERSARIAL
        elif module is settled.backbone and name in ADVERSARIAL:
            assert after > before
        else:
            assert after < before


@EVERY
def test_at_the_start_the_backbone_learns_from_the_source_alone(case, network, batch):
    objective = make(case, network)
    losses = objective.losses(network.eval(), batch, 0.0)
    _, term = adaptation_term(losses)
    assert losses.observed["lambda"] == 0
    gradients = torch.autograd.grad(term, list(network.backbone.parameters()))
    assert all((gradient == 0).all() for gradient in gradients)


@EVERY
def test_frozen_backbone(case, network, batch):
    objective = make(case, network)
    network.train()
    freeze_all_but_last(network.backbone, 0)
    set_modes(network.backbone, 0, freeze_bn=False)
    losses = objective.losses(network, batch, 0.5)
    torch.stack(list(losses.terms.values())).sum().backward()
    assert all(p.grad is None for p in network.backbone.parameters())
    learning = [*network.head.parameters(), *objective.parameters()]
    assert all(p.grad.abs().sum() > 0 for p in learning)


@EVERY
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_losses_in_fp32_under_autocast(case, network, batch, dtype):
    objective = make(case, network)
    network.eval()
    _, expected = adaptation_term(objective.losses(network, batch, 0.5))
    with torch.autocast("cpu", dtype=dtype):
        losses = objective.losses(network, batch, 0.5)
    assert {term.dtype for term in losses.terms.values()} == {torch.float32}
    _, term = adaptation_term(losses)
    torch.testing.assert_close(term, expected, rtol=0.1, atol=0.02)  # the features are rounded, no more
    torch.stack(list(losses.terms.values())).sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters())


@EVERY
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_whole_module_in_another_precision(case, network, batch, dtype):
    """As under trainer.precision=bf16-true and 64-true."""
    objective = make(case, network).to(dtype)
    batch = {name: t.to(dtype) if t.is_floating_point() else t for name, t in batch.items()}
    losses = objective.losses(network.to(dtype), batch, 0.5)
    torch.stack([term.float() for term in losses.terms.values()]).sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in [*network.parameters(), *objective.parameters()])


@EVERY
def test_label_smoothing(case, network, batch):
    objective = make(case, network, label_smoothing=0.2)
    found = objective.losses(network.eval(), batch, 0.5).terms["class_loss"]
    expected = torch.nn.functional.cross_entropy(network(batch["input"]), batch["label"], label_smoothing=0.2)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ("progress", "arguments", "expected"),
    [
        (0.0, {}, 0.0),
        (0.1, {}, math.tanh(0.5)),  # 2 / (1 + exp(-x)) - 1 = tanh(x / 2)
        (0.5, {}, math.tanh(2.5)),
        (1.0, {}, math.tanh(5.0)),
        (0.5, {"weight": 0.2}, 0.2 * math.tanh(2.5)),
        (0.5, {"steepness": 4.0}, math.tanh(1.0)),
        (0.25, {"horizon": 0.5}, math.tanh(2.5)),
        (0.75, {"horizon": 0.5}, math.tanh(5.0)),
        (0.0, {"horizon": 0.0}, 1.0),
        (0.3, {"horizon": 0.0, "weight": 2.0}, 2.0),
    ],
)
def test_lambda(progress, arguments, expected):
    usual = {"weight": 1.0, "steepness": 10.0, "horizon": 1.0, "label_smoothing": 0.0}
    assert Adaptation(**(usual | arguments)).factor(progress) == pytest.approx(expected, abs=1e-12)


def test_tllibs_schedule():
    """2 / (1 + exp(-alpha i / max_iters)) - 1 with alpha 1, max_iters 1000, in 20 epochs of 1,000 steps."""
    with initialize_config_dir(str(shipped()), version_base="1.3"):
        config = compose("train", ["strategy=dann", "strategy/objective=dann_tllib"]).strategy.objective
    for step in (0, 1, 500, 1000, 7000, 19999):
        found = share_of_weight(step / 20_000, steepness=config.steepness, horizon=config.horizon)
        assert found == pytest.approx(2 / (1 + math.exp(-step / 1000)) - 1, abs=1e-12)


def test_entropy_is_that_of_scipy():
    logits = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    expected = stats.entropy(logits.softmax(1).numpy(), axis=1)
    assert entropy(logits).tolist() == pytest.approx(expected.tolist(), rel=1e-5)


def test_limits():
    sure, even = torch.tensor([[1e4, 0.0, 0.0]]), torch.zeros(1, 3)
    assert entropy(sure).item() == 0
    assert entropy(even).item() == pytest.approx(math.log(3))
    assert entropy(sure.half()).dtype == torch.float32
    found = certainty_weights(entropy(torch.cat([sure, even])))
    assert found.tolist() == pytest.approx([2.0, 1 + 1 / 3])


def test_weights_are_constants():
    logits = torch.randn(3, 4, requires_grad=True)
    assert entropy(logits).requires_grad
    assert not certainty_weights(entropy(logits)).requires_grad
