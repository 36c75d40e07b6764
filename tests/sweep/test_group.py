"""Groups of jobs that train together: recorded in each member's folder, and run again as a whole."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pandas as pd
import pytest

from tests.sweep.local.test_local_launcher import comparison, runs, statuses
from tests.training.processes import command
from tests.training.test_resume import assert_same
from transferlab.run.run_folder import Run
from transferlab.sweep.group import members_of
from transferlab.training import train

HEADS = [
    *("train", "-m", "strategy=feature_extraction", "features.cache=auto", "data.shots_per_class=4"),
    *("data.shots_seed=0", "data.batch_size=8", "trainer.max_epochs=2", "trainer.enable_progress_bar=false"),
    "strategy.learning_rates.base=0.01",
]


def sweep(folder: str, *further: str, prepare=lambda: None) -> tuple[int, str, str]:
    return command([*HEADS, f"hydra.sweep.dir={folder}", *further], prepare=prepare)


def die_after_the_first() -> None:
    """Let a group's process kill itself when its first member has finished."""
    original = train.run_group

    def some(members) -> None:
        original(members[:1])
        os.kill(os.getpid(), signal.SIGKILL)

    train.run_group = some


def untouched(folder: str) -> dict[int, int]:
    """When each run has written its result, by seed."""
    return {seed: (run.path / "result.json").stat().st_mtime_ns for seed, run in runs(folder).items()}


def test_a_group_is_one_process_recorded_with_each_member():
    code, shown, said = sweep("sweep", "seed=0,1,2")
    assert code == 0, said
    members = [run.path.name for run in runs("sweep").values()]
    assert f"\n{members[0]} and 2 more together\n" in shown
    for run in runs("sweep").values():
        assert json.loads((run.path / "group.json").read_text()) == {"members": members}
        assert [member.path.name for member in members_of(run)] == members
        assert run.status == "finished"
        assert (run.path / "environment.json").is_file()


@pytest.mark.slow
def test_a_killed_group_is_recorded_and_run_again_as_a_whole():
    assert sweep("alone", "seed=0,1")[0] == 0
    code, shown, _ = sweep("killed", "seed=0,1", prepare=die_after_the_first)
    assert code == 1
    assert statuses("killed") == {0: "finished", 1: "failed"}
    assert runs("killed")[1].result["error"] == "killed by SIGKILL"
    assert "1 finished, 1 failed: " in shown

    before = untouched("killed")
    assert sweep("killed", "seed=0,1")[0] == 0
    assert all(before[seed] != after for seed, after in untouched("killed").items())
    for seed, run in runs("alone").items():
        assert_same(str(runs("killed")[seed].path), str(run.path))
    pd.testing.assert_frame_equal(comparison("killed"), comparison("alone"))

    before = untouched("killed")
    code, shown, _ = sweep("killed", "seed=0,1,2")
    assert code == 0
    assert "2 of 3 finished before" in shown
    assert before.items() <= untouched("killed").items()
    assert members_of(runs("killed")[2]) == []


@pytest.mark.slow
def test_resume_of_a_member_runs_the_group_again():
    assert sweep("sweep", "seed=0,1", prepare=die_after_the_first)[0] == 1
    finished, failed = runs("sweep").values()
    code, shown, _ = command(["resume", str(finished.path)])
    assert code == 0
    assert f"one that trains with it has not: transferlab resume {failed.path}\n" in shown
    assert failed.status == "failed"
    before = untouched("sweep")
    code, shown, said = command(["resume", str(failed.path)])
    assert code == 0, said
    assert shown.splitlines()[-1] == str(failed.path)
    assert statuses("sweep") == {0: "finished", 1: "finished"}
    assert all(before[seed] != after for seed, after in untouched("sweep").items())


@pytest.mark.slow
def test_a_failing_member_leaves_the_others():
    rates = "strategy.learning_rates.base=3.0e+38,1.0e-2"  # more than a float holds, after two steps
    code, shown, _ = sweep("sweep", rates, "strategy.learning_rates.schedule=constant", "seed=0")
    assert code == 1
    found = [Run(file.parent) for file in Path("sweep").glob("*/config.yaml")]
    assert sorted(run.status for run in found) == ["failed", "finished"]
    assert "1 failed, 1 finished: " in shown
    assert all(len(members_of(run)) == 2 for run in found)


@pytest.mark.slow
def test_members_that_are_not_asked_for_are_run_again_too():
    assert sweep("sweep", "seed=0,1", prepare=die_after_the_first)[0] == 1
    code, shown, _ = sweep("sweep", "seed=1")
    assert code == 0
    assert "and 1 more together" in shown
    assert statuses("sweep") == {0: "finished", 1: "finished"}


@pytest.mark.slow
def test_a_group_that_is_no_more_is_run_anew_job_by_job():
    assert sweep("sweep", "seed=0,1", prepare=die_after_the_first)[0] == 1
    (kept,) = [run for run in runs("sweep").values() if run.status == "finished"]
    before = (kept.path / "result.json").stat().st_mtime_ns
    code, shown, _ = sweep("sweep", "seed=0,1", "features.cache=off")
    assert code == 0
    assert "together" not in shown
    assert (kept.path / "result.json").stat().st_mtime_ns == before
    assert statuses("sweep") == {0: "finished", 1: "finished"}
    assert not (runs("sweep")[1].path / "group.json").exists()
