"""The comparison of runs, on run folders made by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from omegaconf import OmegaConf

from transferlab.run.folder import Run
from transferlab.sweep.comparison import compare_sweep, comparison, what_differs


def make_run(folder: str, accuracy: float | None, *, seed: int, strategy: str, rate: float = 0.1) -> Run:
    run = Run(Path("sweep") / folder)
    run.path.mkdir(parents=True)
    factor = {"fine_tune": 0.1, "from_scratch": 1.0}[strategy]
    config = {"seed": seed, "strategy": {"factor": factor, "rate": rate}, "name": folder}
    OmegaConf.save(OmegaConf.create(config), run.config_file)
    run.write_json("environment.json", {"choices": {"strategy": strategy, "hydra/launcher": "basic"}})
    figures = {"accuracy": accuracy, "balanced_accuracy": accuracy, "macro_f1": accuracy}
    finished = {"status": "finished", "val": figures, "test": figures, "cost": {"fit_seconds": 2.0}}
    run.write_json("result.json", finished if accuracy is not None else {"status": "failed", "error": "no"})
    return run


def test_mean_and_standard_deviation_over_seeds():
    accuracies = {0: 0.8, 1: 0.9, 2: 0.85}
    runs = [
        make_run(f"a{seed}", value, seed=seed, strategy="fine_tune") for seed, value in accuracies.items()
    ]
    runs += [make_run("b", 0.5, seed=0, strategy="from_scratch")]
    table = comparison(runs)
    assert table["strategy"].tolist() == ["fine_tune", "from_scratch"]
    assert table["runs"].tolist() == [3, 1]
    values = pd.Series(accuracies)
    assert table["test accuracy"][0] == pytest.approx(values.mean())
    assert table["test accuracy std"][0] == pytest.approx(values.std())
    assert table["test accuracy"][1] == 0.5
    assert pd.isna(table["test accuracy std"][1])


def test_an_option_stands_for_the_keys_below_it():
    runs = [
        make_run("a", 0.5, seed=0, strategy="fine_tune"),
        make_run("b", 0.6, seed=0, strategy="from_scratch"),
    ]
    assert "strategy.factor" not in comparison(runs)


def test_a_key_that_differs_within_an_option_is_shown():
    runs = [make_run(f"{rate}", rate, seed=0, strategy="fine_tune", rate=rate) for rate in (0.1, 0.2)]
    runs.append(make_run("c", 0.3, seed=0, strategy="from_scratch"))
    table = comparison(runs)
    assert table["strategy.rate"].tolist() == [0.1, 0.2, 0.1] or set(table["strategy.rate"]) == {0.1, 0.2}
    assert len(table) == 3


def test_what_differs_leaves_out_what_is_alike():
    assert what_differs([{"a": 1, "b": 2}, {"a": 1, "b": 3}]) == [{"b": 2}, {"b": 3}]
    assert what_differs([{"a": 1}]) == [{}]


def test_failed_runs_are_counted_and_named(capsys):
    make_run("good", 0.5, seed=0, strategy="fine_tune")
    make_run("bad", None, seed=1, strategy="fine_tune")
    never = Run("sweep/never")
    never.path.mkdir()
    never.write_json("result.json", {"status": "failed", "error": "no such folder\nmore"})
    table = compare_sweep(Path("sweep"))
    assert table["runs"].tolist() == [1]
    assert table["failed"].tolist() == [1]
    shown = capsys.readouterr().out
    assert "failed: bad: no" in shown
    assert "failed: never: no such folder\n" in shown
    written = pd.read_csv("sweep/comparison.csv")
    assert written["test accuracy"][0] == 0.5


def test_the_table_of_a_single_run():
    run = make_run("a", 0.7, seed=0, strategy="fine_tune")
    table = comparison([run])
    assert table["test accuracy"].tolist() == [0.7]
    assert json.loads((run.path / "result.json").read_text())["status"] == "finished"
