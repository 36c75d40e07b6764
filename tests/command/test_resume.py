"""`transferlab resume`: what can be wrong before anything heavy is imported."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from transferlab.command import resume
from transferlab.run.errors import UserError


def finished_run() -> Path:
    folder = Path("runs/done")
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps({"status": "finished"}))
    return folder


def test_a_finished_run_is_left_alone(capsys):
    folder = finished_run()
    assert resume.run([str(folder)]) == 0
    assert capsys.readouterr().out == f"this run has finished already\n{folder}\n"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["a", "b"], "transferlab resume takes the folder of one run or sweep, not 2."),
        (["gone"], "gone: there is no such folder."),
        (["."], ".: this is not a run folder (it has no config.yaml)."),
    ],
)
def test_mistakes(arguments, text):
    with pytest.raises(UserError) as caught:
        resume.run(arguments)
    assert str(caught.value) == text


def test_own_modules_are_named_as_when_training():
    Path("run").mkdir()
    assert resume._path_and_allow(["run", "allow=[mine,yours.X]"]) == (Path("run"), ["mine", "yours.X"], [])
    assert resume._path_and_allow(["run", "allow=mine"]) == (Path("run"), ["mine"], [])
