"""transferlab: the best transfer recipe for a folder of images and a pretrained network, with evidence.

In Python, `transferlab.train(["strategy=dann", ...])` does what the command `transferlab train` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Run", "train"]

if TYPE_CHECKING:
    from transferlab.run.run_folder import Run
    from transferlab.training.runs import train


def __getattr__(name: str) -> Any:
    """Import on first use, so that the command line starts without torch."""
    if name == "Run":
        from transferlab.run.run_folder import Run

        return Run
    if name == "train":
        from transferlab.training.runs import train

        return train
    raise AttributeError(f"module 'transferlab' has no attribute {name!r}")
