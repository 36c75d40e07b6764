"""CDAN: what its critic sees, and what sure predictions weigh."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from transferlab.strategy.objective.cdan import CDAN, RandomMultilinearMap, multilinear_map
from transferlab.strategy.objective.critic import domain_loss
from transferlab.strategy.parts import Facts


def make(network, **arguments):
    torch.manual_seed(1)
    objective = CDAN(hidden_units=8, **arguments)
    objective.prepare(Facts(network.backbone.num_features, torch.ones(3)))
    return objective


def test_map_is_the_outer_product():
    generator = np.random.default_rng(0)
    features, probabilities = generator.normal(size=(4, 5)), generator.dirichlet(np.ones(3), size=4)
    expected = np.stack([np.outer(g, f).ravel() for f, g in zip(features, probabilities, strict=True)])
    found = multilinear_map(torch.tensor(features), torch.tensor(probabilities))
    np.testing.assert_allclose(found.numpy(), expected)


def test_random_map_by_hand():
    """(R_f f) * (R_g g) / sqrt(d) with d = 2."""
    random_map = RandomMultilinearMap(2, 2, 2)
    random_map.of_features.copy_(torch.tensor([[1.0, 0.0], [2.0, -1.0]]))
    random_map.of_classes.copy_(torch.tensor([[1.0, 1.0], [0.0, 2.0]]))
    found = random_map(torch.tensor([[3.0, 1.0]]), torch.tensor([[0.25, 0.75]]))
    assert found[0].tolist() == pytest.approx([5 * 0.25 / 2**0.5, -1 * 1.75 / 2**0.5])


def test_random_map_keeps_inner_products_on_average():
    torch.manual_seed(0)
    features, probabilities = torch.randn(2, 6), torch.rand(2, 4).softmax(1)
    whole = multilinear_map(features, probabilities)
    found = RandomMultilinearMap(6, 4, 200_000)(features, probabilities)
    torch.testing.assert_close(found @ found.T, whole @ whole.T, atol=0.05, rtol=0.05)


@pytest.mark.parametrize(("largest_map", "inputs"), [(48, 48), (47, 32)])
def test_random_where_the_map_is_too_large(network, largest_map, inputs):
    """16 features x 3 classes."""
    objective = make(network, largest_map=largest_map, random_units=32)
    assert objective.critic[0].in_features == inputs


def test_random_matrices_are_saved_but_not_trained(network):
    objective = make(network, largest_map=0)
    assert {"random_map.of_features", "random_map.of_classes"} <= set(objective.state_dict())
    assert {name.partition(".")[0] for name, _ in objective.named_parameters()} == {"critic"}


def test_critic_sees_features_and_predictions(network, batch):
    objective = make(network)
    network.eval()
    seen = []
    objective.critic.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    losses = objective.losses(network, batch, 0.5)
    features = network.features(torch.cat([batch["input"], batch["target_input"]]))
    expected = multilinear_map(features, network.classify(features).softmax(1))
    torch.testing.assert_close(seen[0], expected)
    scores = objective.critic(expected).squeeze(1)
    torch.testing.assert_close(losses.terms["critic_loss"], domain_loss(scores[:6], scores[6:]))


def test_predictions_are_constants_to_the_critic(network, batch):
    losses = make(network, entropy_conditioning=True).losses(network, batch, 0.5)
    with pytest.raises(RuntimeError, match="not have been used in the graph"):
        torch.autograd.grad(losses.terms["critic_loss"], list(network.head.parameters()))


def test_entropy_conditioning(settled, batch):
    """Weights 1 + exp(-H), adding up to one within each domain."""
    objective = make(settled, entropy_conditioning=True)
    found = objective.losses(settled, batch, 0.5)
    features = settled.features(torch.cat([batch["input"], batch["target_input"]]))
    p = settled.classify(features).softmax(1)
    entropies = -(p * p.log()).sum(1)
    weights = 1 + (-entropies).exp()
    scores = objective.critic(multilinear_map(features, p)).squeeze(1)
    terms = torch.nn.functional.softplus(torch.cat([-scores[:6], scores[6:]])) * weights
    expected = (terms[:6].sum() / weights[:6].sum() + terms[6:].sum() / weights[6:].sum()) / 2
    torch.testing.assert_close(found.terms["critic_loss"], expected)
    torch.testing.assert_close(found.observed["entropy_source"], entropies[:6].mean())
    torch.testing.assert_close(found.observed["entropy_target"], entropies[6:].mean())
    plain = make(settled).losses(settled, batch, 0.5).terms["critic_loss"]
    assert (plain - expected).abs() > 1e-4
