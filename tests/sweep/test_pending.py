"""What is left to run of a sweep, from what its folders say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from transferlab.config.compose import started
from transferlab.run.run_folder import Run
from transferlab.sweep import run_jobs as pending
from transferlab.sweep.job import Job
from transferlab.sweep.run_jobs import members_of, pending_groups

HEADS = ["strategy=feature_extraction", "strategy/head=linear", "features.cache=auto"]


@pytest.fixture(scope="module")
def make_job():
    """A job of this seed, by default one that trains a head on features; its folder is not there yet."""
    with started("train", None) as composer:
        config = composer.compose(*composer.read(HEADS)).config

    def make(seed: int, **changed) -> Job:
        own = OmegaConf.merge(config, {"seed": seed, "features": changed})
        return Job(own, Run(Path("sweep").resolve() / f"seed={seed}"), {}, [])

    return make


def leave(job: Job, status: str, *, group: list[Job] | None = None) -> None:
    """Make the folder that a run of this job would leave."""
    job.run.path.mkdir(parents=True)
    shown = OmegaConf.masked_copy(job.config, [str(key) for key in job.config if key != "allow"])
    OmegaConf.save(shown, job.run.config_file)
    job.run.write_json("result.json", {"status": status})
    if group is not None:
        job.run.write_json("group.json", {"members": [other.run.path.name for other in group]})


def seeds(groups: list[list[Job]]) -> list[list[int]]:
    return [[job.config.seed for job in group] for group in groups]


def test_new_jobs_by_group(make_job):
    jobs = [make_job(0), make_job(1, cache="off"), make_job(2), make_job(3, views=2)]
    assert seeds(pending_groups(jobs)) == [[0, 2], [1], [3]]


def test_one_that_has_finished_is_left_out(make_job):
    jobs = [make_job(seed) for seed in range(3)]
    leave(jobs[1], "finished")
    assert seeds(pending_groups(jobs)) == [[0, 2]]


@pytest.mark.parametrize("status", ["running", "failed", "interrupted"])
def test_one_that_was_cut_short_by_itself_goes_on_by_itself(make_job, status):
    jobs = [make_job(seed) for seed in range(3)]
    leave(jobs[1], status)
    assert seeds(pending_groups(jobs)) == [[0, 2], [1]]


def test_one_whose_config_was_wrong_before_is_new(make_job):
    jobs = [make_job(seed) for seed in range(3)]
    jobs[1].run.path.mkdir(parents=True)
    jobs[1].run.write_json("result.json", {"status": "failed"})
    assert seeds(pending_groups(jobs)) == [[0, 1, 2]]


def test_a_group_of_which_one_has_not_finished_is_run_as_it_was(make_job):
    jobs = [make_job(seed) for seed in range(4)]
    for job, status in zip(jobs[1:], ["finished", "failed", "finished"], strict=True):
        leave(job, status, group=jobs[1:])
    assert seeds(pending_groups(jobs)) == [[0], [1, 2, 3]]
    assert seeds(pending_groups(jobs[:2])) == [[0], [1, 2, 3]]  # also those that are not asked for


def test_a_group_that_has_finished_is_left_out(make_job):
    jobs = [make_job(seed) for seed in range(3)]
    for job in jobs[1:]:
        leave(job, "finished", group=jobs[1:])
    assert seeds(pending_groups(jobs)) == [[0]]


def test_a_recorded_group_is_read_once(make_job, monkeypatch):
    jobs = [make_job(seed) for seed in range(3)]
    for job in jobs:
        leave(job, "finished", group=jobs)
    read = []
    monkeypatch.setattr(pending, "members_of", lambda run: read.append(run) or members_of(run))
    assert pending_groups(jobs) == []
    assert [run.path for run in read] == [jobs[0].run.path]


def test_members_whose_folders_are_gone(make_job):
    jobs = [make_job(seed) for seed in range(3)]
    leave(jobs[0], "failed", group=jobs)
    assert seeds(pending_groups(jobs[:1])) == [[0]]
    leave(jobs[1], "finished", group=jobs)
    assert seeds(pending_groups(jobs)) == [[0, 1], [2]]


def test_a_group_that_may_no_longer_train_together(make_job):
    jobs = [make_job(seed, cache="off") for seed in range(2)]
    leave(jobs[0], "finished", group=jobs)
    leave(jobs[1], "failed", group=jobs)
    assert seeds(pending_groups(jobs)) == [[1]]


def test_a_job_asked_for_twice(make_job):
    assert seeds(pending_groups([make_job(0), make_job(0)])) == [[0]]


def test_a_job_survives_being_told_to_another_process(make_job):
    job = make_job(3)
    told = Job.from_json(json.loads(json.dumps(job.as_json())))
    assert told.config == job.config
    assert told.run.path == job.run.path
    assert (told.choices, told.warnings) == (job.choices, job.warnings)
