"""Lightning's Trainer from the flags of a config: those that a run honours, each with its type and bounds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import Logger

from transferlab.config.bounds import Above, Duration, NonNegativeFloat, NonNegativeInt, PositiveInt
from transferlab.config.instantiation import described
from transferlab.run.errors import UserError

Precision = Literal[
    "32-true", "bf16-mixed", "16-mixed", "bf16-true", "16-true", "64-true",
    "transformer-engine", "transformer-engine-float16", "32", "64", "16", "bf16", 32, 64, 16,
]  # fmt: skip


def lightning_trainer(
    *,
    accelerator: str = "auto",
    strategy: str = "auto",
    devices: int | str | list[int] = 1,
    num_nodes: PositiveInt = 1,
    precision: Precision = "32-true",
    max_epochs: int | Literal["auto"] | None = None,
    min_epochs: NonNegativeInt | None = None,
    max_steps: int = -1,
    max_time: Annotated[Any, Duration()] = None,
    limit_train_batches: Annotated[float, Above(0)] | None = None,
    check_val_every_n_epoch: PositiveInt | None = 1,
    num_sanity_val_steps: int = 0,
    enable_progress_bar: bool = True,
    accumulate_grad_batches: PositiveInt = 1,
    gradient_clip_val: NonNegativeFloat | None = None,
    gradient_clip_algorithm: Literal["norm", "value"] | None = None,
    deterministic: bool | Literal["warn"] | None = None,
    sync_batchnorm: bool = False,
    further: dict[str, Any] | None = None,
    logger: Sequence[Logger] | bool = False,
    callbacks: Sequence[Callback] = (),
    enable_checkpointing: bool = False,
    default_root_dir: str | None = None,
    reload_dataloaders_every_n_epochs: int = 0,
) -> pl.Trainer:
    """The Trainer of a fit; conf/trainer/auto.yaml describes the flags.

    `further` are other flags of Lightning's Trainer; config/rules/trainer_rules.py names those that are
    refused. From `logger` on, the program sets them.

    Raises:
        UserError: a device, precision or flag that Lightning does not have here.
    """
    assert max_epochs != "auto", "`build` makes a number of it"
    own = {name: value for name, value in locals().items() if name != "further"}
    own |= {"callbacks": list(callbacks), "use_distributed_sampler": False}
    own |= {"enable_model_summary": False, "enable_autolog_hparams": False}
    flags: dict[str, Any] = {**own, **(further or {})}
    try:
        return pl.Trainer(**flags)
    except Exception as error:  # of whatever library answers for a device or a precision
        raise UserError(f"trainer: {described(error)}. Fix: give it another value.") from error
