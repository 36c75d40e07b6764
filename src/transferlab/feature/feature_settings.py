"""What is kept of frozen layers, and how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from transferlab.config.bounds import PositiveFloat, PositiveInt


@dataclass(frozen=True, kw_only=True)
class FeatureSettings:
    """The `features` section of a config: the outputs of frozen layers, computed once for all runs.

    Attributes:
        cache: `auto` keeps them where layers are frozen and training images come again unchanged; `off` runs
            every layer each time.
        views: augmented versions of each training image, the same in every run and shown in turn; None: ever
            new ones, so that nothing can be kept where images are augmented.
        precision: of the frozen layers' arithmetic; `auto`: bfloat16 where the processor has it
            and one batch of images shows that it changes next to nothing (cosine of at least 0.9999).
        storage: how outputs are kept; `float16` halves their size and rounds them.
        cache_gib: GiB that all kept outputs together may take.
    """

    cache: Literal["auto", "off"] = "auto"
    views: PositiveInt | None = None
    precision: Literal["float32", "bfloat16", "auto"] = "float32"
    storage: Literal["float32", "float16"] = "float32"
    cache_gib: PositiveFloat = 20.0
