"""The verbs as Python functions: what the command line does, in a notebook.

`overrides` are as on the command line: `group=option` and `key=value`. Mistakes are `UserError`s with the
text that the command prints.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from transferlab.config.compose import compose_checked
from transferlab.config.overrides import allowed_and_rest, moved_data, quoted
from transferlab.run.errors import UserError
from transferlab.run.one_at_a_time import one_at_a_time
from transferlab.run.run_folder import Run, dated
from transferlab.training.recorded_config import evaluated_config, recorded_config
from transferlab.training.runs import in_its_folder, train

if TYPE_CHECKING:  # imported where they are used: a mistake in a config costs no torch
    from transferlab.analysis.gap import MeasuredGap
    from transferlab.data.inspection import Inspection
    from transferlab.evaluation.comparison.compare import Comparison

__all__ = ["average", "compare", "evaluate", "gap", "inspect", "resume", "train"]

_PATHS = ("data=", "data/", "data.root", "data.source", "data.target")


@one_at_a_time
def resume(path: str | Path, overrides: Sequence[str] = (), *, allow: Sequence[str] = ()) -> Run | list[Run]:
    """Go on with a run that was cut short, or with a sweep; the outcome is that of one left alone.

    Args:
        path: the folder of a run or of a sweep.
        overrides: `data.root=DIR` and the like, where its data has moved; of a sweep's launcher
            `hydra.launcher.KEY=VALUE`.
        allow: the user's own modules that its configs name.

    Returns:
        The run; of a sweep, all of its runs.

    Raises:
        UserError: neither is there, or a config that does not fit this version of transferlab.
    """
    from transferlab.sweep import resume as resuming

    if (Path(path) / "sweep.json").is_file():
        return resuming.resume_sweep(Path(path), allow=allow, overrides=overrides)
    return resuming.resume(path, allow=allow, overrides=overrides)


@one_at_a_time
def evaluate(folder: str | Path, overrides: Sequence[str] = (), *, out: str | Path | None = None) -> Run:
    """A trained model's metrics and predictions, on the splits of its run again or on other data.

    Args:
        folder: of a run, or of a model.safetensors and model.json alone.
        overrides: of `data` and `trainer`; `allow=[MODULE]` for the user's own modules.
        out: a new folder; None: one within `folder/evaluations`.

    Returns:
        The evaluation: `result`, `predictions(split)`.

    Raises:
        UserError: no model, data that cannot be used, or classes that the model does not have.
    """
    trained = Run(folder)
    config = evaluated_config(trained, overrides)

    from transferlab.training import model_evaluation

    into = Run(Path(out or dated(trained.path / "evaluations")).resolve())
    path = Run(trained.path.resolve())
    # paths are as they were typed: now, or when the run was started
    typed_now = any(text.lstrip("+").startswith(_PATHS) for text in overrides)
    with contextlib.nullcontext() if typed_now else in_its_folder(trained):
        model_evaluation.evaluate(path, config, into)
    return into


@one_at_a_time
def average(
    *folders: str | Path,
    how: Literal["uniform", "greedy", "line", "wise_ft"] = "uniform",
    overrides: Sequence[str] = (),
    out: str | Path | None = None,
) -> Run:
    """One network of the weights of several trained runs, without training.

    Args:
        folders: of finished runs of one architecture on one data set, or of sweeps of such; two for `line`,
            one for `wise_ft`.
        how: `uniform`: the mean of all; `greedy`: of those that do not lower the validation accuracy, the
            best first; `line`: the best of 11 points between two; `wise_ft`: between a run's start and end.
        overrides: `data.root=DIR` where the data has moved, `trainer.KEY=VALUE` for another device;
            `allow=[MODULE]` for the user's own modules.
        out: a new folder; None: one within `averages`.

    Returns:
        The average, as a folder with a model: `result`, `predictions(split)`, average.csv.

    Raises:
        UserError: runs that cannot be averaged, or no validation split to choose by.
    """
    from transferlab.sweep.gather import gather

    if how not in ("uniform", "greedy", "line", "wise_ft"):
        raise UserError(f"how={how}: must be uniform, greedy, line or wise_ft.")
    runs = [Run(recorded.path.resolve()) for recorded in gather([Path(folder) for folder in folders])]
    takes = {"line": "two runs", "wise_ft": "one run"}.get(how, "runs")
    if len(runs) not in {"line": (2,), "wise_ft": (1,)}.get(how, range(1, len(runs) + 1)):
        raise UserError(f"transferlab average takes the folders of {takes} here, not {len(runs)}.")
    allow, changes = allowed_and_rest(overrides)
    of_trainer = [text for text in changes if text.startswith("trainer.")]
    moved = moved_data([text for text in changes if text not in of_trainer])
    into = Run(Path(out or dated("averages")).resolve())
    with in_its_folder(runs[0]):
        config = evaluated_config(runs[0], [*of_trainer, *moved, f"allow=[{','.join(allow)}]"])

        from transferlab.analysis.average import average as averaged

        averaged(runs, how, config, into, moved=moved)
    return into


def compare(*folders: str | Path) -> Comparison:
    """Runs and sweeps compared: groups over seeds with intervals, the chosen ones, paired tests.

    Raises:
        UserError: a folder that is neither a run nor a sweep.
    """
    from transferlab.evaluation.comparison.compare import compare as compared
    from transferlab.sweep.gather import gather

    return compared(gather([Path(folder) for folder in folders]))


@one_at_a_time
def inspect(overrides: Sequence[str] = ()) -> Inspection:
    """Counts, sizes, broken files, duplicates, leaks and the proposed splits of a config's data.

    `data=folder` unless the overrides say otherwise. `problems` are reasons not to train on it as it is.

    Raises:
        UserError: a config that is wrong.
    """
    chosen = any(text.startswith(("data=", "experiment=")) for text in overrides)
    config = compose_checked([*([] if chosen else ["data=folder"]), *overrides]).config

    from transferlab.data.inspection import inspect_data
    from transferlab.training.build import make_data

    return inspect_data(make_data(config))


@one_at_a_time
def gap(*folders: str | Path, overrides: Sequence[str] = ()) -> MeasuredGap:
    """The distance of two domains in a backbone's features.

    Args:
        folders: two folders of images; one finished run, before and after its training; or none, for the
            source and target of the config.
        overrides: of the config; for a run `allow=[MODULE]` at most.

    Raises:
        UserError: no second domain, too few images, or no finished run.
    """
    for folder in folders:
        if not Path(folder).is_dir():
            raise UserError(f"{folder}: there is no such folder.")
    if len(folders) > 2:
        raise UserError(f"transferlab gap compares two folders, not {len(folders)}.")
    trained = Run(folders[0]) if len(folders) == 1 else None
    allow, changes = allowed_and_rest(overrides)
    if trained is not None and changes:
        raise UserError(f"{changes[0]}: a run has its own config. Leave it out.")
    if trained is not None and not trained.model_file.is_file():
        raise UserError(f"{trained.path}: this is not a finished run. Give one, or two folders of images.")
    if trained is not None:
        config = recorded_config(trained, allow)
    else:
        domains = zip(("source", "target"), folders, strict=False)
        roots = [f"data.{domain}.root={quoted(str(folder))}" for domain, folder in domains]
        config = compose_checked([*(["data=domains"] if folders else []), *roots, *overrides]).config

    from transferlab.analysis.gap import measure_gap

    return measure_gap(config, run=trained)
