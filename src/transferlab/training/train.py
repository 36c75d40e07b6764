"""An experiment from its checked config to its run folder: build, fit, test, record."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig

from transferlab.evaluation.metrics import metrics_in_order
from transferlab.run.errors import UserError
from transferlab.run.folder import Run
from transferlab.training import record
from transferlab.training.build import Experiment, build, build_like, model_of
from transferlab.training.distributed import is_worker
from transferlab.training.head_fit import fit_heads_of, fits_head_alone
from transferlab.training.inputs import current_inputs, record_inputs
from transferlab.training.outcome import Outcome
from transferlab.training.recording import Recording, recorded
from transferlab.training.terminal import quiet_libraries, say, show_result, summary_of


@dataclass(frozen=True)
class Member:
    """A run of a group: its checked config, its folder, and what to record of how it came about."""

    config: DictConfig
    run: Run
    choices: Mapping[str, str | None] | None = None
    warnings: Sequence[str] = ()


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
        _begin(recording, experiment, current_inputs(config.backbone, experiment.data))
        if checkpoint is None and fits_head_alone(config, experiment):
            [outcome] = fit_heads_of([recording], [experiment], started=started)
        else:
            from transferlab.training.lightning_fit import fit_by_lightning

            outcome = fit_by_lightning(recording, experiment, checkpoint, started=started)
        if isinstance(outcome, UserError):
            raise outcome
        _end(recording, experiment, outcome)
    return recording.result


def run_group(members: Sequence[Member]) -> None:
    """Run experiments that train heads on one frozen backbone together, each in its folder.

    Their configs differ in what the strategy and the seed say of the head alone. One that fails is recorded
    as failed, and the others go on. A group always starts from its beginning: a head's last bits may depend
    on which others it was trained with.

    Raises:
        UserError, KeyboardInterrupt: what ends all of them; recorded in each.
    """
    quiet_libraries()
    with ExitStack() as stack:
        started = time.perf_counter()
        recordings = [
            stack.enter_context(
                recorded(
                    member.config,
                    member.run,
                    choices=member.choices,
                    warnings=member.warnings,
                    quiet=place > 0,
                )
            )
            for place, member in enumerate(members)
        ]
        first = build(members[0].config)
        experiments = [first, *(build_like(first, member.config) for member in members[1:])]
        inputs = current_inputs(members[0].config.backbone, first.data)
        for recording, experiment in zip(recordings, experiments, strict=True):
            _begin(recording, experiment, inputs)
        say(f"{len(members)} heads train together")
        outcomes = fit_heads_of(recordings, experiments, started=started)
        for recording, experiment, outcome in zip(recordings, experiments, outcomes, strict=True):
            if isinstance(outcome, UserError):
                recording.result |= {"status": "failed", "error": str(outcome)}
                say(f"{recording.run.path.name}: {outcome}")
            else:
                _end(recording, experiment, outcome)


def _begin(recording: Recording, experiment: Experiment, inputs: Mapping[str, str]) -> None:
    """Say what is about to be trained on what."""
    recording.note(*experiment.data.notices, *experiment.notices, *experiment.strategy.objective.notices)
    if not recording.quiet:
        say(summary_of(experiment))
    if not is_worker():
        recording.note(*record_inputs(inputs, recording.run))
        record.describe_data(experiment.data, recording.run)
    recording.open_loggers()


def _end(recording: Recording, experiment: Experiment, outcome: Outcome) -> None:
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
    model_of(experiment, recording.config).save(run.path)
    if recording.told:
        from transferlab.training import loggers

        loggers.log_result(recording.told, figures, outcome.predictions.get("test"))
    if not recording.quiet:
        show_result(figures)
