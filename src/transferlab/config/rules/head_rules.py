"""Settings that exclude a head that is fitted at once by L-BFGS, instead of trained in epochs."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from transferlab.config.classes import class_name, fact, opens_nothing

_OF_EPOCHS = frozenset(
    {
        "trainer.max_epochs",
        "trainer.min_epochs",
        "fit.early_stopping_patience",
        "fit.min_delta",
        "fit.ema_decay",
        "fit.swa_start",
        "data.batch_size",
        "data.steps_per_epoch",
        "strategy.selection",
    }
)
_OTHER_HEAD = "or choose a head that learns by gradients: strategy/head=linear."


def logistic_contradictions(config: dict[str, Any]) -> Iterator[str]:
    """Settings that logistic regression on frozen features cannot follow."""
    strategy = config["strategy"]
    if not is_logistic(config):
        return
    unfreezing, objective = strategy.get("unfreezing"), strategy.get("objective") or {}
    if not opens_nothing(unfreezing):
        yield (
            f"strategy.unfreezing: {class_name(unfreezing)} trains the backbone, and strategy/head=logistic "
            "needs a frozen one. Choose strategy/unfreezing=none (as strategy=feature_extraction does), "
            f"{_OTHER_HEAD}"
        )
    if "lbfgs" not in fact(objective, "solvers", ()):
        yield (
            f"strategy.objective: strategy/head=logistic minimises cross-entropy, not "
            f"{class_name(objective)}. "
            f"Choose strategy/objective=cross_entropy, {_OTHER_HEAD}"
        )
    if strategy.get("penalty"):
        yield (
            f"strategy.penalty: strategy/head=logistic has its own L2 (strategy.head.strengths) and takes no "
            f"{' or '.join(strategy['penalty'])} beside it. Set strategy/penalty=[], {_OTHER_HEAD}"
        )
    mixing = config["data"].get("mixing") or {}
    if any(mixing.get(alpha) for alpha in ("mixup_alpha", "cutmix_alpha")):
        yield (
            "data.mixing: strategy/head=logistic is fitted on the features of whole images. "
            f"Choose data/mixing=none, {_OTHER_HEAD}"
        )
    if config["data"].get("sampling") == "balanced":
        yield (
            "data.sampling=balanced: strategy/head=logistic sees every sample once. Set "
            f"data.sampling=uniform and strategy.objective.class_weights=balanced, {_OTHER_HEAD}"
        )
    for path, value, none in (
        ("strategy.objective.label_smoothing", objective.get("label_smoothing"), "0"),
        ("strategy.head_dropout", strategy.get("head_dropout"), "0"),
        ("strategy.bottleneck_units", strategy.get("bottleneck_units"), "null"),
    ):
        if value:
            yield f"{path}={value}: strategy/head=logistic has none. Set {path}={none}, {_OTHER_HEAD}"


def probe_contradictions(config: dict[str, Any]) -> Iterator[str]:
    """Settings with which a head cannot start as a linear probe."""
    strategy = config["strategy"]
    if strategy.get("head_start") != "logistic" or strategy.get("start_from") == "model":
        return
    mend = "Fix: strategy.head_start=fresh (as strategy=fine_tune does)"
    if is_logistic(config):
        return  # it is fitted at once
    if not fact(strategy.get("head"), "is_linear"):
        yield (
            f"strategy.head_start=logistic: fits a linear head, and {class_name(strategy.get('head'))} is "
            f"none. {mend}, or strategy/head=linear."
        )
    if strategy.get("bottleneck_units"):
        yield (
            f"strategy.head_start=logistic: fits the head on the backbone's features, and "
            f"strategy.bottleneck_units={strategy['bottleneck_units']} lies between them. {mend}."
        )


def idle_with_logistic(config: dict[str, Any], given: Collection[str]) -> Iterator[str]:
    """Settings of the command line that only training in epochs has."""
    if not is_logistic(config):
        return
    if config["strategy"].get("start_from") == "model":
        yield (
            "strategy.start_from=model: of the model's head nothing is used, for strategy/head=logistic is "
            "fitted to convergence from anywhere."
        )
    for key in given:
        if key == "strategy/learning_rates" or key.startswith("strategy.learning_rates."):
            yield f"{key} has no effect: strategy/head=logistic is fitted by L-BFGS, without learning rates."
        elif key in _OF_EPOCHS:
            yield f"{key} has no effect: strategy/head=logistic is fitted at once, not in epochs."


def is_logistic(config: dict[str, Any]) -> bool:
    """True if the head is fitted at once."""
    return fact(config["strategy"].get("head"), "solver", "gradient") == "lbfgs"
