"""Configs that earlier versions have recorded, in today's words: their runs can go on and be compared."""

from __future__ import annotations

from typing import Any

# `trainer` named Lightning's class itself, with all of its flags
_OLD_TRAINER = "pytorch_lightning.Trainer"
_TRAINER = "transferlab.training.lightning.trainer_flags.lightning_trainer"
# the flags that have left, and their defaults
_LEFT: dict[str, Any] = {
    "fast_dev_run": False,
    "min_steps": None,
    "limit_val_batches": None,
    "limit_test_batches": None,
    "limit_predict_batches": None,
    "overfit_batches": 0.0,
    "val_check_interval": None,
    "log_every_n_steps": 10,
    "enable_model_summary": False,
    "benchmark": None,
    "inference_mode": True,
    "profiler": None,
    "detect_anomaly": False,
    "barebones": False,
    "plugins": None,
    "reload_dataloaders_every_n_epochs": 0,
    "enable_autolog_hparams": False,
    "model_registry": None,
}


def upgrade(config: Any) -> None:
    """Rewrite a recorded config, a mapping of any kind, in place; one of today stays as it is."""
    trainer = config.get("trainer") if hasattr(config, "get") else None
    if not hasattr(trainer, "pop") or trainer.get("_target_") != _OLD_TRAINER:
        return
    trainer["_target_"] = _TRAINER
    given = {name: trainer.pop(name) for name in _LEFT if name in trainer}
    trainer["further"] = {name: value for name, value in given.items() if value != _LEFT[name]}
