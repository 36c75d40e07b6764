"""Settings that need a second domain, and those without effect or with an unwanted one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from transferlab.config.classes import class_name, fact, opens_nothing

# Ways to select an epoch that look at the target; a test holds this equal to what the criteria need
BY_TARGET = ("entropy", "information_maximisation", "snd", "dev", "oracle")


def domain_contradictions(config: dict[str, Any]) -> Iterator[str]:
    """Adaptation without a target, and settings that would crash it."""
    strategy, data = config["strategy"], config["data"]
    objective, selection, bn = (strategy.get(key) for key in ("objective", "selection", "bn"))
    parts = {"strategy.objective": objective}
    parts |= {f"strategy.penalty.{name}": part for name, part in (strategy.get("penalty") or {}).items()}
    for path, part in parts.items():
        if fact(part, "uses_target") and data.get("target") is None:
            yield (
                f"{path}: {class_name(part)} needs an unlabelled target domain, and this data has none. "
                "Choose data with two domains: data=digits_domains, or data=domains data.source.root=DIR "
                "data.target.root=DIR."
            )
    if selection in BY_TARGET and data.get("target") is None:
        yield (
            f"strategy.selection={selection} looks at a target domain, and this data has none. "
            "Set strategy.selection=val_loss or last, or choose data with two domains: data=digits_domains."
        )
    if bn in ("separate", "domain_specific") and not fact(objective, "uses_target"):
        yield (
            f"strategy.bn={bn}: {class_name(objective)} sees one domain alone. Leave it out, or choose an "
            "objective that adapts: strategy=dann."
        )
    units = strategy.get("bottleneck_units")
    if units is not None and data.get("batch_size") == 1:
        yield (
            f"data.batch_size=1: strategy.bottleneck_units={units} has a batch norm, which needs at least 2 "
            "images in a batch."
        )


def idle_with_domains(config: dict[str, Any]) -> Iterator[str]:
    """Adaptation that cannot act, and selection that cannot be made in practice."""
    strategy = config["strategy"]
    objective, is_frozen = strategy.get("objective"), opens_nothing(strategy.get("unfreezing"))
    if fact(objective, "adapts_features_only") and is_frozen and strategy.get("bottleneck_units") is None:
        yield (
            f"strategy.objective: {class_name(objective)} adapts the backbone's features, and no stage of it "
            "is trained, so the target has no effect. strategy/unfreezing=last trains some; strategy=mcc and "
            "strategy=self_training adapt the head as well."
        )
    if strategy.get("selection") == "oracle":
        yield (
            "strategy.selection=oracle selects the epoch that is best by labels of the target's validation "
            "split. They do not exist when a target has no labels: report it as an upper bound."
        )
