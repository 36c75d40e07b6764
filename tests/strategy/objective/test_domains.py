"""Which statistics batch norm trains with, keeps, and evaluates with, for each kind of `bn`."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from transferlab.backbone.freezing import set_modes
from transferlab.run.errors import UserError
from transferlab.strategy.objective.domains import (
    Domains,
    SourceStatistics,
    refuse_single,
)

MOMENTUM = 0.1
KINDS = ["mixed", "separate", "domain_specific", "frozen"]


def first_norm(network):
    return network.backbone.network.conv1[1]


def means_before_the_first_norm(network, batch):
    """Of the channels, for source, target, and both together."""
    before = network.backbone.network.conv1[0]
    with torch.no_grad():
        parts = [before(batch["input"]), before(batch["target_input"])]
    return [part.mean((0, 2, 3)) for part in (*parts, torch.cat(parts))]


def trained(network, batch, bn):
    """One pass in training mode; the domains, and the features of both."""
    domains = Domains(network, bn=bn)
    network.train()
    set_modes(network.backbone, 5, freeze_bn=bn == "frozen")
    return domains, domains.features(network, batch)


@pytest.mark.parametrize(
    ("bn", "sizes"),
    [("mixed", [16]), ("frozen", [16]), ("separate", [6, 10]), ("domain_specific", [6, 10])],
)
def test_passes(network, batch, bn, sizes):
    seen = []
    network.backbone.register_forward_hook(lambda module, inputs, output: seen.append(len(inputs[0])))
    _, (source, target) = trained(network, batch, bn)
    assert seen == sizes
    assert source.shape == (6, network.backbone.num_features)
    assert target.shape == (10, network.backbone.num_features)


def test_mixed_normalises_both_together_and_keeps_that(network, batch):
    _, _, both = means_before_the_first_norm(network, batch)
    trained(network, batch, "mixed")
    torch.testing.assert_close(first_norm(network).running_mean, MOMENTUM * both)
    assert first_norm(network).num_batches_tracked == 1


def test_separate_normalises_each_by_itself_and_keeps_an_average(network, batch):
    of_source, of_target, both = means_before_the_first_norm(network, batch)
    _, (source, target) = trained(network, batch, "separate")
    kept = (1 - MOMENTUM) * MOMENTUM * of_source + MOMENTUM * of_target
    torch.testing.assert_close(first_norm(network).running_mean, kept)
    assert not torch.allclose(kept, MOMENTUM * both, rtol=0.05)
    torch.testing.assert_close(source, network.features(batch["input"]))  # as if there were no target
    torch.testing.assert_close(target, network.features(batch["target_input"]))


def test_domain_specific_keeps_each_apart(network, batch):
    of_source, of_target, _ = means_before_the_first_norm(network, batch)
    domains, (source, target) = trained(network, batch, "domain_specific")
    norm = first_norm(network)
    torch.testing.assert_close(norm.running_mean, MOMENTUM * of_target)
    with domains.on_source(network):
        torch.testing.assert_close(norm.running_mean, MOMENTUM * of_source)
    torch.testing.assert_close(norm.running_mean, MOMENTUM * of_target)
    torch.testing.assert_close(source, network.features(batch["input"]))
    torch.testing.assert_close(target, network.features(batch["target_input"]))


def test_frozen_keeps_the_statistics_of_the_pretraining(network, batch):
    before = first_norm(network).running_mean.clone()
    _, (source, _) = trained(network, batch, "frozen")
    assert torch.equal(first_norm(network).running_mean, before)
    torch.testing.assert_close(source, network.eval().features(batch["input"]))


@pytest.mark.parametrize("bn", ["mixed", "separate", "frozen"])
def test_evaluation_knows_one_set_of_statistics(network, batch, bn):
    domains, _ = trained(network, batch, bn)
    network.eval()
    outside = network.features(batch["input"])
    with domains.on_source(network):
        assert torch.equal(network.features(batch["input"]), outside)


def test_evaluation_with_the_statistics_of_the_domain(network, batch):
    """Enough passes for the averages to arrive: then a domain's batch is normalised as it was in training."""
    domains = Domains(network, bn="domain_specific")
    network.train()
    with torch.no_grad():
        for _ in range(150):
            expected = domains.features(network, batch)
    network.eval()
    target = network.features(batch["target_input"])
    with domains.on_source(network):
        source = network.features(batch["input"])
        swapped = network.features(batch["target_input"])
    # not quite as in training, as a running variance is unbiased and a batch's own is not
    assert (source - expected[0]).norm() < 0.25 * expected[0].norm()
    assert (target - expected[1]).norm() < 0.25 * expected[1].norm()
    assert (swapped - expected[1]).norm() > 0.5 * expected[1].norm()


@pytest.mark.parametrize("bn", KINDS)
def test_gradients_of_both_domains_reach_every_weight(network, batch, bn):
    _, features = trained(network, batch, bn)
    for part in features:
        gradients = torch.autograd.grad(
            part.square().sum(), [*network.backbone.parameters()], retain_graph=True
        )
        assert all(gradient.abs().sum() > 0 for gradient in gradients)


def test_only_the_sources_statistics_are_kept_beside_the_network(network):
    assert not Domains(network, bn="separate").state_dict()
    kept = Domains(network, bn="domain_specific").state_dict()
    assert kept["source_statistics.running_mean_0"].shape == first_norm(network).running_mean.shape


@pytest.mark.parametrize("bn", KINDS)
def test_scores(network, batch, bn):
    """The head sees both; without batch norm in it, in whatever number of passes."""
    domains, (source, target) = trained(network, batch, bn)
    found = domains.scores(network, source, target)
    torch.testing.assert_close(found[0], network.classify(source))
    torch.testing.assert_close(found[1], network.classify(target))


def test_a_single_sample_is_refused():
    refuse_single(torch.zeros(2, 3), torch.zeros(2, 3), "a covariance")
    with pytest.raises(UserError, match=r"data.batch_size=1: a covariance needs at least 2"):
        refuse_single(torch.zeros(1, 3), torch.zeros(2, 3), "a covariance")
    with pytest.raises(UserError, match=r"data.target_batch_size=1"):
        refuse_single(torch.zeros(2, 3), torch.zeros(1, 3), "a covariance")


@pytest.fixture
def norms() -> nn.Sequential:
    return nn.Sequential(nn.BatchNorm1d(2), nn.LayerNorm(2), nn.BatchNorm1d(2, track_running_stats=False))


def test_norms_without_statistics_are_left_alone(norms):
    assert set(SourceStatistics(norms).state_dict()) == {
        "running_mean_0",
        "running_var_0",
        "num_batches_tracked_0",
    }


def test_they_start_as_the_networks_and_change_alone(norms):
    norms[0].running_mean.copy_(torch.tensor([3.0, 4.0]))
    source = SourceStatistics(norms)
    assert source.running_mean_0.tolist() == [3, 4]
    with source.in_use(norms):
        norms(torch.tensor([[13.0, 14.0], [13.0, 14.0]]))
        assert norms[0].running_mean.tolist() == pytest.approx([4, 5])  # 0.9 x 3 + 0.1 x 13
    assert norms[0].running_mean.tolist() == [3, 4]
    assert norms[0].num_batches_tracked == 0
    assert source.running_mean_0.tolist() == pytest.approx([4, 5])
    assert source.num_batches_tracked_0 == 1


def test_they_are_put_back_after_an_error(norms):
    source = SourceStatistics(norms)
    own = norms[0].running_mean
    with pytest.raises(RuntimeError, match="stop"), source.in_use(norms):
        raise RuntimeError("stop")
    assert norms[0].running_mean is own
