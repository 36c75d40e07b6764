"""An experiment from its checked config to its run folder: build, fit, test, record."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from transferlab.evaluation.metrics import metrics_in_order
from transferlab.run.folder import Run
from transferlab.training import record
from transferlab.training.build import Experiment, build
from transferlab.training.distributed import is_worker
from transferlab.training.lightning_fit import fit_by_lightning
from transferlab.training.outcome import Outcome
from transferlab.training.recording import Recording, recorded
from transferlab.training.terminal import quiet_libraries, say, show_result, summary_of


def run_experiment(
    config: DictConfig,
    run: Run,
    *,
    choices: Mapping[str, str | None] | None = None,
    warnings: Sequence[str] = (),
    resume: bool = False,
) -> dict[str, Any]:
    """Run an experiment in its folder, which this process holds; return what result.json says.

    Args and errors are those of `recorded`; with `resume` it goes on where it was cut short.
    """
    quiet_libraries()
    with recorded(config, run, choices=choices, warnings=warnings, resume=resume) as recording:
        started = time.perf_counter()
        checkpoint = run.last_checkpoint if resume and run.last_checkpoint.is_file() else None
        experiment = build(config, load_weights=checkpoint is None)
        begin(recording, experiment)
        outcome = fit_by_lightning(recording, experiment, checkpoint, started=started)
        end(recording, experiment, outcome)
    return recording.result


def begin(recording: Recording, experiment: Experiment) -> None:
    """Say what is about to be trained on what."""
    recording.note(*experiment.data.notices, *experiment.strategy.objective.notices)
    say(summary_of(experiment))
    if not is_worker():
        record.describe_data(experiment.data, recording.run)
    recording.open_loggers()


def end(recording: Recording, experiment: Experiment, outcome: Outcome) -> None:
    """Record what came out."""
    network, data, run = experiment.network, experiment.data, recording.run
    figures = {
        "status": "finished",
        "metrics": metrics_in_order(data.class_counts),
        **record.evaluation_record(outcome.predictions),
        "cost": record.cost_record(network, outcome.history, outcome.fit_seconds),
        "selection": {**record.selection_record(experiment.strategy, outcome.history), **outcome.chosen},
    }
    recording.result |= figures
    if is_worker():
        return
    for part, table in outcome.predictions.items():
        table.write(run.path / "predictions" / f"{part}.csv")
    head = OmegaConf.to_container(recording.config.strategy.head)
    record.save_model(network, data.classes, run.path, head=head)
    if recording.told:
        from transferlab.training import loggers

        loggers.log_result(recording.told, figures, outcome.predictions.get("test"))
    show_result(figures)
