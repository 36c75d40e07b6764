"""What is said of a critic that was perfect or constant for long."""

from __future__ import annotations

import pytest

from transferlab.strategy.objective.critic_health import critic_warnings

HEALTHY = (0.55, 0.5, 0.3)
PERFECT = (1.0, 0.995, 4.0)
ONE_SIDED = (1.0, 0.0, 0.3)
DEAD = (0.6, 0.4, 1e-5)


def history(
    *epochs: tuple[float, float, float], weights: list[float] | None = None
) -> list[dict[str, float]]:
    names = ("train/critic_accuracy_source", "train/critic_accuracy_target", "train/critic_spread")
    weights = weights or [1.0] * len(epochs)
    return [
        {**dict(zip(names, epoch, strict=True)), "train/lambda": weight}
        for epoch, weight in zip(epochs, weights, strict=True)
    ]


@pytest.mark.parametrize(
    ("epochs", "word"), [(PERFECT, "perfectly"), (ONE_SIDED, "the same for every image"), (DEAD, "the same")]
)
def test_bad_for_long(epochs, word):
    found = critic_warnings(history(HEALTHY, *[epochs] * 4, HEALTHY))
    assert len(found) == 1
    assert word in found[0]
    assert "for 4 epochs" in found[0]


@pytest.mark.parametrize("epochs", [PERFECT, ONE_SIDED, DEAD])
def test_bad_for_a_moment(epochs):
    assert critic_warnings(history(*[HEALTHY] * 4, epochs, epochs, *[HEALTHY] * 4)) == []
    assert critic_warnings(history(*[HEALTHY, epochs] * 10)) == []
    assert critic_warnings(history(*[HEALTHY] * 20, epochs, epochs, epochs)) == []  # not a third


def test_a_healthy_critic_and_none_at_all():
    assert critic_warnings(history(*[HEALTHY] * 10)) == []
    assert critic_warnings([{"train/loss": 1.0}] * 10) == []
    assert critic_warnings([]) == []


def test_winning_before_lambda_has_grown_is_as_it_should_be():
    weights = [0.0, 0.1, 0.2, 0.3, 0.8, 0.9, 1.0]
    epochs = [PERFECT] * 4 + [HEALTHY] * 3
    assert critic_warnings(history(*epochs, weights=weights)) == []
    assert critic_warnings(history(*epochs))  # with lambda at its full weight all along it is not
