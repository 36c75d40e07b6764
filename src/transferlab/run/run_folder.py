"""The run folder: everything that a run leaves behind, written once, locked while in use."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
        """Contents of result.json; empty before the run has begun to write it."""
        return self._json("result.json")

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

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for this process; freed by the system however the process ends.

        A POSIX lock, not `flock`: that one would live on in the data loader's workers, which are forked and
        outlast a killed process by seconds.

        Raises:
            RunFolderError: another process works in it, or something in it is a link that leads out.
        """
        require_own_files(self.path)
        try:
            lock = (self.path / ".lock").open("w")
        except OSError as error:
            raise RunFolderError(f"{self.path} cannot be written to: {error.strerror}.") from error
        with lock:
            try:
                fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise RunFolderError(
                    f"{self.path} is in use by another process; wait for it to end."
                ) from None
            yield


def require_own_files(folder: Path, *, deep: bool = True) -> None:
    """Refuse links that lead out of a folder: what is read or written by them is not the folder's.

    A run folder may come from anybody. W&B's own folder, in which its client makes such links, is not looked
    into.

    Args:
        folder: of a run or a sweep; one that is not there has none.
        deep: also look into the folders within it.

    Raises:
        RunFolderError: there is such a link.
    """
    top = folder.resolve()
    for parent, folders, files in os.walk(folder):
        for path in (Path(parent, name) for name in (*folders, *files)):
            if path.is_symlink() and not _end_of(path).is_relative_to(top):
                raise RunFolderError(
                    f"{path}: this link leads out of {folder}. Fix: replace it by what it links to, or "
                    "delete it."
                )
        folders[:] = [name for name in folders if deep and name != "wandb"]


def _end_of(link: Path) -> Path:
    try:
        return link.resolve()
    except (OSError, RuntimeError):  # a link to itself
        return Path("/")


def is_plain_name(name: object) -> bool:
    """True for the name of a file or folder: a record never names another place by it."""
    return isinstance(name, str) and name not in ("", ".", "..") and name.isprintable() and "/" not in name


def write_atomically(file: Path, text: str) -> None:
    """Write a text file so that a kill leaves the old one or the new one, never a part."""
    write_whole(file, text.encode("utf-8"))


def dated(folder: Path | str) -> Path:
    """A folder within one, named by date and time."""
    return Path(folder) / f"{datetime.now():%Y-%m-%d_%H-%M-%S}"
