"""Which folder a job has: one of its own for each state of the data, and who is told of a change."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from transferlab.run.errors import UserError
from transferlab.run.run_folder import Run
from transferlab.sweep import plan
from transferlab.sweep.gather import gather
from transferlab.sweep.job import Job
from transferlab.sweep.job_inputs import short_hash
from transferlab.sweep.plan import Plan
from transferlab.sweep.sweep_record import SweepRecord, left_behind_lines

ONE, TWO = (
    {"data.source": "1", "backbone.weights": "random"},
    {"data.source": "2", "backbone.weights": "random"},
)


@pytest.fixture
def sweep() -> Path:
    return Path("sweep").resolve()


@pytest.fixture
def reads(monkeypatch):
    """What jobs read from now on; None: it cannot be read."""

    def now(inputs) -> None:
        def inputs_of(config):
            if inputs is None:
                raise UserError("data.root=photos does not exist")
            return inputs

        monkeypatch.setattr(plan, "inputs_of", inputs_of)

    return now


def job(sweep: Path, seed: int = 0) -> Job:
    return Job(
        OmegaConf.create({"seed": seed, "allow": ["mine"]}), Run(sweep / f"seed={seed}_0badf00d"), {}, []
    )


def placed(sweep: Path, seed: int = 0) -> Run:
    """Where a process that begins now puts a job."""
    found = Plan(folder=sweep)._placed(job(sweep, seed), [f"++seed={seed}"])
    return found.run if isinstance(found, Job) else found


def finish(run: Run) -> None:
    run.path.mkdir(parents=True)
    run.config_file.write_text("seed: 0\n")
    run.write_json("result.json", {"status": "finished"})


def test_a_folder_of_its_own_for_other_data_and_the_same_one_when_it_comes_back(sweep, reads, capsys):
    reads(ONE)
    first = placed(sweep)
    assert first.path == sweep / f"seed=0_0badf00d-{short_hash(ONE)}"
    finish(first)
    assert placed(sweep).path == first.path
    assert capsys.readouterr().out == ""
    assert left_behind_lines(sweep) == []

    reads(TWO)
    second = placed(sweep)
    assert second.path == sweep / f"seed=0_0badf00d-{short_hash(TWO)}"
    assert capsys.readouterr().out.startswith(
        "note: data.source: not the same files as when this sweep began."
    )
    finish(second)
    assert left_behind_lines(sweep) == [
        f"of other data or weights, not compared: {first.path.name} (finished)"
    ]
    assert [run.path for run in gather([sweep])] == [second.path]

    reads(ONE)
    assert placed(sweep).path == first.path
    assert [run.path for run in gather([sweep])] == [first.path]


def test_told_once_for_all_jobs(sweep, reads, capsys):
    reads(ONE)
    for seed in range(3):
        placed(sweep, seed)
    reads(TWO)
    plan_ = Plan(folder=sweep)
    for seed in range(3):
        plan_._placed(job(sweep, seed), ())
    assert capsys.readouterr().out.count("note: ") == 1


def test_data_that_can_not_be_read_fails_the_job_alone_and_mended_it_is_new(sweep, reads):
    reads(None)
    failed = placed(sweep)
    assert (failed.status, failed.result["error"]) == ("failed", "data.root=photos does not exist")
    reads(ONE)
    mended = placed(sweep)
    assert mended.path.name.endswith(short_hash(ONE))
    assert [path.name for path in sweep.iterdir() if path.is_dir()] == [mended.path.name]
    finish_file = mended.path / "config.yaml"
    finish_file.write_text("seed: 0\n")
    mended.write_json("result.json", {"status": "finished"})
    reads(None)
    placed(sweep)
    reads(ONE)
    assert placed(sweep).status == "finished"
    assert left_behind_lines(sweep) == []


def test_the_record_holds_what_a_job_needs_and_no_permission(sweep, reads):
    reads(ONE)
    placed(sweep)
    placed(sweep)
    (line,) = (sweep / "jobs.jsonl").read_text().splitlines()
    entry = SweepRecord(sweep).jobs["seed=0_0badf00d"]
    assert entry["config"] == {"seed": 0}
    assert entry["overrides"] == ["++seed=0"]
    assert entry["inputs"] == ONE
    assert "allow" not in line


def test_a_line_that_a_kill_has_cut_short_is_passed_over(sweep, reads):
    reads(ONE)
    placed(sweep, 0)
    placed(sweep, 1)
    file = sweep / "jobs.jsonl"
    whole = file.read_text()
    file.write_text(whole[:-20])
    assert list(SweepRecord(sweep).jobs) == ["seed=0_0badf00d"]
    placed(sweep, 1)
    assert list(SweepRecord(sweep).jobs) == ["seed=0_0badf00d", "seed=1_0badf00d"]
