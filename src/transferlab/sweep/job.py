"""One job of a sweep: a run in its own folder; its failure is recorded and the sweep goes on."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from transferlab.config.check import ConfigError, check
from transferlab.config.rules import warnings_about
from transferlab.run.errors import UserError
from transferlab.run.folder import Run, RunFolderError
from transferlab.training.api import run_in


def run_job(config: DictConfig) -> Run:
    """Run what Hydra has composed for this job; one that has finished before is left as it is."""
    hydra = HydraConfig.get()
    run = Run(Path(hydra.runtime.output_dir))
    given = {text.lstrip("+").partition("=")[0]: text for text in hydra.overrides.task}
    sys.stdout.write(f"\n{run.path.name}\n")
    if run.status == "finished":
        sys.stdout.write("finished before, not run again\n")
        return run
    try:
        OmegaConf.set_struct(config, False)
        problems = check(config, given=given, files=[])
        if problems:
            raise ConfigError(problems)
        OmegaConf.resolve(config)
        begun = run.config_file.is_file()
        if not begun:
            run.create()
        run_in(
            config, run, choices=dict(hydra.runtime.choices), warnings=warnings_about(config), resume=begun
        )
    except RunFolderError as error:  # in use by another process, whose record it is
        sys.stderr.write(f"{error}\n")
    except UserError as error:
        _record_failure(run, error)
        sys.stderr.write(f"{error}\n")
    except Exception as error:  # a fault in one job must not end the others; its trace is kept
        _record_failure(run, error)
        (run.path / "error.txt").write_text(traceback.format_exc(), encoding="utf-8")
        sys.stderr.write(f"{type(error).__name__}: {error}\nThe trace is in {run.path / 'error.txt'}\n")
    return run


def _record_failure(run: Run, error: Exception) -> None:
    """Say in result.json that the job failed, where the run itself did not get that far."""
    if run.status in ("missing", "running"):
        run.write_json("result.json", {**run.result, "status": "failed", "error": str(error)})
