"""A job of a sweep: a checked config and the folder of its run; what went wrong is recorded there."""

from __future__ import annotations

import contextlib
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from transferlab.config.check import resolved
from transferlab.config.rules.contradictions import warnings_about
from transferlab.run.errors import UserError
from transferlab.run.printable import printable_lines
from transferlab.run.run_folder import Run, RunFolderError
from transferlab.training.recorded_config import recorded_config


@dataclass(frozen=True)
class Job:
    """A run that a sweep asks for."""

    config: DictConfig  # checked and resolved
    run: Run  # its folder
    choices: Mapping[str, str | None]  # the options of the config groups, for the record
    warnings: Sequence[str]  # settings without effect

    def as_json(self) -> dict[str, Any]:
        """Description from which a process of its own runs it."""
        return {
            "config": OmegaConf.to_container(self.config),
            "run": str(self.run.path),
            "choices": dict(self.choices),
            "warnings": list(self.warnings),
        }

    @staticmethod
    def from_json(content: Mapping[str, Any]) -> Job:
        """The job that `as_json` describes."""
        config = OmegaConf.create(content["config"])
        assert isinstance(config, DictConfig)
        return Job(config, Run(content["run"]), content["choices"], content["warnings"])


def composed_job(config: DictConfig) -> Job | Run:
    """The job that Hydra has composed; if its config is wrong, only the run, recorded as failed."""
    hydra = HydraConfig.get()
    run = Run(Path(hydra.runtime.output_dir))
    given = {text.lstrip("+").partition("=")[0]: text for text in hydra.overrides.task}
    OmegaConf.set_struct(config, False)
    with failure_recorded([run]):
        plain = resolved(config, given=given)
        return Job(plain, run, dict(hydra.runtime.choices), warnings_about(plain, given))
    return run


def recorded_job(run: Run, allow: Sequence[str] = (), moved: Sequence[str] = ()) -> Job:
    """The job that a run folder records; `moved` says where its data is now.

    Raises:
        UserError: it has no config, or one that does not fit this version.
    """
    config = recorded_config(run, allow, moved)
    return Job(config, run, run.environment.get("choices", {}), warnings_about(config))


@contextlib.contextmanager
def failure_recorded(runs: Sequence[Run]) -> Iterator[None]:
    """Within this, an error is recorded with these runs instead of ending the sweep.

    A run that meanwhile records an end of its own keeps it.

    Raises:
        RunFolderError: another process works in a folder, and the record there is its.
    """
    before = [run.result for run in runs]
    try:
        yield
    except RunFolderError:
        raise
    except Exception as error:
        text = str(error) or type(error).__name__
        affected = [
            (run, earlier) for run, earlier in zip(runs, before, strict=True) if run.status != "finished"
        ]
        unsaid = [run for run, earlier in affected if run.status != "failed" or run.result == earlier]
        record_end(unsaid, "failed", text)
        if isinstance(error, UserError):
            sys.stderr.write(f"{text}\n")
        else:  # a fault of the program, whose trace is written
            for run, _ in affected:
                (run.path / "error.txt").write_text(traceback.format_exc(), encoding="utf-8")
            kind = type(error).__name__
            sys.stderr.write(
                f"{kind}: {printable_lines(error)}\nThe trace is in error.txt of the run folder\n"
            )


def record_end(runs: Sequence[Run], status: str, reason: str | None = None) -> None:
    """Record in result.json how runs ended that could not do so themselves."""
    error = {} if reason is None else {"error": reason}
    for run in runs:
        run.write_json("result.json", {**run.result, "status": status, **error})
