"""Which settings only Lightning's loop follows. Imports nothing heavy: launchers ask, too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# The flags of its Trainer that change what a step does, and what they are where another loop may do it
_PLAIN = {
    "devices": (1, "1"),
    "num_nodes": (1,),
    "precision": ("32-true", "32", 32),
    "fast_dev_run": (False,),
    "max_steps": (-1,),
    "min_steps": (None,),
    "max_time": (None,),
    "limit_train_batches": (None, 1.0),
    "limit_val_batches": (None, 1.0),
    "limit_test_batches": (None, 1.0),
    "overfit_batches": (0.0,),
    "val_check_interval": (None, 1.0),
    "check_val_every_n_epoch": (1,),
    "accumulate_grad_batches": (1,),
    "gradient_clip_val": (None,),
    "profiler": (None,),
    "detect_anomaly": (False,),
    "barebones": (False,),
    "plugins": (None,),
}


def needs_no_lightning(config: Mapping[str, Any]) -> bool:
    """Whether a head on features that are computed already may be fitted by the loop for heads alone."""
    plain = all(config["trainer"].get(flag) in values for flag, values in _PLAIN.items())
    return plain and config["fit"].get("ema_decay") is None


def on_one_device(trainer: Mapping[str, Any]) -> bool:
    """Whether a trainer's config asks for exactly one device, whichever it is."""
    return str(trainer.get("devices")) == "1" and trainer.get("num_nodes", 1) == 1
