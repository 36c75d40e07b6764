"""The top level of a config: one key per concept, nothing else is allowed; and the kinds of run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

# A function (config, recorder, *, resume) that fills the recorder's result and its run's folder
KINDS = {"train": "transferlab.training.train:train"}
MOST_EPOCHS = 100  # of trainer.max_epochs=auto


@dataclass(frozen=True)
class Experiment:
    """The keys of `conf/train.yaml`; the values of the groups are checked against their classes."""

    kind: str
    name: str
    seed: int
    backbone: dict
    data: dict
    strategy: dict
    fit: dict
    features: dict
    trainer: dict
    logger: dict
    allow: list[str]


def kind_of(config: Any) -> Callable[..., None]:
    """The function that runs a checked config."""
    module, _, function = KINDS[config.kind].partition(":")
    return getattr(import_module(module), function)
