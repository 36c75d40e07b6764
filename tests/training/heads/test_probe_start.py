"""LP-FT: before anything trains, the head is the logistic head of the frozen features."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.training.test_resume import TINY
from transferlab.config.compose import compose_checked
from transferlab.run.errors import UserError
from transferlab.strategy.head.logistic import Logistic
from transferlab.strategy.head.mlp import MLP
from transferlab.training.build import Experiment, build
from transferlab.training.fit import fit
from transferlab.training.heads import head_fit
from transferlab.training.heads.probe_start import start_by_probe
from transferlab.training.recorder import Recorder

NETWORK = (*TINY, "backbone.name=test_resnet", "data=digits")


def experiment(*overrides: str) -> Experiment:
    return build(compose_checked([*NETWORK, *overrides]).config)


def head(built: Experiment) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in built.network.head.state_dict().items()}


@pytest.fixture(scope="module")
def logistic(tmp_path_factory) -> dict[str, torch.Tensor]:
    """The head of strategy=feature_extraction on the same images."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRANSFERLAB_CACHE", str(tmp_path_factory.mktemp("cache")))
        built = experiment("strategy=feature_extraction")
        fit(built)
    return head(built)


@pytest.mark.parametrize(
    "further",
    [
        (),
        ("features.cache=off",),
        ("data/augmentation=standard", "features.views=2", "strategy.head_dropout=0.5"),
        ("strategy/unfreezing=last", "strategy/penalty=[l2_sp]"),
    ],
    ids=lambda further: further[0] if further else "plain",
)
def test_the_head_is_that_of_the_probe(further, logistic):
    built = experiment("strategy=lp_ft", *further)
    network = {name: value.clone() for name, value in built.network.backbone.state_dict().items()}
    start_by_probe(built, Recorder())
    torch.testing.assert_close(head(built), logistic, rtol=0, atol=0 if not further else 1e-6)
    assert all(
        torch.equal(value, network[name]) for name, value in built.network.backbone.state_dict().items()
    )


def test_training_begins_with_what_the_probe_knows(logistic):
    """At a rate of nearly nothing, the first epoch is validated as the probe was."""
    built, recorder = experiment("strategy=lp_ft", "strategy.learning_rates.base=1.0e-12"), Recorder()
    fitted = fit(built, recorder)
    probe = experiment("strategy=feature_extraction")
    expected = fit(probe).history[0]
    for name in ("val/loss", "val/accuracy"):
        assert fitted.history[0][name] == pytest.approx(expected[name], abs=1e-5)
    said = f"the head starts as a linear probe: validation accuracy {expected['val/accuracy']:.3f}"
    assert said in recorder.result["warnings"]
    torch.testing.assert_close(head(built), logistic, rtol=0, atol=1e-6)


def test_without_validation_samples_one_strength_is_taken(monkeypatch):
    fitted = []
    original = Logistic.fit

    def watched(self, train, val, **settings):
        fitted.append((self.strengths, val))
        return original(self, train, val, **settings)

    def without_val(built, splits):
        return {name: rows for name, rows in features(built, splits).items() if name != "val"}

    features = head_fit.features_of
    monkeypatch.setattr(Logistic, "fit", watched)
    monkeypatch.setattr("transferlab.training.heads.probe_start.features_of", without_val)
    recorder = Recorder()
    start_by_probe(experiment("strategy=lp_ft"), recorder)
    assert fitted == [([0.01], None)]
    assert recorder.result["warnings"] == []


def test_a_head_of_ones_own_that_makes_no_linear_layer():
    """Also of a class that inherits from `Linear`."""
    built = experiment("strategy=fine_tune", "strategy/head=mlp")
    assert isinstance(built.strategy.head, MLP)
    text = (
        "strategy.head_start=logistic: fits a linear layer, and MLP makes a .* Fix: strategy.head_start=fresh"
    )
    with pytest.raises(UserError, match=text):
        start_by_probe(replace(built, strategy=replace(built.strategy, head_start="logistic")), Recorder())


def test_a_penalty_starts_from_the_probe():
    """Parts remember the probe as the start, not the fresh head before it."""
    remembered = []
    built = experiment("strategy=lp_ft", "strategy/penalty=[l2_sp]")
    penalty = built.strategy.parts["penalty.l2_sp"]
    penalty.remember = lambda network: remembered.append(network.head.weight.detach().clone())
    start_by_probe(built, Recorder())
    assert [torch.equal(weight, built.network.head.weight) for weight in remembered] == [True]
