"""A sweep through a stand-in for a cluster, whose submit command returns at once."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.sweep.local.test_local_launcher import SWEEP, runs, statuses
from tests.training.processes import command
from tests.training.test_resume import assert_same
from transferlab.sweep.shell.command_settings import CommandSettings

# submit FOLDER NUMBER COMMAND: runs it in the background; once, job 1 is killed after a checkpoint
SUBMIT = """
echo "submitted $1"
setsid sh -c "exec $3" > engine.txt 2>&1 &
if [ "$2" = 1 ]; then
  job=$!
  { while [ ! -e "$1/checkpoints/last.ckpt" ]; do sleep 0.05; done
    touch killed; kill -9 -$job; } > /dev/null 2>&1 &
fi
"""
TEMPLATE = "hydra.launcher.template='sh submit.sh {folder} {number} {command}'"
HOW = ["hydra/launcher=command", TEMPLATE, "hydra.launcher.wait=record", "hydra.launcher.poll_s=0.2"]


@pytest.mark.slow
def test_a_killed_job_is_recorded_and_resumed_and_nothing_else_is_run_again():
    Path("submit.sh").write_text(SUBMIT)
    code, shown, said = command([*SWEEP, "hydra.sweep.dir=sweep", "seed=0,1", *HOW])
    assert code == 1, shown + said
    assert statuses("sweep") == {0: "finished", 1: "failed"}
    killed = runs("sweep")[1]
    assert killed.result["error"] == (
        f"lost by its engine, or ended, before the run had: submitted {killed.path.resolve()}"
    )
    assert killed.last_checkpoint.is_file()
    assert f"failed: {killed.path.name}: lost by its engine" in shown

    finished = (runs("sweep")[0].path / "result.json").stat().st_mtime_ns
    code, shown, said = command(["resume", "sweep", TEMPLATE])
    assert code == 0, shown + said
    assert statuses("sweep") == {0: "finished", 1: "finished"}
    assert "1 of 2 finished before, not run again\n" in shown
    assert (runs("sweep")[0].path / "result.json").stat().st_mtime_ns == finished
    assert len(list(Path("sweep/command").glob("tl-*.json"))) == 3

    local = [*SWEEP, "hydra.sweep.dir=local", "hydra.launcher.jobs_at_once=2", "seed=0,1"]
    assert command(local)[0] == 0
    for seed, run in runs("local").items():
        assert_same(str(runs("sweep")[seed].path), str(run.path))


NONE = ["hydra.launcher.alive=null", "hydra.launcher.cancel=null"]


def test_a_line_of_shell_is_never_taken_from_a_folder():
    sweep = Path("sweep")
    sweep.mkdir()
    target = "hydra_plugins.transferlab_plugins.CommandLauncher"
    lines = {"template": "touch acted; {command}", "alive": "touch acted", "cancel": "touch acted"}
    launcher = {"_target_": target, **asdict(CommandSettings(**lines, wait="record"))}
    about = {
        "command": "transferlab train -m",
        "launcher": launcher,
        "sweeper": "hydra._internal.core_plugins.",
    }
    (sweep / "sweep.json").write_text(json.dumps(about))
    (sweep / "jobs.jsonl").write_text(json.dumps({"base": "seed=0", "folder": "seed=0"}) + "\n")
    code, _, said = command(["resume", "sweep"])
    assert code == 2
    assert "launcher.template=touch acted; {command} would reach a shell" in said
    code, _, said = command(["resume", "sweep", "hydra.launcher.template='true {jobb}'", *NONE])
    assert code == 2
    assert "there is no {jobb}. Did you mean job?" in said
    command(["resume", "sweep", "hydra.launcher.template='true {command}'", *NONE])
    assert not Path("acted").exists()


def test_a_run_has_no_launcher():
    Path("run").mkdir()
    code, _, said = command(["resume", "run", "hydra.launcher.jobs_at_once=2"])
    assert code == 2
    assert said == "hydra.launcher.jobs_at_once=2: run is a run, which has no launcher. Fix: leave it out.\n"
