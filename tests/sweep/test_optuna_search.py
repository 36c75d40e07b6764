"""A search by Optuna: what stands on the command line, what it is told, what it leaves behind."""

from __future__ import annotations

import inspect
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from hydra_plugins.transferlab_plugins import OptunaSweeper
from tests.training.processes import command
from tests.training.test_resume import TINY
from transferlab.config import config_files
from transferlab.config.compose import ConfigError
from transferlab.config.multirun import check_sweep
from transferlab.run.errors import UserError
from transferlab.run.run_folder import Run
from transferlab.sweep.optuna_search import search, space_of
from transferlab.sweep.search_settings import SearchSettings, metric_of, own_score

CONFIG = OmegaConf.create({"hydra": {"sweep": {"dir": "."}}})
RATE = "++strategy.learning_rates.base=tag(log,interval(1e-4,1e-1))"


def test_yaml_lists_what_it_takes_with_the_same_defaults():
    content = yaml.safe_load((config_files.shipped() / "hydra" / "sweeper" / "optuna.yaml").read_text())
    assert content.pop("_target_") == f"{OptunaSweeper.__module__}.{OptunaSweeper.__name__}"
    assert list(content) == list(inspect.signature(OptunaSweeper).parameters)
    assert content == asdict(SearchSettings())


@pytest.mark.parametrize(
    ("override", "key", "distribution"),
    [
        (RATE, "++strategy.learning_rates.base", FloatDistribution(1e-4, 1e-1, log=True)),
        ("++a=interval(0,1.5)", "++a", FloatDistribution(0.0, 1.5)),
        ("++a=int(interval(2,9))", "++a", IntDistribution(2, 9)),
        ("++a=range(8,65,8)", "++a", IntDistribution(8, 64, step=8)),
        ("strategy=partial,fine_tune", "strategy", CategoricalDistribution(("partial", "fine_tune"))),
        ("++a=null,0.5", "++a", CategoricalDistribution(("null", "0.5"))),
    ],
)
def test_what_hydra_calls_a_sweep_is_a_space(override, key, distribution):
    space = space_of(["++seed=3", override, "data=digits"])
    assert space.fixed == ["++seed=3", "data=digits"]
    assert space.searched == {key: distribution}


def test_without_several_values_there_is_nothing_to_search():
    with pytest.raises(UserError, match="there is nothing to search"):
        space_of(["++seed=3"])


class _Launcher:
    """Tells of each job (a - 0.3)², except of those that fail."""

    def __init__(self, fails: Any = lambda number: False) -> None:
        self.fails, self.seen, self.sizes = fails, list[float](), list[int]()

    def launch(self, job_overrides, initial_job_idx):
        self.sizes.append(len(job_overrides))
        returns = []
        for number, (fixed, varied) in enumerate(job_overrides, start=initial_job_idx):
            assert fixed == "++b=1"
            self.seen.append(float(varied.removeprefix("++a=")))
            returned = JobReturn(overrides=[varied], working_dir=f"sweep/job{number}")
            returned.status = JobStatus.FAILED if self.fails(number) else JobStatus.COMPLETED
            returned.return_value = RuntimeError() if self.fails(number) else (self.seen[-1] - 0.3) ** 2
            returns.append(returned)
        return returns


def run_search(launcher: _Launcher, **settings: Any) -> None:
    chosen = SearchSettings(**{"optimize": "val/loss", "num_trials": 25, "startup_trials": 6, **settings})
    search(["++b=1", "++a=interval(0.0,1.0)"], chosen, launcher, CONFIG)


def test_it_comes_near_the_optimum_and_says_which(capsys):
    launcher = _Launcher()
    run_search(launcher, trials_at_once=3)
    assert launcher.sizes == [3] * 8 + [1]
    trials = pd.read_csv("trials.csv")
    assert trials["a"].tolist() == pytest.approx(launcher.seen)
    assert trials["folder"].tolist() == [f"job{number}" for number in range(25)]
    best = trials.loc[trials["val/loss"].idxmin()]
    assert abs(best["a"] - 0.3) < 0.05
    assert f"of 25 trials: {best['val/loss']:.4f} by a={best['a']}" in capsys.readouterr().out
    late = trials["val/loss"].iloc[12:].median()
    assert late < trials["val/loss"].iloc[:6].median()


def test_the_same_search_proposes_the_same_and_goes_further():
    first, again = _Launcher(), _Launcher()
    run_search(first, num_trials=10)
    run_search(again, num_trials=14)
    assert again.seen[:10] == first.seen


def test_trials_that_fail_are_left_out_unless_all_do():
    run_search(_Launcher(fails=lambda number: number % 2), num_trials=8)
    trials = pd.read_csv("trials.csv")
    assert trials["status"].tolist() == ["finished", "failed"] * 4
    assert trials["val/loss"].isna().tolist() == [False, True] * 4
    with pytest.raises(UserError, match="none of the first 2 trials has a val/loss"):
        run_search(_Launcher(fails=lambda number: True), num_trials=8)


