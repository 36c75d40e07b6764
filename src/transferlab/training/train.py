"""An experiment from its checked config to its run folder: build, fit, test, record."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import Logger

from transferlab.evaluation.metrics import metrics_in_order
from transferlab.run import environment
from transferlab.run.folder import Run, write_atomically
from transferlab.training import loggers, record
from transferlab.training.build import build, make
from transferlab.training.callbacks import callbacks_of
from transferlab.training.distributed import is_worker, launched_by_file
from transferlab.training.evaluate import evaluated_parts, predict
from transferlab.training.fitting import fit, load_selected_weights
from transferlab.training.progress import shows_bars
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

    Args:
        config: checked and resolved.
        run: its folder.
        choices: the options of the config groups, for the record.
        warnings: what to tell the user first; also recorded.
        resume: go on in a folder whose training was cut short.

    Raises:
        UserError: data, weights or a training that can not be used; recorded as failed.
        KeyboardInterrupt: the user or the system ended it; recorded as interrupted.
    """
    quiet_libraries()
    result: dict[str, Any] = {"status": "running", "seed": config.seed, "warnings": list(warnings)}
    told: list[Logger] = []
    leads = not is_worker()
    if not resume:
        write_atomically(run.config_file, OmegaConf.to_yaml(_shown(config), sort_keys=False))
        run.write_json("environment.json", {**environment.describe(), "choices": dict(choices or {})})
    if leads:
        run.write_json("result.json", result)
    try:
        result |= _build_fit_test(config, run, result, told, resume=resume)
    except (KeyboardInterrupt, SystemExit) as stop:
        result["status"] = "interrupted"
        raise KeyboardInterrupt from stop
    except BaseException as error:
        result |= {"status": "failed", "error": str(error) or type(error).__name__}
        raise
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # Lightning leaves it ignored after a Ctrl-C
        if leads:
            run.write_json("result.json", result)
        loggers.finish(told, failed=result["status"] != "finished")
    return result


def _build_fit_test(
    config: DictConfig, run: Run, result: dict[str, Any], told: list[Logger], *, resume: bool
) -> dict[str, Any]:
    checkpoint = run.last_checkpoint if resume and run.last_checkpoint.is_file() else None
    experiment = build(config, load_weights=checkpoint is None)
    data, module = experiment.data, experiment.module
    result["warnings"] = [*result["warnings"], *data.notices, *module.objective.notices]
    for text in result["warnings"]:
        say(f"note: {text}")
    say(summary_of(experiment))
    if not is_worker():
        record.describe_data(data, run)
    told += [
        make(node, folder=str(run.path), run_id=run.path.name) for node in (config.logger or {}).values()
    ]
    loggers.log_config(told, config)
    trainer: pl.Trainer = make(
        config.trainer,
        logger=told,
        callbacks=callbacks_of(config, run, experiment),
        enable_checkpointing=True,
        enable_progress_bar=shows_bars(config),
        use_distributed_sampler=False,
        default_root_dir=str(run.path),
    )
    started = time.perf_counter()
    with launched_by_file(run, config.get("allow") or []):
        earlier = fit(trainer, experiment, checkpoint)
    load_selected_weights(experiment, run)
    seconds = earlier + time.perf_counter() - started
    predictions = {part: predict(trainer, experiment, part) for part in evaluated_parts(experiment)}
    figures = {
        "status": "finished",
        "metrics": metrics_in_order(data.class_counts),
        **record.evaluation_record(predictions),
        "cost": record.cost_record(module, seconds),
        "selection": record.selection_record(module),
    }
    if trainer.is_global_zero:
        for part, table in predictions.items():
            table.write(run.path / "predictions" / f"{part}.csv")
        record.save_model(module.network, data.classes, run.path)
        loggers.log_result(told, figures, predictions.get("test"))
        if not experiment.fit.keep_checkpoints:
            for file in (run.last_checkpoint, run.best_checkpoint):
                file.unlink(missing_ok=True)
        show_result(figures)
    return figures


def _shown(config: DictConfig) -> DictConfig:
    """What goes into config.yaml: all but the permission to run a user's own classes."""
    return OmegaConf.masked_copy(config, [str(key) for key in config if key != "allow"])
