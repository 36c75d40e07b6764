"""The recorder of a run: its folder while the run goes on, and how it ended."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd
from omegaconf import DictConfig

from transferlab.run import environment, signals
from transferlab.run.errors import UserError
from transferlab.run.failures import explained
from transferlab.run.processes import is_worker
from transferlab.run.run_folder import Run, write_atomically
from transferlab.strategy.parts import History
from transferlab.training.terminal import say

if TYPE_CHECKING:
    from pytorch_lightning.loggers import Logger


@dataclass
class Recorder:
    """Writes down what a fit does; without a run it collects notes and writes nothing."""

    run: Run | None = None  # whose folder is written
    result: dict[str, Any] = field(default_factory=lambda: {"warnings": []})  # of result.json in the end
    loggers: list[Logger] = field(default_factory=list)  # receive the metrics of each epoch
    quiet: bool = True  # prints nothing, as where another run of the same group prints

    def note(self, *texts: str) -> None:
        """Print notes for the user and record them in result.json."""
        self.result["warnings"] = [*self.result["warnings"], *texts]
        for text in texts if not self.quiet else ():
            say(text if text.startswith("WARNING: ") else f"note: {text}")

    def fail(self, error: UserError) -> None:
        """Record that this run has failed, where others of its group go on."""
        self.result |= {"status": "failed", "error": str(error)}
        if self.run is not None:
            say(f"{self.run.path.name}: {error}")

    def write_history(self, history: History) -> None:
        """Write history.csv, on the process that leads."""
        if self.run is None or not history or is_worker():
            return
        self.run.require_unharmed()
        table = pd.DataFrame(history)
        whole = {name: table[name].astype(int) for name in ("epoch", "trainable_stages")}
        write_atomically(self.run.path / "history.csv", table.assign(**whole).to_csv(index=False))

    def open_loggers(self, config: DictConfig) -> None:
        """Make the loggers of the config; without any, nothing is imported."""
        nodes = (config.logger or {}).values()
        if nodes:
            from transferlab.training.lightning import loggers

            assert self.run is not None
            self.loggers += loggers.make_loggers(nodes, config, self.run)


@contextlib.contextmanager
def recorded(
    config: DictConfig,
    run: Run,
    *,
    choices: Mapping[str, str | None] | None = None,
    warnings: Sequence[str] = (),
    resume: bool = False,
    quiet: bool = False,
) -> Iterator[Recorder]:
    """Record a run's beginning and its end, however it ends; within this it goes on.

    Args:
        config: checked and resolved.
        run: its folder.
        choices: the options of the config groups, for the record.
        warnings: printed first, and recorded.
        resume: the folder has a config already.
        quiet: print nothing.

    Raises:
        UserError: data, weights or a training that cannot be used; recorded as failed.
        signals.Stopped: the user or the system ended it; recorded as interrupted.
    """
    with signals.ending():
        result: dict[str, Any] = {"status": "running", "seed": config.seed, "warnings": []}
        recorder = Recorder(run, result, quiet=quiet)
        try:
            with signals.interrupt_restored():
                _begin(config, recorder, choices=choices, resume=resume)
                recorder.note(*warnings)
                yield recorder
                run.require_unharmed()
            if result["status"] == "running":
                result["status"] = "finished"
        except BaseException as error:
            ended = _ended(result, error, run)
            if ended is error:
                raise
            raise ended from error
        finally:
            with signals.waiting():
                _end(recorder)
        if not is_worker():
            run.keep_checkpoints(config.fit.keep_checkpoints)


def _begin(
    config: DictConfig, recorder: Recorder, *, choices: Mapping[str, str | None] | None, resume: bool
) -> None:
    """Write what is known when a run begins."""
    run = recorder.run
    assert run is not None
    if not resume:
        run.write_config(config)
        run.write_json("environment.json", {**environment.describe(), "choices": dict(choices or {})})
    if not is_worker():
        run.write_json("result.json", recorder.result)


def _ended(result: dict[str, Any], error: BaseException, run: Run) -> BaseException:
    """Note in `result` how a run ended before it had finished; return what is to be raised."""
    asked = signals.received()
    if isinstance(error, KeyboardInterrupt | SystemExit) or asked is not None:
        # after a signal other errors follow from it: it may have ended a process that reads images, too
        result["status"] = "interrupted"
        return error if isinstance(error, signals.Stopped) else signals.Stopped(asked or signal.SIGINT)
    known = explained(error, run.path)
    result |= {"status": "failed", "error": str(known or error) or type(error).__name__}
    return known or error


def _end(recorder: Recorder) -> None:
    """Write how a run ended, and close its loggers."""
    assert recorder.run is not None
    if not is_worker():
        recorder.run.record_end(recorder.result)
    if recorder.loggers:
        from transferlab.training.lightning import loggers

        loggers.finish(recorder.loggers, failed=recorder.result["status"] != "finished")
