"""The range test against a loss whose answer is known, and on a network with groups of parameters."""

from __future__ import annotations

import numpy as np
import pytest

from tests.training.test_resume import TINY
from transferlab.analysis import learning_rate
from transferlab.analysis.learning_rate import range_test, smoothed, steepest, write_range_test
from transferlab.config.compose import compose_checked
from transferlab.run.errors import UserError
from transferlab.training.lightning.module import TransferModule

SETTINGS = [*TINY, "backbone.name=test_resnet", "strategy=fine_tune", "trainer=cpu"]


def test_smoothing_has_no_bias_of_its_beginning():
    losses = [3.0, 1.0, 2.0]
    weights = [[1], [0.98, 1], [0.98**2, 0.98, 1]]
    expected = [np.average(losses[: len(weight)], weights=weight) for weight in weights]
    np.testing.assert_allclose(smoothed(losses), expected, rtol=1e-12)


def test_the_steepest_descent_of_a_sigmoid_is_its_middle():
    rates = np.geomspace(1e-6, 1, 121)
    losses = 1 / (1 + np.exp(3 * (np.log10(rates) + 2.5)))
    assert steepest(rates, losses) == pytest.approx(10**-2.5, rel=1e-6)


def test_a_loss_that_does_not_fall_is_refused():
    rates = np.geomspace(1e-6, 1, 100)
    with pytest.raises(UserError, match="does not fall at any rate from 1e-06 to 1e\\+00"):
        steepest(rates, np.linspace(1, 2, 100))
    with pytest.raises(UserError, match=r"diverged after 12 steps\. Begin lower: --lowest=1e-08"):
        steepest(rates[:12], np.ones(12))


def test_all_groups_keep_their_ratios(monkeypatch, tmp_path):
    seen = []
    set_rates = TransferModule._set_learning_rates

    def record(self):
        set_rates(self)
        groups = self.optimizers(use_pl_optimizer=False).param_groups
        seen.append({group["name"]: group["lr"] for group in groups})

    monkeypatch.setattr(TransferModule, "_set_learning_rates", record)
    factors = ["strategy.learning_rates.backbone_factor=0.2", "strategy.learning_rates.stage_decay=0.5"]
    schedule = ["strategy.learning_rates.schedule=cosine", "strategy.learning_rates.warmup_epochs=1"]
    config = compose_checked([*SETTINGS, *factors, *schedule]).config
    test = range_test(config, lowest=1e-5, highest=0.1, steps=40)
    assert [rates["head"] for rates in seen] == pytest.approx(np.geomspace(1e-5, 0.1, 40)[: len(seen)])
    num_stages = test.trainable_stages
    assert num_stages > 2
    for rates in seen:
        stages = [rate for name, rate in rates.items() if "/" not in name and name != "head"]
        assert len(stages) == num_stages
        expected = [0.2 * 0.5**depth for depth in range(num_stages)]
        assert [rate / rates["head"] for rate in reversed(stages)] == pytest.approx(expected)
    assert write_range_test(test, tmp_path / "out").stat().st_size > 10_000
    assert 1e-5 < test.suggestion < 0.1
    assert not (tmp_path / "runs").exists()


def test_it_ends_when_the_loss_has_diverged():
    config = compose_checked([*SETTINGS, "strategy.learning_rates.optimizer=sgd"]).config
    test = range_test(config, lowest=1e-3, highest=1e6, steps=60)
    assert len(test.rates_N) == len(test.losses_N) < 60
    assert np.isfinite(test.losses_N).all()


def test_accumulated_batches_make_one_step(monkeypatch):
    calls = []
    monkeypatch.setattr(learning_rate, "fit_shortly", lambda *_, **named: calls.append(named["steps"]))
    monkeypatch.setattr(learning_rate, "build", lambda config: None)
    config = compose_checked([*SETTINGS, "trainer.accumulate_grad_batches=3"]).config
    range_test(config, lowest=1e-3, highest=1, steps=20)
    assert calls == [60]
