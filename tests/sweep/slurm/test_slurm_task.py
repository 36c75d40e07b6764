"""A task that is told to end: which signal means what, and when it is started again."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from tests.training.test_resume import assert_same, overrides
from transferlab.config.compose import compose_checked
from transferlab.run.run_folder import Run
from transferlab.sweep import run_jobs as running
from transferlab.sweep.job import Job
from transferlab.sweep.slurm import queue as slurm_queue
from transferlab.sweep.slurm import slurm_task
from transferlab.sweep.slurm.slurm_settings import SlurmSettings
from transferlab.sweep.slurm.slurm_task import SlurmTask

USR2, TERM = signal.SIGUSR2, signal.SIGTERM


@pytest.fixture
def slurm(monkeypatch):
    """What Slurm is asked to start again; it lists the job as running, and refuses nothing."""
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    monkeypatch.setenv("SLURM_JOB_NAME", "transferlab")
    monkeypatch.setenv("SUBMITIT_EXECUTOR", "slurm")
    for absent in ("SLURM_PROCID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"):
        monkeypatch.delenv(absent, raising=False)
    asked: list[str] = []
    monkeypatch.setattr(slurm_queue, "state_of", lambda job_id: "RUNNING")
    monkeypatch.setattr(slurm_queue, "requeue", asked.append)
    return asked


def call(monkeypatch, action: Callable[[Run], bool], **settings) -> Run:
    """Call a task of one job, whose work is this."""
    run = Run(Path("run").resolve())
    run.path.mkdir(exist_ok=True)
    monkeypatch.setattr(running, "run_jobs", lambda jobs: action(jobs[0].run))
    job = Job(OmegaConf.create({"seed": 0}), run, {}, [])
    SlurmTask([job.as_json()], SlurmSettings(**settings))()
    return run


def interrupted_by(number: int, *, saves: bool) -> Callable[[Run], bool]:
    """Work that gets a signal, and ends as a training does."""

    def action(run: Run) -> bool:
        os.kill(os.getpid(), number)
        if saves:
            run.last_checkpoint.parent.mkdir(exist_ok=True)
            run.last_checkpoint.touch()
        run.write_json("result.json", {"status": "interrupted"})
        raise KeyboardInterrupt

    return action


def test_at_its_time_limit_it_saves_and_is_started_again(monkeypatch, slurm, capsys):
    run = call(monkeypatch, interrupted_by(USR2, saves=True), timeout_min=1)
    assert slurm == ["12"]
    assert run.result == {"status": "interrupted"}
    assert "reached its time limit of 1 min (hydra.launcher.timeout_min): started again later" in (
        capsys.readouterr().out
    )


def test_a_time_limit_that_leads_nowhere_ends_it(monkeypatch, slurm):
    run = call(monkeypatch, interrupted_by(USR2, saves=False), timeout_min=1)
    assert slurm == []
    assert run.status == "failed"
    assert run.result["error"].endswith("before it could save anything new: raise it")


def test_told_to_give_way_long_before_its_time_limit_it_may_start_over(monkeypatch, slurm):
    run = call(monkeypatch, interrupted_by(USR2, saves=False), timeout_min=60)
    assert slurm == ["12"]
    assert run.result == {"status": "interrupted"}


@pytest.mark.parametrize(("state", "again"), [("RUNNING", ["12"]), ("COMPLETING", []), (None, [])])
def test_sigterm_is_answered_only_while_slurm_lists_it_as_running(monkeypatch, slurm, state, again):
    monkeypatch.setattr(slurm_queue, "state_of", lambda job_id: state)
    run = call(monkeypatch, interrupted_by(TERM, saves=True))
    assert slurm == again
    assert run.result == {"status": "interrupted"}


def test_a_task_of_an_array_speaks_of_itself_alone(monkeypatch, slurm):
    """Slurm gives one of the tasks the id of the whole array, and would start all of them again."""
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "12")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    looked_at = []
    monkeypatch.setattr(slurm_queue, "state_of", lambda job_id: looked_at.append(job_id) or "RUNNING")
    call(monkeypatch, interrupted_by(TERM, saves=True))
    assert looked_at == slurm == ["12_3"]


def test_without_requeue_it_says_why_it_ended(monkeypatch, slurm):
    run = call(monkeypatch, interrupted_by(USR2, saves=True), timeout_min=1, requeue=False)
    assert slurm == []
    assert run.status == "interrupted"
    assert run.result["error"].endswith("hydra.launcher.requeue=true would have it go on")


def test_a_refusal_is_recorded(monkeypatch, slurm):
    monkeypatch.setattr(slurm_queue, "requeue", lambda job_id: "Access denied")
    run = call(monkeypatch, interrupted_by(USR2, saves=True), timeout_min=1)
    assert run.status == "interrupted"
    assert run.result["error"].endswith("and Slurm does not start it again: Access denied")


def test_what_has_finished_is_not_run_again(monkeypatch, slurm):
    Run("run").write_json("result.json", {"status": "finished"})
    call(monkeypatch, lambda run: pytest.fail("it was run"))


def test_a_failed_job_is_a_failed_task(monkeypatch, slurm):
    def fail(run: Run) -> bool:
        run.write_json("result.json", {"status": "failed"})
        return True

    with pytest.raises(SystemExit) as left:
        call(monkeypatch, fail)
    assert left.value.code == 1


def test_it_waits_for_the_lock_of_a_process_that_is_ending(monkeypatch, slurm):
    monkeypatch.setattr(slurm_task.time, "sleep", lambda seconds: None)
    held = iter([False, False])

    def action(run: Run) -> bool:
        if not next(held, True):
            return False
        run.write_json("result.json", {"status": "finished"})
        return True

    assert call(monkeypatch, action).status == "finished"


def test_other_processes_of_a_job_do_not_speak_for_it(monkeypatch, slurm):
    from transferlab.training import runs

    monkeypatch.setenv("SLURM_PROCID", "1")
    joined = []
    monkeypatch.setattr(runs, "_run", lambda config, run, *, resume: joined.append(resume))
    call(monkeypatch, lambda run: pytest.fail("it leads"))
    assert joined == [True]


@pytest.mark.slow
def test_a_process_on_each_of_two_nodes_trains_as_two_on_one():
    """With the variables that srun sets; both nodes are this machine."""
    two = [*overrides(), "data.batch_size=4", "trainer=ddp", "trainer.accelerator=cpu"]
    config = compose_checked([*two, "trainer.devices=1", "trainer.num_nodes=2"]).config
    task = SlurmTask([Job(config, Run(Path("run").resolve()), {}, []).as_json()], SlurmSettings(nodes=2))
    variables = {
        "SLURM_JOB_ID": str(os.getpid()),  # from which the port follows
        "SLURM_NTASKS": "2",
        "SLURM_NTASKS_PER_NODE": "1",
        "SLURM_NODELIST": "localhost",
        "SLURM_LOCALID": "0",
    }

    def on_node(number: int) -> None:
        os.environ.update({**variables, "SLURM_NODEID": str(number), "SLURM_PROCID": str(number)})
        task()

    forked = multiprocessing.get_context("fork")
    nodes = [forked.Process(target=on_node, args=(number,)) for number in (0, 1)]
    for node in nodes:
        node.start()
    for node in nodes:
        node.join()
    assert [node.exitcode for node in nodes] == [0, 0]
    alone = [
        sys.executable,
        "-m",
        "transferlab",
        "train",
        *two,
        "trainer.devices=2",
        "hydra.run.dir=one_node",
    ]
    subprocess.run(alone, check=True, capture_output=True)
    assert_same("run", "one_node")


def test_lightning_does_not_take_over(monkeypatch, slurm):
    """Its own handling of Slurm would requeue jobs too, and count their processes."""
    from pytorch_lightning.plugins.environments import LightningEnvironment, SLURMEnvironment

    monkeypatch.setenv("SLURM_NTASKS", "1")
    assert SLURMEnvironment.detect()
    found = []

    def action(run: Run) -> bool:
        import pytorch_lightning as pl

        trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
        found.append(trainer._accelerator_connector.cluster_environment)
        run.write_json("result.json", {"status": "finished"})
        return True

    call(monkeypatch, action)
    assert isinstance(found[0], LightningEnvironment)
