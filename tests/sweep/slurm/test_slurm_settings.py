"""What Slurm is asked for, as the script that submitit writes says it; and what does not fit."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf
from submitit.slurm.slurm import _make_sbatch_string

from transferlab.sweep.slurm.slurm_settings import SlurmSettings


def script(settings: SlurmSettings, *, tasks: int = 3) -> list[str]:
    """The lines of the batch script of an array."""
    parameters = settings.for_submitit()
    return _make_sbatch_string("RUN", Path("logs"), map_count=tasks, **parameters).splitlines()


def test_defaults():
    lines = script(SlurmSettings())
    for line in (
        "--job-name=transferlab",
        "--time=240",
        "--mem=16384M",
        "--nodes=1",
        "--ntasks-per-node=1",
        "--cpus-per-task=4",
        "--signal=USR2@120",
        "--requeue",
        "--array=0-2%3",
        "--open-mode=append",
    ):
        assert f"#SBATCH {line}" in lines
    text = "\n".join(lines)
    for absent in ("--partition", "--account", "--qos", "--constraint", "--gpus", "no-requeue"):
        assert absent not in text
    (command,) = [line for line in lines if line.startswith("srun")]
    assert "--cpus-per-task=4 --kill-on-bad-exit=1 RUN" in command


def test_everything_said():
    settings = SlurmSettings(
        partition="gpu",
        account="lab",
        qos="long",
        constraint="a100",
        gpus_per_node=2,
        mem_gb=1.5,
        jobs_at_once=2,
        requeue=False,
        shell_before=["module load cuda"],
        further=["--exclude=node7", "--mail-type=END", "--exclusive"],
    )
    lines = script(settings)
    for line in (
        "--partition=gpu",
        "--account=lab",
        "--qos=long",
        "--constraint=a100",
        "--gpus-per-node=2",
        "--mem=1536M",
        "--array=0-2%2",
        "--no-requeue",
        "--exclude=node7",
        "--mail-type=END",
        "--exclusive",
    ):
        assert f"#SBATCH {line}" in lines
    assert lines.index("module load cuda") < next(n for n, line in enumerate(lines) if "srun" in line)
    assert "#SBATCH --requeue" not in lines


def test_only_slurm_limits_how_many_run_at_a_time():
    assert "#SBATCH --array=0-999%1000" in script(SlurmSettings(), tasks=1000)  # submitit would have 256
    assert "#SBATCH --array=0-999%300" in script(SlurmSettings(jobs_at_once=300), tasks=1000)


@pytest.mark.parametrize(
    ("settings", "trainer", "mend"),
    [
        ({}, {"devices": 1, "num_nodes": 1}, None),
        ({}, {"devices": 4, "num_nodes": 1}, None),  # one process that starts three more
        ({}, {"devices": 1, "num_nodes": 2}, "set trainer.num_nodes=1"),
        ({"nodes": 2}, {"devices": 1, "num_nodes": 1}, "set trainer.num_nodes=2"),
        ({"nodes": 2}, {"devices": 2, "num_nodes": 2}, "set trainer.devices=1"),
        ({"tasks_per_node": 4}, {"devices": 1, "num_nodes": 1}, "set trainer.devices=4"),
        ({"tasks_per_node": 4, "nodes": 2}, {"devices": 4, "num_nodes": 2}, None),
    ],
)
def test_processes_must_be_as_many_as_the_trainer_expects(settings, trainer, mend):
    found = SlurmSettings(**settings).misfit(OmegaConf.create({"trainer": trainer}))
    assert found is None if mend is None else found is not None and found.endswith(f"; {mend}.")
