"""What a run's folder says while the run goes on, and how it ended."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from transferlab.run import environment
from transferlab.run.folder import Run
from transferlab.run.signals import interrupt_restored
from transferlab.training.distributed import is_worker
from transferlab.training.terminal import say

if TYPE_CHECKING:
    from pytorch_lightning.loggers import Logger


@dataclass
class Recording:
    """A run that goes on.

    Attributes:
        config: checked and resolved.
        run: its folder.
        result: what result.json says at the end.
        told: the loggers that hear of it.
        quiet: another run of the same group speaks on the terminal.
    """

    config: DictConfig
    run: Run
    result: dict[str, Any]
    told: list[Logger] = field(default_factory=list)
    quiet: bool = False

    def note(self, *texts: str) -> None:
        """Tell the user, and keep it in result.json."""
        self.result["warnings"] = [*self.result["warnings"], *texts]
        for text in texts if not self.quiet else ():
            say(f"note: {text}")

    def open_loggers(self) -> None:
        """Make the loggers of the config and tell them of it; without any, nothing is imported."""
        nodes = (self.config.logger or {}).values()
        if nodes:
            from transferlab.training import loggers

            self.told += loggers.make_loggers(nodes, self.config, self.run)


@contextlib.contextmanager
def recorded(
    config: DictConfig,
    run: Run,
    *,
    choices: Mapping[str, str | None] | None = None,
    warnings: Sequence[str] = (),
    resume: bool = False,
    quiet: bool = False,
) -> Iterator[Recording]:
    """Within this, a run goes on; its folder says so, and afterwards how it ended.

    Args:
        config: checked and resolved.
        run: its folder.
        choices: the options of the config groups, for the record.
        warnings: what to tell the user first; also recorded.
        resume: the folder has a config already.
        quiet: say nothing on the terminal.

    Raises:
        UserError: data, weights or a training that can not be used; recorded as failed.
        KeyboardInterrupt: the user or the system ended it; recorded as interrupted.
    """
    result: dict[str, Any] = {"status": "running", "seed": config.seed, "warnings": []}
    recording = Recording(config, run, result, quiet=quiet)
    leads = not is_worker()
    if not resume:
        run.write_config(config)
        run.write_json("environment.json", {**environment.describe(), "choices": dict(choices or {})})
    if leads:
        run.write_json("result.json", result)
    try:
        with interrupt_restored():
            recording.note(*warnings)
            yield recording
    except (KeyboardInterrupt, SystemExit) as stop:
        result["status"] = "interrupted"
        raise KeyboardInterrupt from stop
    except BaseException as error:
        result |= {"status": "failed", "error": str(error) or type(error).__name__}
        raise
    finally:
        if leads:
            run.write_json("result.json", result)
        if recording.told:
            from transferlab.training import loggers

            loggers.finish(recording.told, failed=result["status"] != "finished")
    if leads:
        run.keep_checkpoints(config.fit.keep_checkpoints)
