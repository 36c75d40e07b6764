"""Settings of the feature store and of what is computed for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from transferlab.config.bounds import PositiveFloat, PositiveInt


@dataclass(frozen=True, kw_only=True)
class FeatureSettings:
    """The `features` section of a config: the outputs of frozen layers, computed once for all runs.

    `conf/train.yaml` describes the arguments.
    """

    cache: Literal["auto", "off"] = "auto"
    views: PositiveInt | Literal["auto"] | None = None
    precision: Literal["float32", "bfloat16", "auto"] = "float32"
    storage: Literal["float32", "float16"] = "float32"
    cache_gib: PositiveFloat = 20.0
