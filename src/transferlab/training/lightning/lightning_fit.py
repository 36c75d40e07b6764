"""Fit, select and evaluate with Lightning: everything that runs a backbone."""

from __future__ import annotations

import time
import traceback
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from transferlab.evaluation.predictions import Predictions
from transferlab.run.errors import UserError
from transferlab.run.processes import is_worker
from transferlab.run.run_folder import Run, write_atomically
from transferlab.strategy.objective.critic_health import critic_warnings
from transferlab.training.build import Experiment, Fitted
from transferlab.training.conclusion import conclude
from transferlab.training.fit_settings import is_over
from transferlab.training.frozen.prefix import make_prefix
from transferlab.training.frozen.prefix_policy import never_opens
from transferlab.training.lightning.checkpoint_content import (
    OptimizerCheck,
    load_checkpoint,
    require_position,
    require_same_network,
)
from transferlab.training.lightning.checkpoints import SelectedInMemory
from transferlab.training.lightning.distributed import launched_by_file
from transferlab.training.lightning.loaders import Loaders
from transferlab.training.lightning.module import TransferModule
from transferlab.training.lightning.target_epochs import (
    TargetWatch,
    epoch_table,
    selected_by_each,
    watched_splits,
)
from transferlab.training.lightning.trainer import fit_callbacks, make_trainer
from transferlab.training.recorder import Recorder
from transferlab.training.terminal import quiet_libraries


def fit_by_lightning(
    experiment: Experiment,
    recorder: Recorder,
    *,
    checkpoint: Path | None = None,
    predict: Sequence[str] = (),
    callbacks: Sequence[Callback] = (),
    started: float | None = None,
) -> Fitted:
    """Fit, from a checkpoint where there is one, and predict with the selected weights.

    Args and errors are those of `fit`.
    """
    started = time.perf_counter() if started is None else started
    quiet_libraries()  # Lightning has set its own level when it was imported
    flags, selection = experiment.config.trainer, experiment.strategy.selection
    module = _module(experiment, recorder.run)
    prefix = make_prefix(experiment, recorder.note)
    loaders = Loaders(experiment.batches, prefix, watched=module.watch.splits if module.watch else ())
    own = fit_callbacks(flags, experiment.fit, selection, recorder)
    try:
        trainer = make_trainer(flags, recorder, [*callbacks, *own], reload=prefix is not None)
        with launched_by_file(recorder.run, experiment.config.get("allow") or []):
            earlier = _fit(trainer, module, loaders, checkpoint)
            recorder.write_history(module.history)
            recorder.note(*critic_warnings(module.history))
            if prefix is not None and not never_opens(experiment):
                prefix.release()
                loaders.prefix = None
            _load_selected_weights(module, recorder.run, own)
            seconds = earlier + time.perf_counter() - started
            predictions = {split: _predict(trainer, module, loaders, split) for split in predict}
    except (MisconfigurationException, ValueError) as error:
        if isinstance(error, UserError) or not _is_lightnings(error):
            raise
        raise UserError(f"trainer: {error}") from error
    if prefix is not None:
        prefix.release()
    device = trainer.strategy.root_device
    memory = {} if is_worker() else conclude(experiment, module.history, device)
    on_target = _on_target(module, experiment, recorder.run)
    return Fitted(module.history, predictions, seconds, on_target, memory)


def _is_lightnings(error: BaseException) -> bool:
    """True if Lightning itself has raised an error: it refuses a flag."""
    *_, (last, _) = traceback.walk_tb(error.__traceback__)
    return str(last.f_globals.get("__name__")).startswith(("pytorch_lightning.", "lightning_fabric."))


def _on_target(module: TransferModule, experiment: Experiment, run: Run | None) -> dict[str, Any]:
    """Metrics of the target's test split by each way to select an epoch; labels are joined here."""
    if run is None or module.watch is None or "test" not in module.watch.splits or is_worker():
        return {}
    table = epoch_table(run.epoch_predictions, experiment.batches.splits, module.history)
    if table.empty:  # no epoch was validated
        return {}
    write_atomically(run.path / "selection.csv", table.to_csv(index=False))
    return {"target": selected_by_each(table)}


def _module(experiment: Experiment, run: Run | None) -> TransferModule:
    splits, selection, watch = experiment.batches.splits, experiment.strategy.selection, None
    if watched_splits(splits, selection):
        watch = TargetWatch(splits, selection, None if run is None else run.epoch_predictions)
    return TransferModule(
        experiment.network, experiment.strategy, experiment.fit, seed=experiment.seed, watch=watch
    )


def _fit(trainer: pl.Trainer, module: TransferModule, loaders: Loaders, checkpoint: Path | None) -> float:
    """Fit; return the seconds that went into it before."""
    if checkpoint is None:
        trainer.fit(module, datamodule=loaders)
        return 0.0
    content = load_checkpoint(checkpoint)
    require_same_network(content, module, checkpoint)
    require_position(content, trainer, checkpoint)
    module.on_load_checkpoint(content)
    earlier = sum(entry["seconds"] for entry in module.history) + content["transferlab"]["seconds"]
    if _nothing_left(trainer, module) or content["transferlab"].get("is_over"):
        module.load_state_dict(content["state_dict"])  # the average, where there is one
    else:
        trainer.callbacks.append(OptimizerCheck(content, checkpoint))  # type: ignore[attr-defined]
        trainer.fit(module, datamodule=loaders, ckpt_path=checkpoint, weights_only=True)
    return earlier


def _nothing_left(trainer: pl.Trainer, module: TransferModule) -> bool:
    """True if the training had ended and only the rest, the test, was cut short."""
    epochs = len(module.history)
    if module.in_epoch:
        return False
    if trainer.max_epochs is not None and 0 <= trainer.max_epochs <= epochs:
        return True
    stopped = is_over(module.history, module.strategy.unfreezing, module.num_stages, module.fit)
    return stopped and epochs >= (trainer.min_epochs or 0)


def _load_selected_weights(module: TransferModule, run: Run | None, callbacks: Sequence[Callback]) -> None:
    """Put the weights of the selected epoch into the module; the last ones are there already."""
    if module.strategy.selection == "last":
        return
    stored = next((each.weights for each in callbacks if isinstance(each, SelectedInMemory)), None)
    if stored is not None:
        module.load_state_dict(stored)
    elif run is not None and run.best_checkpoint.is_file():
        content = load_checkpoint(run.best_checkpoint)
        require_same_network(content, module, run.best_checkpoint)
        module.load_state_dict(content["state_dict"])


def _predict(trainer: pl.Trainer, module: TransferModule, loaders: Loaders, name: str) -> Predictions:
    """Predictions for every sample of a split, in the order of the samples; each exactly once."""
    loaders.tested = name
    splits = loaders.batches.splits
    on_source = module.objective.domains.on_source(module.network)
    with on_source if splits[name].domain == "source" else nullcontext():
        trainer.test(module, datamodule=loaders, verbose=False)
    probabilities_NC, labels_N, _ = module.tested.gathered()
    return Predictions(splits[name].catalog.samples, labels_N, probabilities_NC, splits.classes)
