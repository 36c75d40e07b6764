"""The kind of run `train`, from its checked config to its run folder: build, fit, test, record."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from omegaconf import DictConfig

from transferlab.evaluation.metrics import metrics_in_order
from transferlab.report.run_tables import show_result, summary, unsuited_size
from transferlab.run.processes import is_worker
from transferlab.training import run_record as record
from transferlab.training.build import Experiment, Fitted, build, build_like, model_of
from transferlab.training.fit import fit
from transferlab.training.heads.head_fit import fit_heads_of
from transferlab.training.recorder import Recorder
from transferlab.training.terminal import say


def train(config: DictConfig, recorder: Recorder, *, resume: bool) -> None:
    """Train, test and record; with `resume`, go on from the last checkpoint if there is one.

    Raises:
        UserError: data, weights or a training that cannot be used.
    """
    started, run = time.perf_counter(), recorder.run
    assert run is not None
    checkpoint = run.last_checkpoint if resume and run.last_checkpoint.is_file() else None
    experiment = build(config, load_weights=checkpoint is None)
    inputs = record.current_inputs(config.backbone, experiment.batches.splits)
    _begin(experiment, recorder, inputs)
    reported = experiment.batches.splits.reported
    fitted = fit(experiment, recorder, checkpoint=checkpoint, predict=reported, started=started)
    _end(experiment, recorder, fitted)


def train_together(configs: Sequence[DictConfig], recorders: Sequence[Recorder]) -> None:
    """Train heads on one frozen backbone together; see `heads.sharing` for the configs that can.

    One that fails is recorded as failed, and the others go on.

    Raises:
        UserError: data or weights that cannot be used; it ends all of them.
    """
    started = time.perf_counter()
    first = build(configs[0])
    experiments = [first, *(build_like(first, config) for config in configs[1:])]
    inputs = record.current_inputs(configs[0].backbone, first.batches.splits)
    for experiment, recorder in zip(experiments, recorders, strict=True):
        _begin(experiment, recorder, inputs)
    say(f"{len(configs)} heads train together")
    reported = first.batches.splits.reported
    outcomes = fit_heads_of(recorders, experiments, predict=reported, started=started)
    for experiment, recorder, outcome in zip(experiments, recorders, outcomes, strict=True):
        if isinstance(outcome, Fitted):
            _end(experiment, recorder, outcome)
        else:
            recorder.fail(outcome)


def _begin(experiment: Experiment, recorder: Recorder, inputs: Mapping[str, str]) -> None:
    """Print and record what is about to be trained on what."""
    assert recorder.run is not None
    backbone = experiment.network.backbone
    recorder.note(*experiment.batches.splits.notes, *experiment.notes)
    if not is_worker() and (warning := unsuited_size(backbone, experiment.batches.splits)):
        recorder.note(warning)
    for part in experiment.strategy.parts.values():
        recorder.note(*part.notes)
    if not recorder.quiet:
        say(summary(backbone, experiment.batches.splits, _data_name(experiment.config)))
    if not is_worker():
        recorder.note(*record.record_inputs(inputs, recorder.run))
        record.describe_data(experiment.batches, recorder.run)
    recorder.open_loggers(experiment.config)


def _data_name(config: DictConfig) -> str:
    """The kind of data, and its place: `Folder photos`."""
    domains = (config.data.source, config.data.get("target"))
    kinds = [domain["_target_"].rpartition(".")[2] for domain in domains if domain]
    return " to ".join(kinds) + (f" {config.data.root}" if config.data.get("root") else "")


def _end(experiment: Experiment, recorder: Recorder, fitted: Fitted) -> None:
    """Record what came out."""
    network, splits, run = experiment.network, experiment.batches.splits, recorder.run
    assert run is not None
    metrics = {
        "status": "finished",
        "metrics": metrics_in_order(splits.class_counts),
        **record.evaluation_record(
            fitted.predictions,
            {name: splits[name].catalog.table["group"].tolist() for name in fitted.predictions},
        ),
        "cost": record.cost_record(network, fitted.history, fitted.seconds),
        "selection": {**record.selection_record(experiment.strategy, fitted.history), **fitted.selected},
    }
    recorder.result |= metrics
    if is_worker():
        return
    for split, table in fitted.predictions.items():
        table.write(run.path / "predictions" / f"{split}.csv")
    if fitted.memory:
        record.save_memory(fitted.memory, run)
    model_of(experiment).save(run.path)
    if recorder.loggers:
        from transferlab.training.lightning import loggers

        loggers.log_result(recorder.loggers, metrics, fitted.predictions.get("test"))
    if not recorder.quiet:
        show_result(metrics)
