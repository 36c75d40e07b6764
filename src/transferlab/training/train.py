"""An experiment from its checked config to its run folder: build, fit, test, record."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from transferlab.evaluation.metrics import metrics_in_order
from transferlab.run import environment
from transferlab.run.errors import UserError
from transferlab.run.folder import Run, write_atomically
from transferlab.training import loggers, record
from transferlab.training.build import build
from transferlab.training.distributed import is_worker, launched_by_file
from transferlab.training.evaluate import evaluated_parts, predict
from transferlab.training.fitting import fit, load_selected_weights
from transferlab.training.terminal import interrupts_restored, quiet_libraries, say, show_result, summary_of
from transferlab.training.trainer import make_loggers, make_trainer


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
        with interrupts_restored():
            result |= _build_fit_test(config, run, result, told, resume=resume)
    except (KeyboardInterrupt, SystemExit) as stop:
        result["status"] = "interrupted"
        raise KeyboardInterrupt from stop
    except MisconfigurationException as error:
        result |= {"status": "failed", "error": str(error)}
        raise UserError(f"trainer: {error}") from error
    except BaseException as error:
        result |= {"status": "failed", "error": str(error) or type(error).__name__}
        raise
    finally:
        if leads:
            run.write_json("result.json", result)
        loggers.finish(told, failed=result["status"] != "finished")
    if leads and not config.fit.keep_checkpoints:
        run.remove_checkpoints()
    return result


def _build_fit_test(
    config: DictConfig, run: Run, result: dict[str, Any], told: list[Logger], *, resume: bool
) -> dict[str, Any]:
    started = time.perf_counter()
    checkpoint = run.last_checkpoint if resume and run.last_checkpoint.is_file() else None
    experiment = build(config, load_weights=checkpoint is None)
    data, module = experiment.data, experiment.module
    result["warnings"] = [*result["warnings"], *data.notices, *module.objective.notices]
    for text in result["warnings"]:
        say(f"note: {text}")
    say(summary_of(experiment))
    if not is_worker():
        record.describe_data(data, run)
    told += make_loggers(config, run)
    trainer = make_trainer(config, run, experiment, told)
    with launched_by_file(run, config.get("allow") or []):
        earlier = fit(trainer, experiment, checkpoint)
        record.write_history(module, run)
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
    if not is_worker():
        for part, table in predictions.items():
            table.write(run.path / "predictions" / f"{part}.csv")
        record.save_model(module.network, data.classes, run.path)
        loggers.log_result(told, figures, predictions.get("test"))
        show_result(figures)
    return figures


def _shown(config: DictConfig) -> DictConfig:
    """What goes into config.yaml: all but the permission to run a user's own classes."""
    return OmegaConf.masked_copy(config, [str(key) for key in config if key != "allow"])
