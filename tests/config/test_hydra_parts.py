"""What a launcher is told is checked before anything runs."""

from __future__ import annotations

import pytest

from transferlab.config.compose import ConfigError
from transferlab.config.multirun import check_sweep


def problems(*overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        check_sweep(["seed=0,1", *overrides])
    return caught.value.problems


@pytest.fixture
def cluster(monkeypatch, tmp_path):
    """A machine with sbatch and submitit, as far as a look can tell."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "sbatch").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr("transferlab.config.hydra_parts.find_spec", lambda name: object())


def test_a_cluster_is_needed(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("transferlab.config.hydra_parts.find_spec", lambda name: None)
    first, second = problems("hydra/launcher=slurm")
    assert first.startswith("hydra/launcher=slurm: there is no sbatch here.")
    assert second.endswith("pip install 'transferlab[slurm]'.")


@pytest.mark.usefixtures("cluster")
def test_nothing_is_wrong_with_a_cluster():
    given = ["partition=gpu", "shell_before=[module load cuda]", 'further=["--exclude=node7"]', "mem_gb=1.5"]
    check_sweep(["seed=0,1", "hydra/launcher=slurm", *(f"hydra.launcher.{each}" for each in given)])


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ("timeout_min=1h", "a whole number, not text"),
        ("timeout_min=0", "at least 1"),
        ("partition=[a,b]", "text or null, not a list"),
        ("nodes=0", "at least 1"),
        ("tasks_per_node=0", "at least 1"),
        ("cpus_per_task=-1", "at least 1"),
        ("gpus_per_node=0", "at least 1, or null"),
        ("mem_gb=16GB", "a number or null, not text"),
        ("mem_gb=0.0", "above 0, or null"),
        ("jobs_at_once=0", "at least 1, or auto"),
        ("signal_delay_s=0", "at least 1"),
        ("poll_s=nan", "a finite number, above 0"),
        ("requeue=1", "true or false, not a whole number"),
        ("shell_before=module", "a list of text, not text"),
    ],
)
def test_wrong_values(given, rule):
    assert problems("hydra/launcher=slurm", f"hydra.launcher.{given}")[0] == (
        f"hydra.launcher.{given.replace('[a,b]', '[a, b]')}: must be {rule}."
    )


@pytest.mark.usefixtures("cluster")
def test_unknown_keys():
    (text,) = problems("hydra/launcher=slurm", "hydra.launcher.partitoin=gpu")
    assert text == "hydra.launcher.partitoin: there is no such key. Did you mean partition?"


def test_launchers_of_others_are_left_alone():
    check_sweep(["seed=0,1", "hydra/launcher=basic"])
