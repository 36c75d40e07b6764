"""The run folder: everything that a run leaves behind, written once, locked while in use."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import struct
import sys
import threading
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from transferlab.run.cache import write_whole
from transferlab.run.errors import UserError

if TYPE_CHECKING:
    import pandas as pd
    from omegaconf import DictConfig

REPORTED = ("val", "test", "source_test")
"""Splits that result.json may hold metrics of, and predictions/ a table."""


class RunFolderError(UserError):
    """A run folder that cannot be used as asked."""


class Run:
    """A run, by its folder: config.yaml, result.json, history.csv, predictions/, checkpoints/.

    >>> run = Run("runs/fine_tune/2026-01-31_12-00-00_ab12cd")  # doctest: +SKIP
    >>> run.result["test"]["accuracy"]  # doctest: +SKIP
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.config_file = self.path / "config.yaml"
        self.model_file = self.path / "model.safetensors"  # model.json beside it says what it is
        self.last_checkpoint = self.path / "checkpoints" / "last.ckpt"
        self.best_checkpoint = self.path / "checkpoints" / "best.ckpt"
        self.epoch_predictions = self.path / "predictions" / "epochs"  # of unlabelled target samples

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}, {self.status})"

    @property
    def result(self) -> dict[str, Any]:
        """Contents of result.json; empty before the run has begun to write it.

        A run that was killed could not record its end: `running` without a process that holds the folder
        reads as `interrupted`.
        """
        result = self._json("result.json")
        if result.get("status") == "running" and not self.is_in_use:
            return {**result, "status": "interrupted"}
        return result

    @property
    def environment(self) -> dict[str, Any]:
        """Contents of environment.json; empty before the run has begun."""
        return self._json("environment.json")

    def _json(self, name: str) -> dict[str, Any]:
        file = self.path / name
        if not file.is_file():
            return {}
        try:
            return json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise RunFolderError(f"{file} is not readable JSON ({error}).") from error

    @property
    def status(self) -> str:
        """`running`, `finished`, `failed` or `interrupted`; `missing` where there is no run."""
        return str(self.result.get("status", "missing"))

    @property
    def recorded_status(self) -> str:
        """The status as the run has written it: `running` where it was killed."""
        return str(self._json("result.json").get("status", "missing"))

    @property
    def history(self) -> pd.DataFrame:
        """One row an epoch: losses, metrics, learning rates, trainable stages, seconds."""
        import pandas as pd

        return pd.read_csv(self.path / "history.csv")

    def predictions(self, split: str = "test") -> pd.DataFrame:
        """One row a sample of `val` or `test`: sample, label, predicted, probabilities."""
        import pandas as pd

        return pd.read_csv(self.path / "predictions" / f"{split}.csv", keep_default_na=False)

    def write_config(self, config: DictConfig) -> None:
        """Write config.yaml: all but the permission to run a user's own classes."""
        from omegaconf import OmegaConf

        shown = OmegaConf.masked_copy(config, [str(key) for key in config if key != "allow"])
        write_atomically(self.config_file, OmegaConf.to_yaml(shown, sort_keys=False))

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a JSON file of the folder at once: a reader sees the old one or the new one."""
        write_atomically(self.path / name, json.dumps(content, indent=2, default=str) + "\n")

    def keep_checkpoints(self, which: str) -> None:
        """Delete the others, to save disk; the model itself stays.

        Args:
            which: `none`, `last`, `best`, `last_and_best` or `every_epoch`. Where no epoch was selected, the
                last one is the best.
        """
        folder, last, best = self.last_checkpoint.parent, self.last_checkpoint, self.best_checkpoint
        kept = {
            "none": [],
            "last": [last],
            "best": [best if best.is_file() else last],
            "last_and_best": [last, best],
            "every_epoch": [last, best, *folder.glob("epoch_*.ckpt")],
        }[which]
        for file in folder.glob("*.ckpt"):
            if file not in kept:
                file.unlink()

    def create(self) -> None:
        """Make the folder.

        Raises:
            RunFolderError: it holds something already; nothing is overwritten.
        """
        if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            if self.config_file.is_file():
                mend = (
                    f"To go on with it: transferlab resume {self.path}. For a new run choose another folder."
                )
            else:
                mend = "Choose another folder with hydra.run.dir=DIR."
            raise RunFolderError(f"{self.path} exists and is not empty; a run never overwrites. {mend}")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunFolderError(f"{self.path} cannot be created: {error.strerror}.") from error

    @property
    def is_in_use(self) -> bool:
        """True if a process holds the folder's lock, this one or another."""
        place = self._lock_file.resolve()
        if place in _held and _held[place].process == os.getpid():
            return True  # not opened here: closing a file of it would release the lock
        try:
            with place.open("rb") as lock:
                return _is_locked(lock.fileno())
        except FileNotFoundError:
            return False
        except OSError:  # cannot be read, or a file system without locks: as it is recorded
            return True

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for this thread, which may do so again; freed however the process ends.

        A POSIX lock, not `flock`: that one would live on in the data loader's workers, which are forked and
        outlast a killed process by seconds.

        Raises:
            RunFolderError: another process or thread works in it.
        """
        place, me = self._lock_file.resolve(), _Holder(os.getpid(), threading.get_ident())
        if _held.get(place) == me:
            yield
            return
        busy = RunFolderError(f"{self.path} is in use by another process; wait for it to end.")
        if place in _held and _held[place].process == me.process:
            raise busy
        try:
            lock = place.open("w")
        except OSError as error:
            raise RunFolderError(f"{self.path} cannot be written to: {error.strerror}.") from error
        with lock:
            try:
                fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise busy from None
            _held[place] = me
            try:
                self._clear_leftovers()
                yield
            finally:
                del _held[place]

    @property
    def _lock_file(self) -> Path:
        return self.path / ".lock"

    def _clear_leftovers(self) -> None:
        """Delete what a killed process has left half-written in the folder."""
        for folder in (self.path, self.path / "checkpoints", self.path / "predictions"):
            for file in (*folder.glob(".*.making"), *folder.glob("new.ckpt"), *folder.glob("*.tmp")):
                if file.is_file():
                    file.unlink(missing_ok=True)

    def require_unharmed(self) -> None:
        """Raise `RunFolderError` where the folder has been deleted, or emptied, under a run."""
        if not self.config_file.is_file():
            raise RunFolderError(
                f"{self.path}: the run folder was deleted, moved or emptied while the run was in it, so the "
                "run has ended and its results are lost. Fix: train again, in a folder that stays."
            )

    def record_end(self, result: Mapping[str, Any]) -> None:
        """Write result.json for the last time, also on a full disk; a folder that is gone stays gone."""
        if not self.path.is_dir():
            return
        try:
            self.write_json("result.json", result)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            _write_into(self.path / "result.json", result)


class _Holder(NamedTuple):
    process: int
    thread: int


_held: dict[Path, _Holder] = {}  # lock files; a fork inherits the entries, but no lock
_LARGEST_IN_PLACE = 4096  # bytes: a file's first block, which is the file's already


def _is_locked(descriptor: int) -> bool:
    """True if another process has an exclusive lock on an open file; nothing is locked to find out."""
    layout = "qqihh" if sys.platform == "darwin" else "hhqqi4x"  # of C's struct flock
    kind, *zeros = fcntl.F_RDLCK, 0, 0, 0, 0
    asked = struct.pack(layout, *([*zeros[:3], kind, 0] if sys.platform == "darwin" else [kind, *zeros]))
    found = struct.unpack(layout, fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))
    return found[3 if sys.platform == "darwin" else 0] != fcntl.F_UNLCK


def _write_into(file: Path, result: Mapping[str, Any]) -> None:
    """Overwrite a small file where it stands, with the most important of a result, without a new block."""
    if not file.is_file():
        return
    short = {"status": result["status"], "error": str(result.get("error", ""))[:1000]}
    text = json.dumps(short).encode()
    size = min(file.stat().st_size, _LARGEST_IN_PLACE)
    with file.open("r+b", buffering=0) as opened:
        opened.write(text.ljust(size - 1) + b"\n")
        opened.truncate()


def write_atomically(file: Path, text: str) -> None:
    """Write a text file so that a kill leaves the old one or the new one, never a part."""
    write_whole(file, text.encode("utf-8"))


def dated(folder: Path | str) -> Path:
    """A folder within one, named by date and time."""
    return Path(folder) / f"{datetime.now():%Y-%m-%d_%H-%M-%S}"
