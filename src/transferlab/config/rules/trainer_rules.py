"""Flags of Lightning's Trainer: those of `trainer.further`, and those that a run cannot honour."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from transferlab.config.annotation import fault, plain
from transferlab.config.overrides import did_you_mean
from transferlab.config.signature import signature

_LIGHTNINGS = "pytorch_lightning.Trainer"
_METRICS = (
    "metrics are of every sample of a split. Fix: leave it out, or take fewer images: data.fraction=0.1"
)
# Flags that would break what a run promises, with the reason and what to do instead
REFUSED: Mapping[str, str] = {
    "logger": "the config has a group for it. Fix: logger=csv, tensorboard or wandb",
    "callbacks": "a config holds no objects. Fix: fit(..., callbacks=[...]) in Python",
    "plugins": "a config holds no objects. Fix: trainer.precision or trainer.strategy choose some",
    "profiler": "its report would not be shown. Fix: python -m cProfile -o FILE -m transferlab train ...",
    "default_root_dir": "a run writes into its own folder. Fix: hydra.run.dir=DIR",
    "enable_checkpointing": "a run always saves. Fix: fit.keep_checkpoints=none deletes them in the end",
    "barebones": "a run saves and records. Fix: leave it out",
    "use_distributed_sampler": "batches are shared among processes already. Fix: leave it out",
    "reload_dataloaders_every_n_epochs": "loaders are made when they are needed. Fix: leave it out",
    "fast_dev_run": "a run saves and is tested. Fix: trainer.max_epochs=1 trainer.limit_train_batches=1",
    "limit_val_batches": _METRICS,
    "limit_test_batches": _METRICS,
    "limit_predict_batches": _METRICS,
    "overfit_batches": "it would validate on training images. Fix: data.shots_per_class=1",
    "enable_model_summary": "it would not be shown. Fix: leave it out; result.json counts the parameters",
    "enable_autolog_hparams": "loggers get the whole config. Fix: leave it out",
    "model_registry": "a run uploads nothing. Fix: leave it out",
}


def trainer_contradictions(config: dict[str, Any]) -> Iterator[str]:
    """Keys of `trainer.further` that are refused, unknown or of a wrong type; a share of batches above 1."""
    trainer = config["trainer"]
    further = trainer.get("further") or {}
    if trainer.get("accelerator") == "cpu" and trainer.get("precision") == "16-true":
        yield (
            "trainer.precision=16-true: a CPU takes minutes for a step in it. Fix: trainer.precision=32-true "
            "or bf16-true"
        )
    known = signature(_LIGHTNINGS) if further else None  # its source is 1,800 lines to read
    for name, value in further.items():
        path = f"trainer.further.{name}"
        if name in REFUSED:
            yield f"{path}={plain(value)}: a run cannot honour this flag: {REFUSED[name]}"
        elif name in trainer:
            yield f"{path}={plain(value)}: it has a key of its own. Fix: trainer.{name}={plain(value)}"
        elif known is not None and name not in known.arguments:
            yield f"{path}: Lightning's Trainer has no such flag.{did_you_mean(name, list(known.arguments))}"
        elif known is not None and (text := fault(value, known.arguments[name].annotation)):
            yield f"{path}={plain(value)}: {text}"
    limit = trainer.get("limit_train_batches")
    if isinstance(limit, float) and limit > 1 and not limit.is_integer():
        yield (
            f"trainer.limit_train_batches={limit}: must be a whole number of batches, or a share of them up "
            "to 1.0."
        )


def misplaced_flag(name: str) -> str:
    """The text to write instead of `trainer.NAME`, for a flag that only Lightning has; else empty."""
    known = signature(_LIGHTNINGS)
    if name in REFUSED:
        return f"A run cannot honour this flag of Lightning's: {REFUSED[name]}"
    if known is None or name not in known.arguments:
        return ""
    return f"Flags of Lightning's that have no key here go below further. Fix: +trainer.further.{name}=..."
