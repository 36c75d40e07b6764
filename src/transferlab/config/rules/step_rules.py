"""Settings that contradict averages of weights and sharpness-aware steps, and those that leave them idle."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from transferlab.config.classes import class_name, fact

_SAM = "strategy.learning_rates.sam_rho"
# a step of SAM is small beside what half precision can tell apart, and 16-mixed skips steps that overflow
_PRECISE = ("32-true", "32", "64-true", "64", "bf16-mixed", "bf16", "transformer-engine")


def step_contradictions(config: dict[str, Any]) -> Iterator[str]:
    """Two averages at once, an average from a share of no known end, SAM where its step is not defined."""
    fit, trainer, strategy = config["fit"], config["trainer"], config["strategy"]
    start, rho = fit.get("swa_start"), _rho(config)
    if start is not None and fit.get("ema_decay") is not None:
        yield (
            f"fit.swa_start={start} and fit.ema_decay={fit['ema_decay']} both average the weights. Fix: set "
            "one of them to null."
        )
    endless = trainer.get("max_epochs") in (None, -1) and trainer.get("max_steps") == -1
    if start is not None and (endless or trainer.get("max_time") is not None):
        yield (
            f"fit.swa_start={start} is a share of the training, whose length is not known here. Fix: "
            "trainer.max_epochs=N trainer.max_time=null"
        )
    if not rho:
        return
    if trainer.get("accumulate_grad_batches") not in (None, 1):
        yield (
            f"{_SAM}={rho}: SAM takes its second gradient at once, of the same batch. Fix: "
            f"trainer.accumulate_grad_batches=1 and a larger data.batch_size, or {_SAM}=0"
        )
    precision = str(trainer.get("precision", "32-true"))
    if precision not in _PRECISE:
        yield (
            f"{_SAM}={rho}: trainer.precision={precision} would round away where SAM looks. Fix: "
            f"trainer.precision=bf16-mixed or 32-true, or {_SAM}=0"
        )
    if fact(strategy.get("objective"), "uses_target"):
        yield (
            f"{_SAM}={rho}: SAM looks for a higher value of one loss, and the terms of "
            f"{class_name(strategy['objective'])} may be opposed to each other. Fix: {_SAM}=0"
        )


def idle_steps(config: dict[str, Any]) -> Iterator[str]:
    """Averages over epochs that hardly differ, or over one alone."""
    start, epochs = config["fit"].get("swa_start"), config["trainer"].get("max_epochs")
    rates = config["strategy"]["learning_rates"]
    if start is None:
        return
    if isinstance(epochs, int) and 0 < epochs <= max(1, math.ceil(start * epochs)):
        yield f"fit.swa_start={start} has no effect: of trainer.max_epochs={epochs} it takes the last alone."
    elif rates.get("schedule") == "cosine":
        yield (
            f"fit.swa_start={start}: with strategy.learning_rates.schedule=cosine the last epochs hardly "
            "differ, so their average gains little. Izmailov et al. (2018) keep the rate up: "
            "strategy.learning_rates.schedule=constant"
        )


def _rho(config: dict[str, Any]) -> Any:
    return (config["strategy"].get("learning_rates") or {}).get("sam_rho")
