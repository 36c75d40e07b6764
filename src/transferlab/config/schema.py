"""The top level of a config: one key per concept, nothing else is allowed."""

from __future__ import annotations

from dataclasses import dataclass


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
