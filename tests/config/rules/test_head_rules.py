"""What does not go with a head that is fitted at once."""

from __future__ import annotations

import pytest

from transferlab.config.compose import compose_checked

CHOSEN = ("strategy=feature_extraction", "strategy/head=logistic")
OTHER = "or choose a head that learns by gradients: strategy/head=linear."


def test_with_a_frozen_backbone_it_may_run(problems):
    assert problems(*CHOSEN) == []
    assert problems("strategy/unfreezing=none", "strategy/head=logistic", "strategy.start_from=random") == []
    nothing = ("strategy/unfreezing=last", "strategy.unfreezing.num_stages=0")
    assert problems(*CHOSEN, *nothing) == []


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        (
            ["strategy/unfreezing=last"],
            "strategy.unfreezing: Last trains the backbone, and strategy/head=logistic needs a frozen one. "
            f"Choose strategy/unfreezing=none (as strategy=feature_extraction does), {OTHER}",
        ),
        (
            ["strategy/objective=focal"],
            "strategy.objective: strategy/head=logistic minimises cross-entropy, not Focal. "
            f"Choose strategy/objective=cross_entropy, {OTHER}",
        ),
        (
            ["strategy.objective.label_smoothing=0.1"],
            "strategy.objective.label_smoothing=0.1: strategy/head=logistic has none. "
            f"Set strategy.objective.label_smoothing=0, {OTHER}",
        ),
        (
            ["strategy.head_dropout=0.5"],
            "strategy.head_dropout=0.5: strategy/head=logistic has none. "
            f"Set strategy.head_dropout=0, {OTHER}",
        ),
        (
            ["strategy/penalty=[l1,l2_sp]"],
            "strategy.penalty: strategy/head=logistic has its own L2 (strategy.head.strengths) and takes no "
            f"l1 or l2_sp beside it. Set strategy/penalty=[], {OTHER}",
        ),
        (
            ["data/mixing=mixup"],
            "data.mixing: strategy/head=logistic is fitted on the features of whole images. "
            f"Choose data/mixing=none, {OTHER}",
        ),
        (
            ["data.sampling=balanced"],
            "data.sampling=balanced: strategy/head=logistic sees every sample once. Set "
            f"data.sampling=uniform and strategy.objective.class_weights=balanced, {OTHER}",
        ),
    ],
)
def test_refused(overrides, text, problems):
    assert problems(*CHOSEN, *overrides) == [text]
    assert problems("strategy=feature_extraction", "strategy/head=linear", *overrides) == []


def test_everything_at_once(problems):
    found = problems(
        "strategy=fine_tune", "strategy/head=logistic", "strategy/penalty=[l1]", "data/mixing=cutmix"
    )
    assert [text.partition(":")[0] for text in found] == [
        "strategy.unfreezing",
        "strategy.penalty",
        "data.mixing",
    ]


def test_settings_of_training_in_epochs_have_no_effect():
    given = [
        "strategy.learning_rates.base=0.1",
        "strategy/learning_rates=scratch",
        "trainer.max_epochs=20",
        "fit.early_stopping_patience=3",
        "data.batch_size=8",
        "seed=1",
    ]
    assert compose_checked([*CHOSEN, *given]).warnings == [
        "strategy.learning_rates.base has no effect: strategy/head=logistic is fitted by L-BFGS, "
        "without learning rates.",
        "strategy/learning_rates has no effect: strategy/head=logistic is fitted by L-BFGS, "
        "without learning rates.",
        "trainer.max_epochs has no effect: strategy/head=logistic is fitted at once, not in epochs.",
        "fit.early_stopping_patience has no effect: strategy/head=logistic is fitted at once, not in epochs.",
        "data.batch_size has no effect: strategy/head=logistic is fitted at once, not in epochs.",
    ]
    by_gradients = ["strategy=feature_extraction", "strategy/head=linear", "strategy.selection=val_loss"]
    assert compose_checked([*by_gradients, *given]).warnings == []
    assert compose_checked(CHOSEN).warnings == []


FRESH = "Fix: strategy.head_start=fresh (as strategy=fine_tune does)"


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        (
            ["strategy/head=mlp"],
            f"strategy.head_start=logistic: fits a linear head, and MLP is none. {FRESH}, or "
            "strategy/head=linear.",
        ),
        (
            ["strategy.bottleneck_units=8"],
            "strategy.head_start=logistic: fits the head on the backbone's features, and "
            f"strategy.bottleneck_units=8 lies between them. {FRESH}.",
        ),
    ],
    ids=["mlp", "bottleneck"],
)
def test_a_head_that_cannot_start_as_a_probe(overrides, text, problems):
    assert problems("strategy=lp_ft", *overrides) == [text]
    assert problems("strategy=lp_ft", "strategy.head_start=fresh", *overrides) == []


def test_a_logistic_head_is_fitted_anyway(problems):
    assert problems("strategy=lp_ft", "strategy/head=logistic", "strategy/unfreezing=none") == []
