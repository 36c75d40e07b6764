"""Jobs that train together: heads on one frozen backbone, as one batched problem in one process.

Pure functions on resolved configs, for launchers of any kind (local processes, an array of a cluster).
Nothing heavy is imported.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from transferlab.config.classes import changes_nothing, fact, opens_nothing, sees_plain_images

# What the jobs of a group may differ in, and `name`, which follows from the options chosen
_MAY_DIFFER = ("name", "seed", "strategy.learning_rates.base", "strategy.learning_rates.weight_decay")
# Flags of Lightning's Trainer that change what a step does, at the values that the loop for heads follows
_PLAIN: dict[str, tuple[Any, ...]] = {
    "devices": (1, "1"),
    "num_nodes": (1,),
    "precision": ("32-true", "32", 32),
    "max_steps": (-1,),
    "limit_train_batches": (None, 1.0),
    "check_val_every_n_epoch": (1,),
    "accumulate_grad_batches": (1,),
    "gradient_clip_algorithm": (None, "norm"),
    "further": ({}, None),
}


def groups_of(configs: Sequence[DictConfig | Mapping[str, Any]]) -> list[list[int]]:
    """The positions of the jobs that train together, each position once, in the order of the first of each.

    Two jobs train together if both train heads alone, on features that are computed once, and their configs
    are equal but for the learning rate, the weight decay, the seed and what follows from these. A job that
    has no partner is a group of its own.

    Args:
        configs: checked and resolved, one a job.
    """
    found: dict[str, list[int]] = {}
    for position, config in enumerate(configs):
        plain: Any = OmegaConf.to_container(config) if isinstance(config, DictConfig) else config
        key = _shared(plain) if shares_a_fit(plain) else f"alone {position}"
        found.setdefault(key, []).append(position)
    return list(found.values())


def shares_a_fit(config: Mapping[str, Any]) -> bool:
    """True if a job trains a head, by gradients, on features that no step of the training changes.

    So the backbone is frozen throughout, training images come again unchanged, their features may be stored
    (`features.cache`), and one device does it.
    """
    strategy, data = config["strategy"], config["data"]
    features, objective = config.get("features") or {}, strategy.get("objective")
    return (
        config.get("kind") == "train"
        and features.get("cache", "off") != "off"
        and opens_nothing(strategy.get("unfreezing"))
        and fact(strategy.get("head"), "solver", "gradient") == "gradient"
        and not any(_sees_more(part) for part in (objective, *(strategy.get("penalty") or {}).values()))
        and data.get("target") is None
        and strategy.get("bottleneck_units") is None
        and strategy.get("head_start", "fresh") == "fresh"
        and _sees_fixed_images(config)
        and not any((data.get("mixing") or {}).get(name) for name in ("mixup_alpha", "cutmix_alpha"))
        and not config["fit"].get("compile")
        and _needs_no_lightning(config)
    )


def _needs_no_lightning(config: Mapping[str, Any]) -> bool:
    """True if a head on features that are computed already may be fitted by the loop for heads alone."""
    plain = all(config["trainer"].get(flag) in values for flag, values in _PLAIN.items())
    averages = any(config["fit"].get(name) is not None for name in ("ema_decay", "swa_start"))
    return plain and not averages and not config["strategy"]["learning_rates"].get("sam_rho")


def _sees_fixed_images(config: Mapping[str, Any]) -> bool:
    """True if the training images come again unchanged."""
    views = (config.get("features") or {}).get("views")
    is_fixed = sees_plain_images(config) if views == "auto" else views is not None
    return is_fixed or changes_nothing(config["data"].get("augmentation"))


def _sees_more(part: Any) -> bool:
    """True if an objective or a penalty needs more than the features and labels of one domain."""
    return fact(part, "needs_images") or fact(part, "uses_target")


def _shared(config: Mapping[str, Any]) -> str:
    """Settings that all configs of a group have in common, as a text."""
    shared = json.loads(json.dumps(config, default=str))
    without = list(_MAY_DIFFER)
    if config["backbone"].get("weights") == "random" or config["strategy"].get("start_from") == "random":
        without.remove("seed")  # the seed makes the backbone: the features would differ
    if config["data"].get("shots_per_class") is None and config["data"].get("fraction") is None:
        without.append("data.shots_seed")  # chooses nothing
    for path in without:
        *parents, last = path.split(".")
        node = shared
        for parent in parents:
            node = node.get(parent) or {}
        node.pop(last, None)
    return json.dumps(shared, sort_keys=True)
