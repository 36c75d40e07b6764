"""What needs a second domain, and what has no effect or an unwanted one with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from transferlab.config.facts import class_name, fact, opens_nothing

# Ways to select an epoch that look at the target; a test holds this equal to what the criteria need
BY_TARGET = ("entropy", "information_maximisation", "snd", "dev", "oracle")


def domain_contradictions(config: dict[str, Any]) -> Iterator[str]:
    """Adaptation without a target, and settings that would crash it."""
    yield from _target_is_there(config)
    yield from _selection_has_a_target(config)
    yield from _bn_has_two_domains(config)
    yield from _bottleneck_has_a_batch(config)


def idle_with_domains(config: dict[str, Any]) -> Iterator[str]:
    """Adaptation that cannot act, and selection that nobody could make in practice."""
    yield from _adaptation_can_act(config)
    yield from _oracle_is_meant(config)


def _target_is_there(config: dict[str, Any]) -> Iterator[str]:
    strategy = config["strategy"]
    parts = {"strategy.objective": strategy.get("objective")}
    parts |= {f"strategy.penalty.{name}": part for name, part in (strategy.get("penalty") or {}).items()}
    for path, part in parts.items():
        if fact(part, "uses_target") and config["data"].get("target") is None:
            yield (
                f"{path}: {class_name(part)} needs an unlabelled target domain, and this data has none. "
                "Choose data with two domains: data=digits_domains, or data=domains data.source.root=DIR "
                "data.target.root=DIR."
            )


def _selection_has_a_target(config: dict[str, Any]) -> Iterator[str]:
    selection = config["strategy"].get("selection")
    if selection in BY_TARGET and config["data"].get("target") is None:
        yield (
            f"strategy.selection={selection} looks at a target domain, and this data has none. "
            "Set strategy.selection=val_loss or last, or choose data with two domains: data=digits_domains."
        )


def _bn_has_two_domains(config: dict[str, Any]) -> Iterator[str]:
    objective, bn = config["strategy"].get("objective"), config["strategy"].get("bn")
    if bn in ("separate", "domain_specific") and not fact(objective, "uses_target"):
        yield (
            f"strategy.bn={bn}: {class_name(objective)} sees one domain alone. Leave it out, or choose an "
            "objective that adapts: strategy=dann."
        )


def _bottleneck_has_a_batch(config: dict[str, Any]) -> Iterator[str]:
    units, size = config["strategy"].get("bottleneck_units"), config["data"].get("batch_size")
    if units is not None and size == 1:
        yield (
            f"data.batch_size=1: strategy.bottleneck_units={units} has a batch norm, which needs at least 2 "
            "images in a batch."
        )


def _adaptation_can_act(config: dict[str, Any]) -> Iterator[str]:
    strategy = config["strategy"]
    objective, is_frozen = strategy.get("objective"), opens_nothing(strategy.get("unfreezing"))
    if fact(objective, "adapts_features_only") and is_frozen and strategy.get("bottleneck_units") is None:
        yield (
            f"strategy.objective: {class_name(objective)} adapts the backbone's features, and no stage of it "
            "is trained, so the target has no effect. strategy/unfreezing=last trains some; strategy=mcc and "
            "strategy=self_training adapt the head as well."
        )


def _oracle_is_meant(config: dict[str, Any]) -> Iterator[str]:
    if config["strategy"].get("selection") == "oracle":
        yield (
            "strategy.selection=oracle keeps the epoch that is best by labels of the target's validation "
            "split. Whoever adapts to a target without labels cannot do that: report it as an upper bound."
        )
