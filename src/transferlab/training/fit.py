"""Fit an experiment: by Lightning, or a head alone on features that were computed once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from transferlab.run.errors import UserError
from transferlab.training.build import Experiment, Fitted
from transferlab.training.fit_settings import on_one_device
from transferlab.training.heads.head_fit import fit_heads_of, fits_head_alone
from transferlab.training.heads.probe_start import start_by_probe, starts_by_probe
from transferlab.training.recorder import Recorder

if TYPE_CHECKING:
    from pytorch_lightning.callbacks import Callback


def fit(
    experiment: Experiment,
    recorder: Recorder | None = None,
    *,
    checkpoint: Path | None = None,
    predict: Sequence[str] = (),
    callbacks: Sequence[Callback] = (),
    started: float | None = None,
) -> Fitted:
    """Fit an experiment; its network holds the selected weights afterwards.

    Args:
        experiment: what a config builds.
        recorder: of a run; None: nothing is written, printed or logged, and the selected weights are kept in
            memory.
        checkpoint: where a run that was cut short goes on.
        predict: names of the splits to predict with the selected weights.
        callbacks: further ones for Lightning, which then does the fit.
        started: `time.perf_counter()` when the run began; None: now.

    Raises:
        UserError: flags that Lightning refuses, a loss that is not finite, several processes without a run.
    """
    recorder = recorder or Recorder()
    if recorder.run is None and not on_one_device(experiment.config.trainer):
        raise UserError(
            f"trainer.devices={experiment.config.trainer.devices}: a fit without a run folder runs in one "
            "process. Set it to 1."
        )
    if checkpoint is None and not callbacks and fits_head_alone(experiment):
        [fitted] = fit_heads_of([recorder], [experiment], predict=predict, started=started)
        if isinstance(fitted, UserError):
            raise fitted
        return fitted
    if checkpoint is None and starts_by_probe(experiment):
        start_by_probe(experiment, recorder)
    from transferlab.training.lightning.lightning_fit import fit_by_lightning

    return fit_by_lightning(
        experiment, recorder, checkpoint=checkpoint, predict=predict, callbacks=callbacks, started=started
    )
