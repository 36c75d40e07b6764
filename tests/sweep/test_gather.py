"""Which runs are read, and what of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.evaluation.comparison.run_folders import make_run
from transferlab.evaluation.comparison.compare import compare
from transferlab.evaluation.comparison.grouping import Recorded
from transferlab.run.errors import UserError
from transferlab.run.run_folder import Run
from transferlab.sweep.gather import gather


def names(*folders: str) -> list[str]:
    return [run.path.name for run in gather([Path(folder) for folder in folders])]


def test_runs_of_a_sweep_by_name_and_single_runs_each_once():
    for name in ("b", "a", "c"):
        make_run(name, 0.5)
    Path("sweep/plots").mkdir()
    Path("sweep/multirun.yaml").write_text("")
    assert names("sweep") == ["a", "b", "c"]
    assert names("sweep/c", "sweep", "./sweep/../sweep/a") == ["c", "a", "b"]


def test_what_is_read():
    run = make_run("a", 0.5, seed=3, choices={"data": "digits"}, settings={"strategy.rate": 1e-5})
    (read,) = gather([run.path])
    assert read.config["seed"] == 3
    assert read.config["strategy"]["rate"] == 1e-5
    assert read.choices["data"] == "digits"
    assert read.result == run.result
    assert (read.status, read.reason) == ("finished", "")


def test_runs_without_a_result_or_a_config():
    failed = Run("sweep/failed")
    failed.path.mkdir(parents=True)
    failed.write_json("result.json", {"status": "failed", "error": "line 1\nline 2"})
    begun = make_run("begun", 0.5)
    (begun.path / "result.json").unlink()
    assert gather([Path("sweep")])[0].status == "missing"
    assert gather([Path("sweep")])[1] == Recorded(
        Path("sweep/failed"), {}, {}, {"status": "failed", "error": "line 1\nline 2"}
    )
    assert gather([failed.path])[0].reason == "line 1"


def test_mistakes():
    Path("empty/deeper/run").mkdir(parents=True)
    with pytest.raises(UserError, match=r"^gone: there is no such folder\.$"):
        gather([Path("gone")])
    with pytest.raises(
        UserError, match=r"^empty: there is no run in it\. Give folders of runs, or of sweeps\.$"
    ):
        gather([Path("empty")])


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("config.yaml", b"a: [", "this is not readable YAML"),
        ("config.yaml", b"- 1", "input should be a valid dictionary"),
        ("config.yaml", b"\xff\xfe\xfa", ""),
        ("result.json", b"{", "result.json: this is not readable JSON"),
        ("result.json", b"[1]", ""),
        (
            "result.json",
            b'{"status": "finished", "test": {"accuracy": "x"}}',
            "`test.accuracy`: input should be",
        ),
        ("result.json", b'{"status": "finished", "test": 3}', "`test`: input should be"),
        ("environment.json", b"{]", "environment.json: this is not readable JSON"),
        ("environment.json", b"[]", "environment.json: input should be a valid dictionary"),
        ("environment.json", b'{"choices": ["a"]}', "`choices`: input should be"),
        ("predictions/test.csv", b"", "test.csv: this is not readable CSV"),
        ("predictions/test.csv", b"sample,label\n1,a\n", "test.csv: this is not readable CSV"),
        ("predictions/test.csv", b"sample,label,predicted\n1,a,a\n2,b", "ends before its predicted class"),
        ("split.csv", b"sample\n1\n", "split.csv: this is not readable CSV"),
    ],
)
def test_a_damaged_run_is_named_and_the_others_are_compared(file, content, reason):
    make_run("good", 0.5)
    damaged = make_run("damaged", 0.5, seed=1)
    (damaged.path / file).write_bytes(content)
    found = compare(gather([Path("sweep")]))
    (row,) = found.rows
    assert row.metrics["test accuracy"].mean == 0.5
    assert [run.path.name for run in found.not_begun] == ["damaged"]
    assert found.not_begun[0].status == "left out"
    assert reason in found.not_begun[0].reason
