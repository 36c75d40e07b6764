"""Averages of weights and steps of SAM that contradict other settings, or have no effect."""

from __future__ import annotations

import pytest

from transferlab.config.compose import compose_checked

SAM = "strategy.learning_rates.sam_rho=0.05"


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        (
            ["fit.swa_start=0.5", "fit.ema_decay=0.9"],
            "both average the weights. Fix: set one",
        ),
        (["fit.swa_start=0.5", "trainer.max_time=00:01:00:00"], "whose length is not known here. Fix: "),
        (["fit.swa_start=0.5", "trainer.max_epochs=-1"], "whose length is not known here. Fix: "),
        ([SAM, "trainer.accumulate_grad_batches=2"], "its second gradient at once, of the same batch. Fix: "),
        ([SAM, "trainer.precision=16-mixed"], "trainer.precision=16-mixed would round away"),
        ([SAM, "trainer.precision=bf16-true"], "trainer.precision=bf16-true would round away"),
        ([SAM, "strategy=dann", "data=digits_domains", SAM], "the terms of DANN may be opposed"),
    ],
)
def test_contradictions(problems, overrides, text):
    (found,) = problems(*overrides)
    assert text in found


@pytest.mark.parametrize(
    "overrides",
    [
        [SAM, "trainer.precision=bf16-mixed", "fit.ema_decay=0.9", "trainer.gradient_clip_val=1"],
        ["fit.swa_start=0.5", "trainer.max_epochs=-1", "trainer.max_steps=100"],
        ["trainer.accumulate_grad_batches=2", "trainer.precision=16-mixed"],
    ],
)
def test_what_goes_together(problems, overrides):
    assert problems(*overrides) == []


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        (["fit.swa_start=0.9", "trainer.max_epochs=5"], "it takes the last alone"),
        (["fit.swa_start=0.6", "trainer.max_epochs=2"], "it takes the last alone"),
        (["fit.swa_start=0.5"], "strategy.learning_rates.schedule=constant"),
    ],
)
def test_idle(overrides, text):
    (found,) = compose_checked(overrides).warnings
    assert text in found


def test_an_average_of_several_epochs_at_a_constant_rate_is_as_it_should_be():
    rates = "strategy.learning_rates.schedule=constant"
    assert compose_checked(["fit.swa_start=0.75", "trainer.max_epochs=8", rates]).warnings == []
