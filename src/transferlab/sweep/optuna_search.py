"""A search over hyperparameters: Optuna proposes trials, the launcher runs them as jobs of one sweep.

Optuna's study is not stored: with the same seed and results it proposes the same again, and finished jobs are
not run again. So the same command goes on with a search that was cut short, or extends it.
(Hydra's own plugin needs Optuna below 3, which does not fit NumPy 2.)
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from transferlab.evaluation.comparison.run_score import RunScore
from transferlab.run.errors import UserError
from transferlab.run.run_folder import Run, write_atomically
from transferlab.sweep.search_settings import SearchSettings, own_score

FILE = "trials.csv"


@dataclass(frozen=True)
class Space:
    """Settings of the search."""

    fixed: Sequence[str]  # overrides that all trials have
    # by what stands left of the equals sign, the values that there are
    searched: Mapping[str, BaseDistribution]


def space_of(arguments: Sequence[str]) -> Space:
    """The space of Hydra's overrides.

    >>> space_of(["seed=1", "data.batch_size=8,16"])
    Space(fixed=['seed=1'], searched={'data.batch_size': CategoricalDistribution(choices=('8', '16'))})

    Raises:
        UserError: nothing has several values.
    """
    parsed = OverridesParser.create().parse_overrides(list(arguments))
    fixed = [str(each.input_line) for each in parsed if not each.is_sweep_override()]
    searched = {each.get_key_element(): _distribution(each) for each in parsed if each.is_sweep_override()}
    if not searched:
        raise UserError(
            "hydra/sweeper=optuna: there is nothing to search. Give a key several values, e.g. "
            "'strategy.learning_rates.base=tag(log,interval(1e-4,1e-1))'."
        )
    return Space(fixed, searched)


def _distribution(override: Override) -> BaseDistribution:
    value: Any = override.value()
    if isinstance(value, IntervalSweep):
        low, high, log = value.start, value.end, "log" in value.tags
        if isinstance(low, int) and isinstance(high, int):
            return IntDistribution(low, high, log=log)
        return FloatDistribution(float(low), float(high), log=log)  # type: ignore[arg-type]
    if isinstance(value, RangeSweep) and isinstance(value.start, int) and isinstance(value.step, int):
        values = list(value.range())
        return IntDistribution(int(min(values)), int(max(values)), step=abs(value.step))
    return CategoricalDistribution(list(override.sweep_string_iterator()))


def search(
    arguments: Sequence[str], settings: SearchSettings, launcher: Launcher, config: DictConfig
) -> None:
    """Run trials until there are as many as asked for; write trials.csv and say which is best.

    A trial that fails is reported to Optuna as failed, and the others go on.

    Args:
        arguments: Hydra's overrides.
        settings: of the search.
        launcher: returns each job's metric to optimise as its value.
        config: of the sweep, with Hydra's part.

    Raises:
        UserError: nothing to search, or a first batch of which no trial finishes.
    """
    space, folder = space_of(arguments), Path(str(config.hydra.sweep.dir))
    criterion = None if settings.optimize is None else RunScore(settings.optimize, True, None)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=_sampler(settings), direction=settings.direction)
    while (done := len(study.trials)) < settings.num_trials:
        count = min(settings.trials_at_once, settings.num_trials - done)
        trials = [study.ask(dict(space.searched)) for _ in range(count)]
        overrides = [[*space.fixed, *(f"{key}={value}" for key, value in t.params.items())] for t in trials]
        returns = launcher.launch(overrides, initial_job_idx=done)
        for trial, returned in zip(trials, returns, strict=True):
            _report(study, trial, returned)
            if settings.optimize is None and returned.return_value is not None:
                criterion = _criterion(Run(str(returned.working_dir)), criterion)
        _write(study, criterion, folder)
        if not _finished(study):
            what = settings.optimize or "score by validation, or with two domains by strategy.selection"
            raise UserError(
                f"hydra/sweeper=optuna: none of the first {count} trials has a {what}, so there "
                f"is nothing to learn from. {folder} says what became of them. Fix: "
                "hydra.sweeper.optimize=METRIC, or with two domains "
                "strategy.selection=information_maximisation."
            )
        assert criterion is not None
    assert criterion is not None
    best = study.best_trial
    found = " ".join(f"{key.lstrip('+')}={value}" for key, value in best.params.items())
    sys.stdout.write(
        f"best {_title(criterion)} of {len(_finished(study))} trials: {_raw(criterion, best.value):.4f} by "
        f"{found}\n"
    )


def _sampler(settings: SearchSettings) -> optuna.samplers.BaseSampler:
    if settings.sampler == "random":
        return optuna.samplers.RandomSampler(seed=settings.sampler_seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(
            n_startup_trials=settings.startup_trials,
            seed=settings.sampler_seed,
            constant_liar=True,  # trials that run beside each other keep a distance
        )


def _report(study: optuna.Study, trial: optuna.Trial, returned: JobReturn) -> None:
    value = returned.return_value if returned.status == JobStatus.COMPLETED else None
    trial.set_user_attr("folder", Path(str(returned.working_dir)).name)
    if value is None:
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
    else:
        study.tell(trial, value)


def _criterion(run: Run, earlier: RunScore | None) -> RunScore | None:
    """The criterion of a run's own score; all trials must share it."""
    if run.status != "finished":
        return earlier
    found = own_score(run)
    if earlier is not None and found.criterion != earlier.criterion:
        raise UserError(
            f"hydra/sweeper=optuna: {run.path.name} is scored by {found.criterion}, trials before by "
            f"{earlier.criterion}; these do not compare. Fix: one strategy.selection for all trials, or "
            "hydra.sweeper.optimize=METRIC."
        )
    return found


def _title(criterion: RunScore) -> str:
    """`val/accuracy`, as `optimize` names it, for a validation metric."""
    return criterion.criterion.replace("val ", "val/", 1)


def _raw(criterion: RunScore, value: float | None) -> float | None:
    """The score as its criterion gives it; what is optimised is turned so that higher is better."""
    return value if value is None or criterion.higher_is_better else -value


def _finished(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    return study.get_trials(states=[optuna.trial.TrialState.COMPLETE])


def _write(study: optuna.Study, criterion: RunScore | None, folder: Path) -> None:
    criterion = criterion or RunScore("score", True, None)
    rows = [
        {
            "trial": trial.number,
            "status": "finished" if trial.value is not None else "failed",
            _title(criterion): _raw(criterion, trial.value),
            **{key.lstrip("+"): value for key, value in trial.params.items()},
            "folder": trial.user_attrs["folder"],
        }
        for trial in study.trials
    ]
    write_atomically(folder / FILE, pd.DataFrame(rows).to_csv(index=False))
