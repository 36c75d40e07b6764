"""transferlab: the best transfer recipe for a folder of images and a pretrained network, with evidence.

In Python, `transferlab.train(["strategy=dann", ...])` does what the command `transferlab train` does.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Model", "Run", "average", "compare", "evaluate", "gap", "inspect", "resume", "train"]

if TYPE_CHECKING:
    from transferlab.api import average, compare, evaluate, gap, inspect, resume, train
    from transferlab.model.model import Model
    from transferlab.run.run_folder import Run

_ELSEWHERE = {"Model": "model.model", "Run": "run.run_folder"}


def __getattr__(name: str) -> Any:
    """Import on first use, so that the command line starts without torch."""
    if name not in __all__:
        raise AttributeError(f"module 'transferlab' has no attribute {name!r}")
    return getattr(import_module(f"transferlab.{_ELSEWHERE.get(name, 'api')}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
