"""The file from which a job runs elsewhere: what it holds, what it cannot permit, where it may write."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from transferlab.config.check import ConfigError
from transferlab.config.compose import compose_checked
from transferlab.run.errors import UserError
from transferlab.run.run_folder import Run
from transferlab.sweep.job import Job
from transferlab.sweep.shell.job_file import describe, described_jobs, described_runs, submissions

FOLDER = Path("a sweep/command")
OWN = "own_parts.Network"


def job(name: str, *overrides: str) -> Job:
    composed = compose_checked(["strategy=fine_tune", *overrides])
    return Job(composed.config, Run((FOLDER.parent / name).resolve()), {"strategy": "fine_tune"}, ["a note"])


def test_a_job_comes_back_as_it_was():
    one, other = job("seed=0", "seed=0"), job("seed=1", "seed=1")
    made = describe([one, other], FOLDER, 5)
    jobs, folder = described_jobs(made.file, [])
    assert folder == str(Path.cwd())
    assert [each.run.path for each in jobs] == [one.run.path, other.run.path]
    assert [each.config for each in jobs] == [one.config, other.config]
    assert (jobs[0].choices, jobs[0].warnings) == ({"strategy": "fine_tune"}, ["a note"])


def test_the_line_quotes_what_the_shell_would_read():
    made = describe([job("it's <one>")], FOLDER, 5)
    words = shlex.split(made.line("x {python} {job} {folder} {name} {number} {command}", ["own", "more"]))
    file = str(made.file)
    assert words[:4] == ["x", sys.executable, file, "allow=[own,more]"]
    assert words[4:7] == [str((FOLDER.parent / "it's <one>").resolve()), "tl-it-s-one-1", "5"]
    assert shlex.split(words[7])[-3:] == ["job", file, "allow=[own,more]"]


@pytest.mark.parametrize("run", ["seed=0", "Ü" * 90, "seed=" + "7" * 90, "---", "日本"])
def test_a_name_fits_kubernetes_and_is_new_each_time(run):
    names = [describe([job(run)], FOLDER, 0).file.stem for _ in range(3)]
    assert len(set(names)) == 3
    for name in names:
        assert len(name) <= 63
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
        assert name[0].isalpha()
        assert name[-1].isalnum()


def test_earlier_submissions_in_order():
    made = [describe([job(name)], FOLDER, number) for number, name in enumerate(["b", "a", "b"])]
    assert submissions(FOLDER.resolve()) == [
        type(each)(each.file.resolve(), each.number, each.folders) for each in made
    ]
    assert submissions(Path("none")) == []


def test_the_file_permits_nothing():
    made = describe([job("seed=0")], FOLDER, 0)
    content = json.loads(made.file.read_text())
    assert "allow" not in content["jobs"][0]["config"]
    content["jobs"][0]["config"]["allow"] = ["os"]
    content["jobs"][0]["config"]["trainer"]["_target_"] = "os.system"
    made.file.write_text(json.dumps(content))
    with pytest.raises(ConfigError, match=r"os\.system: a config may not name this class"):
        described_jobs(made.file, [])


def test_a_job_runs_beside_its_file_wherever_that_is():
    """Another machine may have the folder in another place; and the file may come from anyone."""
    made = describe([job("seed=0")], FOLDER, 0)
    content = json.loads(made.file.read_text())
    content["jobs"][0]["run"] = "/home/somebody/../else/seed=0"
    there = Path("elsewhere/command").resolve()
    there.mkdir(parents=True)
    (there / "x.json").write_text(json.dumps(content))
    jobs, _ = described_jobs(there / "x.json", [])
    assert jobs[0].run.path == there.parent / "seed=0"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "this is not readable JSON"),
        ("{", "this is not readable JSON"),
        ("[]", "input should be a valid dictionary"),
        ("{}", "`number`: field required"),
        ('{"jobs": []}', "`number`: field required"),
        ('"text"', "input should be a valid dictionary"),
        ("null", "input should be a valid dictionary"),
        ('{"number": 1, "folder": ".", "jobs": [{}]}', r"`jobs\.0\.config`: field required"),
        ('{"number": "1", "folder": ".", "jobs": []}', "`number`: input should be a valid integer"),
    ],
)
def test_other_files(text, fault):
    Path("x.json").write_text(text)
    for read in (described_runs, lambda file: described_jobs(file, [])):
        with pytest.raises(UserError, match=rf"x\.json: {fault}"):
            read(Path("x.json"))
    with pytest.raises(UserError, match=r"none\.json: cannot be read \(No such file"):
        described_jobs(Path("none.json"), [])


def test_a_config_of_another_version():
    made = describe([job("seed=0")], FOLDER, 0)
    content = json.loads(made.file.read_text())
    content["jobs"][0]["config"] = OmegaConf.to_container(OmegaConf.create({"sead": 1}))
    made.file.write_text(json.dumps(content))
    with pytest.raises(ConfigError, match="sead"):
        described_jobs(made.file, [])
