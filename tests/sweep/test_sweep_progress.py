"""What a person reads while a sweep runs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from transferlab.run.run_folder import Run
from transferlab.sweep.job import Job
from transferlab.sweep.sweep_progress import Progress


def job(name: str, status: str = "missing") -> Job:
    run = Run(Path("sweep") / name)
    run.path.mkdir(parents=True, exist_ok=True)
    if status != "missing":
        run.write_json("result.json", {"status": status})
    return Job(OmegaConf.create({}), run, {}, [])


@pytest.fixture
def terminal(capsys, monkeypatch):
    """Output is captured, and looks like a terminal of 40 columns."""
    monkeypatch.setattr(type(sys.stdout), "isatty", lambda stream: True)
    monkeypatch.setenv("COLUMNS", "40")


def lines(capsys) -> list[str]:
    return capsys.readouterr().out.splitlines()


def test_ends_of_jobs_beside_each_other(capsys):
    progress = Progress(5, 1, live=True)
    group = [job("c", "finished"), job("d", "failed"), job("e", "finished")]
    for begun in ([job("a", "finished")], group):
        progress.begin(begun)
    progress.end(group)
    progress.end([job("a", "finished")])
    first, second = lines(capsys)
    assert first.startswith("2 finished, 1 failed: c and 2 more together  0.")
    assert first.endswith(" s  (4 of 5)")
    assert second.startswith("finished: a  ")
    assert second.endswith("(5 of 5)")


def test_jobs_one_at_a_time_are_announced_and_only_failures_told(capsys):
    progress = Progress(2, 0, live=False)
    for name, status in (("a", "finished"), ("b", "failed")):
        progress.begin([job(name)])
        progress.end([job(name, status)])
    found = lines(capsys)
    assert found[:4] == ["", "a", "", "b"]
    assert found[4].startswith("failed: b  ")


def test_the_line_of_what_runs_is_redrawn_and_fits(capsys, terminal):
    progress = Progress(3, 0, live=True)
    progress.begin([job("first")])
    assert capsys.readouterr().out == "\r\x1b[2K0 of 3 ended; running: first"
    progress.begin([job("a-second-one-with-a-long-name")])
    drawn = capsys.readouterr().out.removeprefix("\r\x1b[2K")
    assert drawn == "0 of 3 ended; running: first, a-seco..."
    assert len(drawn) < 40
    progress.end([job("first", "finished")])
    cleared, told, drawn = capsys.readouterr().out.partition("finished: first")
    assert cleared == "\r\x1b[2K"
    assert told
    assert "\n\r\x1b[2K1 of 3 ended; running: a-" in drawn
    progress.clear()
    progress.clear()
    assert capsys.readouterr().out == "\r\x1b[2K"
