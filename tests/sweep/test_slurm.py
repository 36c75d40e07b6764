"""Sweeps on a real Slurm: an array; jobs put back, preempted, out of time, cancelled; Ctrl-C and return.

Needs a controller with the partitions of scripts/slurm_up.sh: `make test-slurm`.
"""

from __future__ import annotations

import shlex
import signal
import subprocess
from pathlib import Path

import pytest

from tests.sweep.slurm_gate import (
    COMMAND,
    GATE,
    GATED,
    STEPS,
    TINY,
    ended,
    logs,
    runs,
    slurm,
    steps,
    submitted,
    sweep,
    until,
)
from tests.training.processes import command, in_child
from tests.training.test_resume import assert_same
from transferlab.run.run_folder import Run
from transferlab.training import runs as training_runs

pytestmark = pytest.mark.slurm

README = [
    line
    for line in (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("transferlab train -m hydra/launcher=slurm")
]


@pytest.fixture(autouse=True)
def _gate(_own_folder):
    Path("gate.py").write_text(GATE)
    Path("conf/strategy/objective").mkdir(parents=True)
    Path("conf/strategy/objective/gate.yaml").write_text("_target_: gate.Gate\nname: a\nat: [8]\n")


def train_alone(*arguments: str) -> str:
    """The folder of the same run, left alone and without Slurm; it has passed its gate."""
    assert in_child(lambda: training_runs.train([*arguments, "hydra.run.dir=alone"])) == 0
    return "alone"


def test_a_sweep_is_an_array_with_a_task_for_each_group():
    heads = [
        "strategy=fine_tune,feature_extraction",
        "strategy/head=linear",
        "features.cache=auto",
        "data.shots_seed=0",
    ]
    arguments = [*TINY, *heads, "strategy.learning_rates.base=0.001,0.01"]
    with sweep(*arguments) as running:
        code, shown = ended(running)
    assert code == 0, shown + logs()
    groups = submitted()
    assert sorted(len(names) for names in groups.values()) == [1, 1, 2]
    array = {job_id.partition("_")[0] for job_id in groups}
    assert len(array) == 1
    assert f"3 submitted to Slurm: {array.pop()}; what they say is in " in shown
    assert [run.status for run in runs()] == ["finished"] * 4
    assert shown.count("finished: ") == 3
    local = command(["train", "-m", *arguments, "hydra.sweep.dir=local", "hydra.launcher.jobs_at_once=1"])
    assert local[0] == 0
    for run in runs():
        assert_same(str(run.path), f"local/{run.path.name}")

    with sweep(*arguments) as running:
        code, shown = ended(running)
    assert code == 0
    assert "4 of 4 finished before, not run again" in shown
    assert submitted() == groups


def requeue(job_id: str) -> None:
    slurm("scontrol", "requeue", job_id)


def preempt(job_id: str) -> None:
    """Let a short job of more importance take the whole node."""
    slurm("sbatch", "--partition=urgent", "--exclusive", "--output=/dev/null", "--wrap=sleep 1")


def wait_for_the_limit(job_id: str) -> None:
    """Slurm itself sends the signal."""


@pytest.mark.parametrize(
    ("interrupts", "asked", "said"),
    [
        ({8: requeue, 11: preempt}, [], "interrupted\n"),
        (
            {8: preempt},
            ["hydra.launcher.partition=grace"],
            "asked by Slurm to give way: started again later",
        ),
        (
            {8: wait_for_the_limit},
            # Slurm looks every 30 s: the signal comes 30 to 60 s after the start, of a next turn too
            ["hydra.launcher.timeout_min=2", "hydra.launcher.signal_delay_s=60"],
            "reached its time limit of 2 min (hydra.launcher.timeout_min): started again later",
        ),
    ],
    ids=["requeued and preempted", "preempted with grace", "at the time limit"],
)
def test_cut_short_in_mid_epoch_it_ends_as_if_left_alone(interrupts, asked, said):
    arguments = [*GATED, "seed=3", f"strategy.objective.at=[{','.join(map(str, interrupts))}]"]
    with sweep(*arguments, *asked) as running:
        for step, interrupt in interrupts.items():
            until(Path(f"a.{step}").exists, running)
            (job_id,) = submitted()
            interrupt(job_id)
        code, shown = ended(running)
    assert code == 0, shown + logs()
    assert shown.count("waits in the queue again: ") >= len(interrupts)
    assert logs().count(said) >= len(interrupts)
    assert steps() == list(range(STEPS))  # none was run twice: it had saved in the very step
    (run,) = runs()
    assert_same(str(run.path), train_alone(*arguments))


def test_tasks_of_an_array_go_on_each_by_itself():
    """One of them has the id of the whole array as its own."""
    with sweep(*GATED, "strategy.objective.name=a,b", "hydra.launcher.partition=grace") as running:
        until(lambda: Path("a.8").exists() and Path("b.8").exists(), running)
        preempt(min(submitted()))
        code, shown = ended(running)
    assert code == 0, shown + logs()
    assert logs().count("asked by Slurm to give way: started again later") == 2
    assert steps("a") == steps("b") == list(range(STEPS))


def test_two_processes_that_slurm_has_started_cut_short_in_mid_epoch():
    arguments = [*GATED, "trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "data.batch_size=4"]
    with sweep(*arguments, "hydra.launcher.tasks_per_node=2", "seed=3") as running:
        until(Path("a.8").exists, running)
        (job_id,) = submitted()
        requeue(job_id)
        code, shown = ended(running)
    assert code == 0, shown + logs()
    assert "waits in the queue again: " in shown
    assert steps() == sorted([*range(STEPS), *range(STEPS)])
    (run,) = runs()
    assert run.predictions("test")["sample"].is_unique
    # Lightning starts the second process of this one, by the command line of the first
    alone = [*COMMAND, "train", *arguments, "seed=3", "hydra.run.dir=alone"]
    subprocess.run(alone, check=True, capture_output=True)
    assert_same(str(run.path), "alone")


def test_a_cancelled_job_is_recorded_and_the_sweep_ends():
    Path("b.8").touch()
    with sweep(*GATED, "strategy.objective.name=a,b") as running:
        until(Path("a.8").exists, running)
        cancelled, _ = submitted()  # in the order of the command line
        slurm("scancel", cancelled)
        code, shown = ended(running)
    assert code == 1, shown + logs()
    first, second = [Run(Path("sweep", name)) for (name,) in submitted().values()]
    assert [first.status, second.status] == ["interrupted", "finished"]
    assert first.result["error"] == f"Slurm's job {cancelled} was cancelled"
    assert f"interrupted: {first.path.name}: Slurm's job {cancelled} was cancelled" in shown
    assert len(Path("sweep/comparison.csv").read_text().splitlines()) == 3
    assert steps("b") == list(range(STEPS))


def test_jobs_go_on_after_ctrl_c_and_are_waited_for_and_resumed():
    with sweep(*GATED) as running:
        until(Path("a.8").exists, running)
        running.send_signal(signal.SIGINT)
        code, shown = ended(running)
        before = submitted()
        (job_id,) = before
        assert code == 130, shown
        assert f"Slurm goes on with 1; to end them: scancel {job_id}" in shown
        assert "To go on: transferlab resume sweep\n" in shown
        assert slurm("squeue", "--noheader", "--format=%T", f"--jobs={job_id}") == "RUNNING"
        with sweep(*GATED) as again:
            assert again.stdout is not None
            assert f"Slurm has 1 from before: {job_id}\n" in iter(again.stdout.readline, "")
            Path("a.open").touch()
            code, shown = ended(again)
    assert code == 0, shown + logs()
    assert submitted() == before
    assert steps() == list(range(STEPS))

    (run,) = runs()
    run.write_json("result.json", {"status": "interrupted"})
    resumed = [*COMMAND, "resume", "sweep", "allow=[gate]"]
    told = subprocess.run(resumed, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr
    assert len(submitted()) == 2
    assert run.status == "finished"


@pytest.mark.parametrize("written", README)
def test_commands_of_the_readme(written):
    short = ["hydra.launcher.poll_s=0.5", "trainer.max_epochs=1", "trainer.limit_train_batches=1"]
    own = [argument for argument in shlex.split(written)[1:] if "partition=" not in argument]
    told = subprocess.run(
        [*COMMAND, *own, *short, "hydra.sweep.dir=sweep"], capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stdout + told.stderr + logs()
    assert {run.status for run in runs()} == {"finished"}


def test_what_slurm_refuses_is_recorded():
    with sweep(*TINY, "hydra.launcher.partition=nowhere", "seed=0,1") as running:
        code, shown = ended(running)
    assert code == 1
    assert [run.status for run in runs()] == ["failed"] * 2
    assert "Slurm refuses the jobs: sbatch: error: invalid partition specified: nowhere" in shown


def test_processes_that_do_not_fit_are_refused():
    with sweep(*TINY, "hydra.launcher.tasks_per_node=2") as running:
        code, shown = ended(running)
    assert code == 1
    assert "trainer.num_nodes=1 trainer.devices=1: Slurm would start 2 processes of each job" in shown
    assert submitted() == {}
