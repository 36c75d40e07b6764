"""The kinds of run that a config can ask for with `kind`; each is imported when it is used."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

# A function (config, recorder, *, resume) that fills the recorder's result and its run's folder
KINDS = {"train": "transferlab.training.train:train"}


def kind_of(config: Any) -> Callable[..., None]:
    """The function that runs a checked config."""
    module, _, function = KINDS[config.kind].partition(":")
    return getattr(import_module(module), function)
