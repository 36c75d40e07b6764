"""How many jobs run at once and what each gets, on machines of any kind."""

from __future__ import annotations

import pytest
from omegaconf import OmegaConf

from transferlab.data.loading import workers
from transferlab.sweep.local import job_schedule as schedule
from transferlab.sweep.local.job_schedule import (
    Schedule,
    free_memory_gib,
    make_schedule,
    needs_the_machine,
    uses_gpu,
)


def jobs(count: int, **trainer) -> list:
    config = {"accelerator": "auto", "devices": 1, "num_nodes": 1, **trainer}
    return [OmegaConf.create({"trainer": config})] * count


@pytest.fixture
def machine(monkeypatch):
    """Makes this machine look like another one."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)

    def look(cores: int, memory_gib: float = 1000.0, gpus: tuple[str, ...] = ()) -> None:
        monkeypatch.setattr(workers, "all_cores", lambda: cores)
        monkeypatch.setattr(schedule, "free_memory_gib", lambda: memory_gib)
        monkeypatch.setattr(schedule, "visible_gpus", lambda: gpus)

    return look


@pytest.mark.parametrize(
    ("cores", "memory_gib", "count", "expected"),
    [
        (8, 1000, 20, Schedule(8, 1)),
        (8, 1000, 3, Schedule(3, 2)),
        (8, 1000, 1, Schedule(1, None)),
        (8, 17, 20, Schedule(4, 2)),
        (8, 2, 20, Schedule(1, None)),
        (1, 1000, 20, Schedule(1, None)),
    ],
)
def test_as_many_as_cores_and_memory_allow(machine, cores, memory_gib, count, expected):
    machine(cores, memory_gib)
    assert make_schedule(jobs(count), "auto") == expected


def test_as_many_as_asked_for(machine):
    machine(8, 2)
    assert make_schedule(jobs(20), 4) == Schedule(4, 2)
    assert make_schedule(jobs(3), 4) == Schedule(3, 2)
    assert make_schedule(jobs(20), 16) == Schedule(16, 1)


def test_one_on_each_gpu(machine):
    machine(16, 2, ("0", "1", "2", "3"))
    found = make_schedule(jobs(20), "auto")
    assert found == Schedule(4, 4, ("0", "1", "2", "3"))
    assert [found.variables(place)["CUDA_VISIBLE_DEVICES"] for place in range(4)] == ["0", "1", "2", "3"]
    several_each = make_schedule(jobs(20), 6)
    assert [several_each.variables(place)["CUDA_VISIBLE_DEVICES"] for place in (0, 4, 5)] == ["0", "0", "1"]
    assert "CUDA_VISIBLE_DEVICES" not in make_schedule(jobs(1), "auto").variables(0)


def test_gpus_are_left_alone_by_jobs_on_the_cpu(machine):
    machine(4, 1000, ("0",))
    assert make_schedule(jobs(4, accelerator="cpu"), "auto") == Schedule(4, 1)
    assert not uses_gpu(jobs(1, accelerator="cpu")[0])
    assert uses_gpu(jobs(1)[0])


def test_a_gpu_that_is_not_here_is_told_by_the_job_itself(machine):
    machine(4)
    assert uses_gpu(jobs(1, accelerator="gpu")[0])
    assert make_schedule(jobs(4, accelerator="gpu"), "auto").at_once == 1


@pytest.mark.parametrize(
    ("trainer", "expected"),
    [
        ({"devices": 1}, False),
        ({"devices": "1"}, False),
        ({"devices": 2}, True),
        ({"devices": [1]}, True),
        ({"devices": "auto"}, True),
        ({"num_nodes": 2}, True),
    ],
)
def test_jobs_on_several_devices_run_by_themselves(machine, trainer, expected):
    machine(8)
    config = jobs(1, **trainer)
    assert needs_the_machine(config[0]) == expected
    assert make_schedule([*config, *config], "auto").at_once == (1 if expected else 2)


def test_threads_and_readers_of_images_are_bounded_by_the_share(machine, monkeypatch):
    machine(8)
    found = make_schedule(jobs(2), "auto").variables(0)
    assert found["OMP_NUM_THREADS"] == "4"
    monkeypatch.setenv(workers.SHARE, found[workers.SHARE])
    assert workers.usable_cores() == 4
    assert workers.choose_workers("auto", in_memory=False) == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert make_schedule(jobs(2), "auto").threads == 2
    assert make_schedule(jobs(1), "auto").variables(0) == {}


def test_memory_is_read_from_this_machine():
    assert 0 < free_memory_gib() < 2**20