def test_the_figure_is_that_of_a_finished_run(tmp_path):
    run = Run(tmp_path)
    run.write_json("result.json", {"status": "finished", "val": {"accuracy": 0.5, "auroc": None}})
    assert metric_of(run, "val/accuracy") == 0.5
    assert metric_of(run, "val/auroc") is None
    run.write_json("result.json", {"status": "failed", "val": {"accuracy": 0.5}})
    assert metric_of(run, "val/accuracy") is None


def scored_run(folder: Path, *, target: bool, rule: str = "dev", score: float = 0.5) -> Run:
    run = Run(folder)
    run.path.mkdir(parents=True)
    data = {"target": {"root": "x"} if target else None}
    OmegaConf.save({"seed": 0, "data": data, "strategy": {"selection": rule}}, run.config_file)
    result = {"status": "finished", "val": {"accuracy": 0.9}, "selection": {"rule": rule, "score": score}}
    run.write_json("result.json", result)
    return run


def test_with_two_domains_the_score_is_that_of_the_runs_selection(tmp_path):
    one, two = scored_run(tmp_path / "a", target=False), scored_run(tmp_path / "b", target=True)
    assert (own_score(one).criterion, own_score(one).oriented) == ("val accuracy", 0.9)
    assert (own_score(two).criterion, own_score(two).value, own_score(two).oriented) == ("dev", 0.5, -0.5)


class _TargetLauncher(_Launcher):
    """Each job is a run whose `dev`, lower is better, is (a - 0.3)²."""

    rules = ("dev", "dev")

    def launch(self, job_overrides, initial_job_idx):
        returns = super().launch(job_overrides, initial_job_idx)
        for number, returned in enumerate(returns, start=initial_job_idx):
            run = scored_run(
                Path(returned.working_dir),
                target=True,
                rule=self.rules[number % 2],
                score=returned.return_value,
            )
            returned.return_value = own_score(run).oriented
        return returns


def test_a_search_without_a_metric_goes_by_the_selection_and_its_direction(capsys):
    run_search(_TargetLauncher(), optimize=None, num_trials=12)
    trials = pd.read_csv("trials.csv")
    best = trials.loc[trials["dev"].idxmin()]
    assert (trials["dev"] >= 0).all()
    assert f"best dev of 12 trials: {best['dev']:.4f} by a={best['a']}" in capsys.readouterr().out


def test_trials_of_different_criteria_do_not_compare():
    launcher = _TargetLauncher()
    launcher.rules = ("dev", "entropy")
    with pytest.raises(UserError, match=r"is scored by entropy, trials before by dev; these do not compare"):
        run_search(launcher, optimize=None)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["hydra.sweeper.optimize=test/accuracy"], r"what the test split says must choose nothing"),
        (["hydra.sweeper.optimize=val/acc"], r"optimize=val/acc: must be"),
        (["hydra.sweeper.num_trials=0"], r"hydra\.sweeper\.num_trials=0: must be at least 1\."),
        (["hydra.sweeper.trials=3"], r"hydra\.sweeper\.trials: there is no such key"),
        (
            ["hydra/sweeper=basic"],
            r"interval\(\.\.\.\) has no end of values to try\. Add hydra/sweeper=opt",
        ),
    ],
)
def test_mistakes_are_told_before_anything_runs(overrides, message):
    with pytest.raises(ConfigError, match=message):
        check_sweep(["hydra/sweeper=optuna", "seed=int(interval(0,5))", *overrides])


@pytest.mark.slow
def test_a_search_runs_jobs_once_each_and_goes_on():
    arguments = [*TINY, "backbone.name=test_resnet", "trainer.max_epochs=1", RATE.lstrip("+")]
    where = ["hydra/sweeper=optuna", "hydra.sweep.dir=sweep", "hydra.launcher.jobs_at_once=2"]
    code, shown, said = command(["train", "-m", *arguments, *where, "hydra.sweeper.num_trials=2"])
    assert code == 0, said
    assert shown.splitlines()[-1] == "sweep"
    before = pd.read_csv("sweep/trials.csv")
    code, shown, said = command(["train", "-m", *arguments, *where, "hydra.sweeper.num_trials=3"])
    assert code == 0, said
    assert "2 of 2 finished before, not run again\n" in shown
    trials = pd.read_csv("sweep/trials.csv")
    pd.testing.assert_frame_equal(trials.iloc[:2], before)
    for _, trial in trials.iterrows():
        run = Run(Path("sweep") / trial["folder"])
        assert run.result["val"]["accuracy"] == trial["val/accuracy"]
    assert len(list(Path("sweep").glob("*/config.yaml"))) == 3
    assert f"best val/accuracy of 3 trials: {trials['val/accuracy'].max():.4f} by" in shown
