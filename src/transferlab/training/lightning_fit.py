"""Fit, select and evaluate with Lightning: everything that runs a backbone."""

from __future__ import annotations

import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from transferlab.evaluation.predictions import Predictions
from transferlab.run.errors import UserError
from transferlab.run.folder import Run, write_atomically
from transferlab.strategy.objective.critic_health import critic_warnings
from transferlab.training.build import Experiment
from transferlab.training.checkpoints import load_checkpoint
from transferlab.training.concluding import conclude
from transferlab.training.distributed import is_worker, launched_by_file
from transferlab.training.loaders import Loaders
from transferlab.training.module import TransferModule
from transferlab.training.outcome import Outcome, evaluated_parts
from transferlab.training.prefix import make_prefix
from transferlab.training.prefix_policy import never_opens
from transferlab.training.record import write_history
from transferlab.training.recording import Recording
from transferlab.training.stopping import is_over
from transferlab.training.target_record import epoch_table, selected_by_each
from transferlab.training.target_watch import TargetWatch, watched_parts
from transferlab.training.terminal import quiet_libraries
from transferlab.training.trainer import make_trainer


def fit_by_lightning(
    recording: Recording, experiment: Experiment, checkpoint: Path | None, *, started: float
) -> Outcome:
    """Fit, from a checkpoint where there is one, and predict with the selected weights.

    Args:
        recording: of the run.
        experiment: what its config builds.
        checkpoint: where a run that was cut short goes on.
        started: `time.perf_counter()` when the run began.

    Raises:
        UserError: flags that Lightning refuses, a loss that is not finite.
    """
    quiet_libraries()  # Lightning has set its own level when it was imported
    config, run = recording.config, recording.run
    module = _module(experiment, run)
    prefix = make_prefix(recording, experiment)
    loaders = Loaders(experiment.data, prefix, watched=module.watch.parts if module.watch else ())
    try:
        trainer = make_trainer(config, run, module, recording.told, reload=prefix is not None)
        with launched_by_file(run, config.get("allow") or []):
            earlier = _fit(trainer, module, loaders, checkpoint)
            write_history(module.history, run)
            recording.note(*critic_warnings(module.history))
            if prefix is not None and not never_opens(experiment):
                prefix.release()
                loaders.prefix = None
            _load_selected_weights(module, run)
            seconds = earlier + time.perf_counter() - started
            predictions = {
                part: _predict(trainer, module, loaders, part) for part in evaluated_parts(experiment.data)
            }
    except MisconfigurationException as error:
        raise UserError(f"trainer: {error}") from error
    if prefix is not None:
        prefix.release()
    device = trainer.strategy.root_device
    memory = {} if is_worker() else conclude(experiment, module.history, device)
    return Outcome(module.history, predictions, seconds, _on_target(module, experiment, run), memory)


def _on_target(module: TransferModule, experiment: Experiment, run: Run) -> dict[str, Any]:
    """What each way to select an epoch gives on the target's test part; labels are joined here."""
    if module.watch is None or "test" not in module.watch.parts or is_worker():
        return {}
    table = epoch_table(run.epoch_predictions, experiment.data, module.history)
    if table.empty:  # no epoch was validated
        return {}
    write_atomically(run.path / "selection.csv", table.to_csv(index=False))
    return {"target": selected_by_each(table)}


def _module(experiment: Experiment, run: Run) -> TransferModule:
    selection, watch = experiment.strategy.selection, None
    if watched_parts(experiment.data, selection):
        watch = TargetWatch(experiment.data, selection, run.epoch_predictions)
    return TransferModule(
        experiment.network, experiment.strategy, experiment.fit, seed=experiment.seed, watch=watch
    )


def _fit(trainer: pl.Trainer, module: TransferModule, loaders: Loaders, checkpoint: Path | None) -> float:
    """Fit; return the seconds that went into it before."""
    if checkpoint is None:
        trainer.fit(module, datamodule=loaders)
        return 0.0
    content = load_checkpoint(checkpoint)
    module.on_load_checkpoint(content)
    earlier = sum(entry["seconds"] for entry in module.history) + content["transferlab"]["seconds"]
    if _nothing_left(trainer, module):
        module.load_state_dict(content["state_dict"])  # the average, where one is kept
    else:
        trainer.fit(module, datamodule=loaders, ckpt_path=checkpoint, weights_only=True)
    return earlier


def _nothing_left(trainer: pl.Trainer, module: TransferModule) -> bool:
    """Whether the training had ended and only the rest, the test, was cut short."""
    epochs = len(module.history)
    if module.in_epoch:
        return False
    if trainer.max_epochs is not None and 0 <= trainer.max_epochs <= epochs:
        return True
    stopped = is_over(module.history, module.strategy.unfreezing, module.num_stages, module.fit)
    return stopped and epochs >= (trainer.min_epochs or 0)


def _load_selected_weights(module: TransferModule, run: Run) -> None:
    """Put the weights of the selected epoch into the module; the last ones are there already."""
    if module.strategy.selection != "last" and run.best_checkpoint.is_file():
        module.load_state_dict(load_checkpoint(run.best_checkpoint)["state_dict"])


def _predict(trainer: pl.Trainer, module: TransferModule, loaders: Loaders, part: str) -> Predictions:
    """What the module says of every sample of a part, in the order of the samples; each exactly once."""
    loaders.test_part = part
    on_source = module.objective.domains.on_source(module.network)
    with on_source if part in ("val", "source_test") else nullcontext():
        trainer.test(module, datamodule=loaders, verbose=False)
    probabilities_NC, labels_N, _ = module.tested.gathered()
    data = loaders.data
    return Predictions(data.catalog(part).samples, labels_N, probabilities_NC, tuple(data.classes))
