"""Runs to be killed in a folder of their own, and the runs left alone that they are compared with."""

from __future__ import annotations

import itertools
import os
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from killing import ended, start, train_a_step
from PIL import Image
from sklearn.datasets import load_digits

from transferlab.config import config_files
from transferlab.run.run_folder import Run

_FILES = {file.stem: file.read_text() for file in (config_files.shipped() / "strategy").glob("*.yaml")}
STRATEGIES = sorted(_FILES)
_TWO_DOMAINS = {"source_only", *(name for name, text in _FILES.items() if "defaults: [source_only" in text)}
TINY = (
    *(
        "backbone=mnist_convnet",
        "data.shots_per_class=4",
        "data.val_fraction=0.03",
        "data.test_fraction=0.03",
    ),
    *("data.batch_size=8", "trainer=cpu", "trainer.max_epochs=3", "trainer.enable_progress_bar=false"),
    *("fit.checkpoint_every_steps=2", "fit.checkpoint_every_minutes=null"),
)


def strategy(name: str) -> list[str]:
    """Overrides for a strategy, with the digits that it needs."""
    return [f"strategy={name}", f"data={'digits_domains' if name in _TWO_DOMAINS else 'digits'}"]


@dataclass(frozen=True)
class Reference:
    """A run left alone, and how long it took."""

    folder: Path
    seconds: float


@dataclass(frozen=True)
class LabRun:
    """A run that something happens to."""

    settings: Sequence[str]
    folder: Path
    cache: Path
    log: Path

    @property
    def has_begun(self) -> bool:
        return Run(self.folder).config_file.is_file()

    def begin(self, prepare: Callable[[], object] = lambda: None) -> int:
        """Start it, or go on with it, in a child that does `prepare` first; its process id."""
        if self.has_begun:
            arguments = ["resume", str(self.folder)]
        else:
            arguments = ["train", *self.settings, f"hydra.run.dir={self.folder}"]

        def action() -> None:
            from transferlab import cli

            os.environ["TRANSFERLAB_CACHE"] = str(self.cache)
            prepare()
            cli.main(arguments)

        return start(action, log=self.log)

    def completed_like(self, expected: Reference) -> str:
        """Go on with it; what then differs from the run left alone, empty if nothing does."""
        if (status := ended(self.begin())) != 0:
            return f"going on ended with {os.waitstatus_to_exitcode(status)}: {self._last_words()}"
        return self.differs_from(expected)

    def differs_from(self, expected: Reference) -> str:
        """What differs from the run left alone, and what is left half made; empty if nothing."""
        if Run(self.folder).status != "finished":
            return f"its status is {Run(self.folder).status}"
        files = [Path("model.safetensors"), *_tables(expected.folder)]
        wrong = [str(file) for file in files if not _same(self.folder / file, expected.folder / file)]
        places = (self.folder, self.cache)
        left = [file.name for place in places for kind in _HALF_MADE for file in place.rglob(kind)]
        return "; ".join([*([f"different: {wrong}"] if wrong else []), *([f"left: {left}"] if left else [])])

    def _last_words(self) -> str:
        return " ".join(self.log.read_text(errors="replace").split())[-300:]


_HALF_MADE = ("*.making", "*.tmp", "new.ckpt")


def _tables(folder: Path) -> list[Path]:
    return [
        Path("history.csv"),
        *sorted(file.relative_to(folder) for file in folder.glob("predictions/*.csv")),
    ]


def _same(file: Path, other: Path) -> bool:
    if not file.is_file():
        return False
    if file.name != "history.csv":
        return file.read_bytes() == other.read_bytes()
    one, two = (pd.read_csv(each, dtype=str).drop(columns="seconds") for each in (file, other))
    return one.equals(two)


class Lab:
    """Makes runs in a folder.

    Args:
        folder: of all of them.
        seed: of the moments at which something happens.
    """

    def __init__(self, folder: Path, *, seed: int) -> None:
        self.folder, self.random = folder, random.Random(seed)
        self._numbers = itertools.count()
        self._references: dict[tuple[str, ...], Reference] = {}

    def new_folder(self) -> Path:
        """A path that is not there yet."""
        return self.folder / f"{next(self._numbers):04}"

    def new_run(
        self, settings: Sequence[str], *, folder: Path | None = None, cache: Path | None = None
    ) -> LabRun:
        """A run with a cache of its own, unless another one's is given."""
        own = self.new_folder()
        return LabRun(settings, folder or own, cache or own.with_suffix(".cache"), own.with_suffix(".log"))

    def reference(self, settings: Sequence[str]) -> Reference:
        """The run of these settings that nothing happens to, once for all trials."""
        key = tuple(settings)
        if key not in self._references:
            train_a_step()
            run, begun = self.new_run(settings), time.monotonic()
            if ended(run.begin()) != 0:
                raise RuntimeError(f"the run left alone failed: {run.log.read_text()}")
            self._references[key] = Reference(run.folder, time.monotonic() - begun)
        return self._references[key]

    def images(self) -> Path:
        """A folder of small PNG files, ten classes."""
        folder = self.folder / "images"
        digits = load_digits()
        for number, (drawing, label) in enumerate(zip(digits.images[:300], digits.target[:300], strict=True)):
            (folder / str(label)).mkdir(parents=True, exist_ok=True)
            pixels = np.kron(drawing / 16 * 255, np.ones((8, 8))).astype(np.uint8)
            Image.fromarray(pixels).save(folder / str(label) / f"{number}.png")
        return folder
