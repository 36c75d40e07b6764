"""Which runs are read, and what of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.evaluation.comparison.run_folders import make_run
from transferlab.evaluation.comparison.grouping import Recorded
from transferlab.run.errors import UserError
from transferlab.run.run_folder import Run
from transferlab.sweep.gather import gather


def names(*folders: str) -> list[str]:
    return [run.path.name for run in gather([Path(folder) for folder in folders])]


def test_runs_of_a_sweep_by_name_and_single_runs_each_once():
    for name in ("b", "a", "c"):
        make_run(name, 0.5)
    Path("sweep/plots").mkdir()
    Path("sweep/multirun.yaml").write_text("")
    assert names("sweep") == ["a", "b", "c"]
    assert names("sweep/c", "sweep", "./sweep/../sweep/a") == ["c", "a", "b"]


def test_what_is_read():
    run = make_run("a", 0.5, seed=3, choices={"data": "digits"}, settings={"strategy.rate": 1e-5})
    (read,) = gather([run.path])
    assert read.config["seed"] == 3
    assert read.config["strategy"]["rate"] == 1e-5
    assert read.choices["data"] == "digits"
    assert read.result == run.result
    assert (read.status, read.reason) == ("finished", "")


def test_runs_without_a_result_or_a_config():
    failed = Run("sweep/failed")
    failed.path.mkdir(parents=True)
    failed.write_json("result.json", {"status": "failed", "error": "line 1\nline 2"})
    begun = make_run("begun", 0.5)
    (begun.path / "result.json").unlink()
    assert gather([Path("sweep")])[0].status == "missing"
    assert gather([Path("sweep")])[1] == Recorded(
        Path("sweep/failed"), {}, {}, {"status": "failed", "error": "line 1\nline 2"}
    )
    assert gather([failed.path])[0].reason == "line 1"


def test_mistakes():
    Path("empty/deeper/run").mkdir(parents=True)
    with pytest.raises(UserError, match=r"^gone: there is no such folder\.$"):
        gather([Path("gone")])
    with pytest.raises(
        UserError, match=r"^empty: there is no run in it\. Give folders of runs, or of sweeps\.$"
    ):
        gather([Path("empty")])
    run = make_run("a", 0.5)
    (run.path / "config.yaml").write_text("a: [")
    with pytest.raises(UserError, match=r"config\.yaml: this is not readable YAML"):
        gather([run.path])
    (run.path / "result.json").write_text("{")
    (run.path / "config.yaml").write_text("a: 1")
    with pytest.raises(UserError, match=r"result\.json: this is not readable JSON"):
        gather([run.path])
