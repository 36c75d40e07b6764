"""Jobs by command lines, here small scripts: what is begun or waited for, how ends are recorded."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from tests.sweep.local.test_children import is_there
from transferlab.run.run_folder import Run
from transferlab.sweep.job import Job
from transferlab.sweep.shell import command_launcher as launching
from transferlab.sweep.shell.command_settings import CommandSettings

FINISH = 'printf \'{"status": "finished"}\' > "$1/result.json"; echo "$1" >> began.txt'
# as a cluster does: returns at once, and the job runs in the background, in a session of its own
SUBMIT = "echo submitted; setsid sh work.sh {folder} >/dev/null 2>&1 &"


def job(seed: int) -> Job:
    content = {"seed": seed, "strategy": {}, "data": {}, "fit": {}, "trainer": {"devices": 1, "num_nodes": 1}}
    return Job(OmegaConf.create(content), Run(Path("sweep", f"seed={seed}").resolve()), {}, [])


def launch(*jobs: Job, work: str = FINISH, template: str = "sh work.sh {folder}", **settings) -> None:
    Path("work.sh").write_text(work)
    own = CommandSettings(template=template, poll_s=0.05, **settings)
    launching.launch(jobs, own, Path("sweep").resolve())


def says(job: Job, status: str, **further: str) -> None:
    job.run.path.mkdir(parents=True, exist_ok=True)
    job.run.write_json("result.json", {"status": status, **further})


def begun() -> list[str]:
    file = Path("began.txt")
    return [Path(line).name for line in file.read_text().splitlines()] if file.is_file() else []


@pytest.fixture(autouse=True)
def _believes_soon(monkeypatch):
    monkeypatch.setattr(launching, "_LOOK_EVERY_S", 0.01)


@pytest.fixture
def _ctrl_c_is_heard():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("how", [{}, {"template": SUBMIT, "wait": "record"}], ids=["command", "record"])
def test_what_has_finished_is_not_run_again(how, capsys):
    jobs = [job(seed) for seed in range(3)]
    says(jobs[1], "finished")
    launch(*jobs, **how)
    assert [each.run.status for each in jobs] == ["finished"] * 3
    assert sorted(begun()) == ["seed=0", "seed=2"]
    assert "1 of 3 finished before, not run again\n" in capsys.readouterr().out
    launch(*jobs, **how)
    assert len(begun()) == 2


def test_a_command_gets_what_its_placeholders_stand_for():
    work = 'printf "%s\\n" "$@" > got.txt; ' + FINISH
    launch(job(7), work=work, template="sh work.sh {folder} {name} {number} {log} {job} {command}")
    folder, name, number, log, file, command = Path("got.txt").read_text().splitlines()
    assert [folder, log] == [str(job(7).run.path), str(job(7).run.path / "log.txt")]
    assert (name, number) == ("tl-seed-7-1", "0")
    assert Path(file) == Path("sweep/command/tl-seed-7-1.json").resolve()
    assert command.endswith(f"__main__.py job {file}")
    assert json.loads(Path(file).read_text())["jobs"][0]["config"]["seed"] == 7


def test_as_many_at_once_as_asked():
    work = (
        'echo + >> at.txt; sleep 0.2; echo - >> at.txt; printf \'{"status": "finished"}\' > "$1/result.json"'
    )
    launch(*[job(seed) for seed in range(4)], work=work, jobs_at_once=2)
    steps = [1 if line == "+" else -1 for line in Path("at.txt").read_text().splitlines()]
    most = max(sum(steps[: number + 1]) for number in range(len(steps)))
    assert most == 2
    launch(*[job(seed) for seed in range(5, 7)], work="echo x >> one.txt; exit 0")
    assert Path("one.txt").read_text() == "x\nx\n"


@pytest.mark.parametrize(
    ("work", "status", "error"),
    [
        (
            "echo early; echo; echo no such partition; exit 7",
            "failed",
            "its command ended with exit code 7 before the run had: early | no such partition",
        ),
        ("kill -9 $$", "failed", "before the run had"),
        ("true", "failed", "before the run had. Fix: hydra.launcher.wait=record, if it only submits"),
        (
            'printf \'{"status": "failed", "error": "its own words"}\' > "$1/result.json"; exit 1',
            "failed",
            "its own words",
        ),
        ('printf \'{"status": "interrupted"}\' > "$1/result.json"; exit 143', "interrupted", ""),
        (
            'printf \'{"status": "running"}\' > "$1/result.json"; echo out of memory >&2; exit 1',
            "failed",
            "its command ended with exit code 1 before the run had: out of memory",
        ),
    ],
)
def test_how_an_end_is_recorded(work, status, error):
    one, other = job(0), job(1)
    launch(one, other, work=f'case "$1" in *=1) {FINISH};; *) {work};; esac')
    assert one.run.status == status, one.run.result
    assert one.run.result.get("error", "") == error or (error and error in one.run.result["error"])
    assert other.run.status == "finished"


def test_an_earlier_record_is_no_record_of_this_attempt():
    one = job(0)
    says(one, "failed", error="of before")
    launch(one, work="printf '\\033[31mdenied\\007\\n'; exit 3")
    assert one.run.result["error"] == "its command ended with exit code 3 before the run had: [31mdenied"


def test_a_submission_that_is_refused(capsys):
    one = job(0)
    launch(one, wait="record", template="echo quota exceeded; exit 1")
    assert one.run.result["error"] == "its command ended with exit code 1 before the run had: quota exceeded"
    assert "failed: seed=0" in capsys.readouterr().out


def test_a_submitted_job_that_is_killed_is_seen():
    """It has begun, and nobody holds its folder any more."""
    one = job(0)
    launch(one, wait="record", template=SUBMIT, work='printf \'{"status": "running"}\' > "$1/result.json"')
    assert one.run.status == "failed"
    assert one.run.result["error"] == "lost by its engine, or ended, before the run had: submitted"


def test_an_engine_says_whether_it_still_has_a_job():
    """One that never began; and one that was put into the queue again."""
    lost, again = job(0), job(1)
    work = """
    case "$1" in
      *=0) exit ;;
      *) touch seed=1.queued; printf '{"status": "interrupted"}' > "$1/result.json"; sleep 0.4
         printf '{"status": "finished"}' > "$1/result.json"; rm seed=1.queued ;;
    esac"""
    alive = "test -e $(basename {folder}).queued"
    launch(lost, again, wait="record", alive=alive, template=f"touch seed=1.queued; {SUBMIT}", work=work)
    assert lost.run.result["error"].startswith("lost by its engine")
    assert again.run.status == "finished"


def test_what_still_runs_is_waited_for_not_begun_again(capsys):
    """A repeat of the command, while a job of the first one holds its folder, and another one queues."""
    jobs = [job(seed) for seed in range(3)]
    launch(*jobs, work="exit 1")
    holder = os.fork()
    if holder == 0:
        with jobs[0].run.locked():
            jobs[0].run.write_json("result.json", {"status": "running"})
            Path("holds").touch()
            time.sleep(0.4)
            jobs[0].run.write_json("result.json", {"status": "finished"})
        jobs[1].run.write_json("result.json", {"status": "finished"})
        os._exit(0)
    while not Path("holds").exists():
        time.sleep(0.01)
    launch(*jobs, wait="record", template=SUBMIT, alive="case {name} in *-1-1) true;; *) false;; esac")
    os.waitpid(holder, 0)
    assert begun() == ["seed=2"]
    assert [each.run.status for each in jobs] == ["finished"] * 3
    assert "2 run from before: tl-seed-0-1 tl-seed-1-1\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    "how",
    [{"template": "sh work.sh {folder}"}, {"template": SUBMIT, "wait": "record"}],
    ids=["command", "record"],
)
def test_a_time_limit(how):
    one, other = job(0), job(1)
    work = f'case "$1" in *=1) {FINISH};; *) echo waiting; echo $$ > pid; exec sleep 60;; esac'
    cancel = "kill $(cat pid); touch cancelled"
    launch(one, other, work=work, timeout_min=0.5 / 60, cancel=cancel, jobs_at_once=2, **how)
    assert one.run.status == "failed"
    assert one.run.result["error"].startswith("not finished within hydra.launcher.timeout_min=0.00833")
    assert other.run.status == "finished"
    assert Path("cancelled").exists()
    assert not is_there(int(Path("pid").read_text()))


def interrupted_when_begun() -> None:
    """Send this process Ctrl-C as soon as a job says that it runs."""
    parent = os.getpid()
    if os.fork() == 0:
        while not Path("pid").exists():
            time.sleep(0.01)
        time.sleep(0.1)
        os.kill(parent, signal.SIGINT)
        os._exit(0)


RUNNING = 'printf \'{"status": "running"}\' > "$1/result.json"; echo $$ > pid; exec sleep 60'


@pytest.mark.usefixtures("_ctrl_c_is_heard")
def test_ctrl_c_ends_what_runs_here():
    jobs = [job(0), job(1)]
    interrupted_when_begun()
    with pytest.raises(KeyboardInterrupt):
        launch(*jobs, work=RUNNING)
    assert [each.run.recorded_status for each in jobs] == ["interrupted", "missing"]
    assert not is_there(int(Path("pid").read_text()))


@pytest.mark.usefixtures("_ctrl_c_is_heard")
@pytest.mark.parametrize("cancels", [False, True])
def test_ctrl_c_leaves_what_was_submitted_unless_so_wished(cancels, capsys):
    one = job(0)
    interrupted_when_begun()
    with pytest.raises(KeyboardInterrupt):
        launch(
            one, work=RUNNING, template=SUBMIT, wait="record", cancel="kill $(cat pid)", alive="test -e pid",
            cancel_on_interrupt=cancels,
        )  # fmt: skip
    pid = int(Path("pid").read_text())
    if cancels:
        assert one.run.result == {"status": "interrupted", "error": "cancelled by Ctrl-C: submitted"}
    else:
        assert "1 go on: tl-seed-0-1; the same command waits for them again\n" in capsys.readouterr().out
        assert one.run.recorded_status == "running"
        os.kill(pid, signal.SIGKILL)
