"""What sbatch is handed, and what is remembered of it; sbatch itself answers from a script."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from submitit import SlurmExecutor
from submitit.core.utils import DelayedSubmission

from transferlab.run.errors import UserError
from transferlab.run.processes import command
from transferlab.run.run_folder import Run
from transferlab.sweep.job import Job
from transferlab.sweep.slurm.array import TASK, submit, submitted_before
from transferlab.sweep.slurm.slurm_settings import SlurmSettings

FOLDER = Path("sweep/slurm")


@pytest.fixture
def sbatch(monkeypatch):
    """Lets sbatch do this; it is told the file of the batch script."""

    def does(line: str) -> None:
        Path("bin").mkdir()
        for name in ("sbatch", "srun"):
            Path("bin", name).write_text(f"#!/bin/sh\n{line}\n")
            Path("bin", name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{Path('bin').resolve()}:{os.environ['PATH']}")

    return does


def groups(*seeds: int) -> list[list[Job]]:
    return [[Job(OmegaConf.create({"seed": seed}), Run(f"sweep/seed={seed}"), {}, [])] for seed in seeds]


def test_an_array_and_who_is_which_task(sbatch):
    sbatch('cat "$1" > script; echo "Submitted batch job 12"')
    first, second = groups(0, 1)
    second += groups(2)[0]
    found = submit([first, second], SlurmSettings(jobs_at_once=1), FOLDER)
    assert [(one.job_id, one.jobs) for one in found] == [("12_0", first), ("12_1", second)]
    assert submitted_before(FOLDER) == {"12_0": ["seed=0"], "12_1": ["seed=1", "seed=2"]}
    lines = Path("script").read_text().splitlines()
    assert "#SBATCH --array=0-1%1" in lines
    assert not any("--dependency" in line for line in lines)


def test_after_another_one(sbatch):
    sbatch('cat "$1" > script; echo "Submitted batch job 13"')
    (found,) = submit(groups(3), SlurmSettings(), FOLDER, after="12")
    assert found.job_id == "13"
    assert "#SBATCH --dependency=afterany:12" in Path("script").read_text().splitlines()


def test_what_was_submitted_before_is_kept(sbatch):
    assert submitted_before(FOLDER) == {}
    FOLDER.mkdir(parents=True)
    (FOLDER / "runs_of_7.json").write_text('{"7": ["seed=0"]}')
    sbatch('echo "Submitted batch job 12"')
    submit(groups(1), SlurmSettings(), FOLDER)
    assert submitted_before(FOLDER) == {"7": ["seed=0"], "12": ["seed=1"]}


def test_a_refusal(sbatch):
    sbatch("echo 'sbatch: error: invalid partition' >&2; exit 1")
    with pytest.raises(UserError, match=r"^Slurm refuses the jobs: sbatch: error: invalid partition"):
        submit(groups(0, 1), SlurmSettings(), FOLDER)
    assert submitted_before(FOLDER) == {}


def test_a_task_imports_nothing_from_the_working_folder():
    """`transferlab task` does what submitit's own module would, which `python -m` finds beside a json.py."""
    folder = Path("slurm").absolute()
    folder.mkdir()
    DelayedSubmission(os.getpid).dump(folder / "123_submitted.pkl")
    Path("json.py").write_text("import pathlib\npathlib.Path('canary').touch()\n")
    zeros = dict.fromkeys(("SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODEID"), "0")
    ones = dict.fromkeys(("SLURM_NTASKS", "SLURM_JOB_NUM_NODES"), "1")

    class Executor(SlurmExecutor):
        affinity = classmethod(lambda cls: 1)  # there is no sbatch here

    slurm = {"SUBMITIT_EXECUTOR": "slurm", "SLURM_JOB_ID": "123", **zeros, **ones}
    handed = Executor(folder, python=shlex.join(command(TASK)))._submitit_command_str
    done = subprocess.run(shlex.split(handed), env={**os.environ, **slurm}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (folder / "123_0_result.pkl").is_file()
    assert not Path("canary").exists()
