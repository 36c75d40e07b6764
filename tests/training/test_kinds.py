"""Another kind of run leaves a run folder like any other: sweeps, resume and compare take it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tests.training import tiny_kind
from tests.training.processes import command, in_child, kill_at_call, was_killed
from transferlab.config.compose import ConfigError, compose_checked
from transferlab.config.schema import KINDS
from transferlab.run.run_folder import Run
from transferlab.training import runs
from transferlab.training.heads.sharing import groups_of

PRIOR = [f"kind={tiny_kind.NAME}", "data.shots_per_class=5"]


@pytest.fixture(autouse=True)
def _known(monkeypatch):
    monkeypatch.setitem(KINDS, tiny_kind.NAME, tiny_kind.TARGET)


def test_an_unknown_kind_is_refused_with_a_close_name():
    with pytest.raises(ConfigError, match=r"kind=trian: must be train or prior\. Did you mean train\?"):
        compose_checked(["kind=trian"])


def test_it_leaves_a_run_folder_and_python_gets_a_run():
    run = runs.train([*PRIOR, "hydra.run.dir=run"])
    assert run.status == "finished"
    assert run.result["test"]["accuracy"] == pytest.approx(0.1, abs=0.05)
    assert {"config.yaml", "environment.json", "result.json"} <= {file.name for file in run.path.iterdir()}
    assert run.predictions("test")["predicted"].nunique() == 1


def test_killed_and_resumed():
    def killed() -> None:
        kill_at_call(tiny_kind, "after_counting", 1)
        runs.train([*PRIOR, "hydra.run.dir=run"])

    assert was_killed(in_child(killed))
    assert Run("run").status == "interrupted"
    assert in_child(lambda: runs.resume("run")) == 0
    assert Run("run").status == "finished"
    assert "resumed: True" in Run("run").result["warnings"]


def test_a_sweep_of_it_is_run_compared_resumed_and_never_a_group_of_heads():
    sweep = ["train", "-m", *PRIOR, "hydra.sweep.dir=sweep", "strategy=feature_extraction", "seed=0,7"]
    code, shown, said = command(sweep)
    assert code == 0, said
    table = pd.read_csv("sweep/comparison.csv")
    assert table[["runs", "seeds", "unfinished"]].values.tolist() == [[2, 2, 0]]
    assert "test accuracy" in table
    configs = [
        compose_checked([*PRIOR, "strategy=feature_extraction", f"seed={seed}"]).config for seed in (0, 7)
    ]
    assert groups_of(configs) == [[0], [1]]

    (first, *_) = sorted(Path("sweep").glob("*/result.json"))
    first.unlink()
    code, shown, said = command(["resume", "sweep"])
    assert (code, "1 of 2 finished before, not run again" in shown) == (0, True), said
    code, shown, said = command(["compare", "sweep"])
    assert code == 0, said
