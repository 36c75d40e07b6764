"""Backbones: timm's networks, their weights, their stages.

timm imports Weights & Biases if it is installed, for a summary that is not used here; that takes longer than
timm itself. So timm is imported here, first, as if W&B were not there; a logger imports it when asked for.
"""

import sys

if "timm" not in sys.modules and "wandb" not in sys.modules:
    sys.modules["wandb"] = None  # type: ignore[assignment]
    try:
        import timm  # noqa: F401
    finally:
        del sys.modules["wandb"]
