"""The run folder: written once, locked while in use, never half a file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from transferlab.run import run_folder as folder
from transferlab.run.reading import UnreadableFile
from transferlab.run.run_folder import Run, RunFolderError, write_atomically


def test_a_folder_is_made_and_an_empty_one_is_taken():
    Run("a/b/c").create()
    assert Path("a/b/c").is_dir()
    Run("a/b/c").create()


def test_what_is_there_is_never_overwritten():
    Path("a").mkdir()
    Path("a/note.txt").write_text("mine")
    with pytest.raises(RunFolderError) as caught:
        Run("a").create()
    assert str(caught.value) == (
        "a exists and is not empty; a run never overwrites. Choose another folder with hydra.run.dir=DIR."
    )
    Path("a/config.yaml").write_text("")
    with pytest.raises(RunFolderError, match=r"To go on with it: transferlab resume a\."):
        Run("a").create()
    Path("file").write_text("")
    with pytest.raises(RunFolderError, match="file exists"):
        Run("file").create()
    with pytest.raises(RunFolderError, match="file/below cannot be created"):
        Run("file/below").create()
    assert Path("a/note.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("which", "left"),
    [
        ("none", []),
        ("last", ["last"]),
        ("best", ["best"]),
        ("last_and_best", ["best", "last"]),
        ("every_epoch", ["best", "epoch_0000", "last"]),
    ],
)
def test_checkpoints_that_stay(which, left):
    run = Run("a")
    for name in ("best", "epoch_0000", "last", "new"):
        write_atomically(Path(f"a/checkpoints/{name}.ckpt"), name)
    run.keep_checkpoints(which)
    assert sorted(file.stem for file in Path("a/checkpoints").iterdir()) == left


def test_the_last_checkpoint_is_the_best_where_none_was_selected():
    write_atomically(Path("a/checkpoints/last.ckpt"), "last")
    Run("a").keep_checkpoints("best")
    assert Path("a/checkpoints/last.ckpt").is_file()
    Run("without").keep_checkpoints("none")


HOLDER = """
import sys
from transferlab.run.run_folder import Run
with Run("a").locked():
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_two_processes_do_not_share_a_folder():
    run = Run("a")
    run.create()
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(RunFolderError, match=r"^a is in use by another process; wait for it to end\.$"),
            run.locked(),
        ):
            pass
        holder.kill()  # however it ends, the system frees the folder
    with run.locked():
        pass
    with run.locked():
        pass


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission():
    Run("a").create()
    Path("a").chmod(0o500)
    with pytest.raises(RunFolderError, match="cannot be written to"), Run("a").locked():
        pass


def test_a_folder_that_is_gone():
    with (
        pytest.raises(RunFolderError, match=r"^a cannot be written to: No such file or directory\.$"),
        Run("a").locked(),
    ):
        pass


def test_files_are_whole_or_old(monkeypatch):
    file = Path("a/result.json")
    write_atomically(file, "old")
    written = []

    def cut_short(self, target):
        written.append((self.read_text(), file.read_text()))
        raise KeyboardInterrupt

    monkeypatch.setattr(folder.Path, "replace", cut_short)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(file, "new")
    assert written == [("new", "old")]
    assert file.read_text() == "old"


def test_result_and_status():
    run = Run("a")
    assert (run.status, run.result) == ("missing", {})
    run.create()
    run.write_json("result.json", {"status": "failed", "where": Path("x")})
    assert json.loads(Path("a/result.json").read_text()) == {"status": "failed", "where": "x"}
    assert run.status == "failed"
    assert repr(run) == "Run('a', failed)"
    Path("a/result.json").write_text("{")
    with pytest.raises(UnreadableFile, match=r"^a/result\.json: this is not readable JSON"):
        _ = run.result


def test_tables():
    run = Run("a")
    run.create()
    Path("a/history.csv").write_text("epoch,val/loss\n0,1.5\n1,0.5\n")
    write_atomically(Path("a/predictions/test.csv"), "sample,label,predicted\nx,NA,NA\n")
    assert list(run.history["val/loss"]) == [1.5, 0.5]
    assert list(run.predictions()["label"]) == ["NA"]  # a class may be called so


def test_a_run_that_no_process_holds_reads_as_interrupted():
    run = Run("a")
    run.create()
    run.write_json("result.json", {"status": "running", "seed": 1})
    assert (run.status, run.recorded_status) == ("interrupted", "running")
    assert run.result == {"status": "interrupted", "seed": 1}
    with run.locked():
        assert run.status == Run("../" + Path.cwd().name + "/a").status == "running"
        with run.locked():  # again by the same thread
            pass
        assert run.is_in_use
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout.readline() == "held\n"
        assert run.status == "running"
        assert run.status == "running"  # to ask takes nothing away
        holder.kill()
    assert run.status == "interrupted"


def test_another_thread_does_not_get_a_folder_in_use():
    run, found = Run("a"), []
    run.create()

    def other() -> None:
        with pytest.raises(RunFolderError, match="in use"), run.locked():
            pass
        found.append(run.is_in_use)

    with run.locked():
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        assert found == [True]


def test_what_a_killed_process_left_half_written_goes():
    run = Run("a")
    run.create()
    left = ["a/.result.json.12.making", "a/checkpoints/new.ckpt", "a/checkpoints/best.tmp"]
    for name in (*left, "a/checkpoints/last.ckpt"):
        write_atomically(Path(name), "x")
    with run.locked():
        pass
    assert not any(Path(name).exists() for name in left)
    assert Path("a/checkpoints/last.ckpt").exists()


def test_names_in_predictions_stay_text():
    table = "sample,label,predicted,p(001),p(1)\n0007,001,1,0.1,0.9\n1e5,1,001,0.30000000000000004,0.7\n"
    write_atomically(Path("a/predictions/test.csv"), table)
    read = Run("a").predictions("test")
    assert read["sample"].tolist() == ["0007", "1e5"]
    assert read["label"].tolist() == ["001", "1"]
    assert read["predicted"].tolist() == ["1", "001"]
    assert read["p(001)"].tolist() == [0.1, 0.30000000000000004]


def test_what_was_left_half_written_is_deleted_by_the_next_one():
    run = Run("run")
    (run.path / "predictions" / "epochs").mkdir(parents=True)
    (run.path / "checkpoints").mkdir()
    left = [".result.json.0a1b.making", "predictions/epochs/.0000.safetensors.2c.making"]
    left += [".model.safetensors.tmp", "checkpoints/best.tmp"]
    for name in (*left, "result.json", "checkpoints/last.ckpt"):
        (run.path / name).write_text("{}")
    with run.locked():
        files = {str(file.relative_to(run.path)) for file in run.path.rglob("*") if file.is_file()}
    assert files == {".lock", "result.json", "checkpoints/last.ckpt"}


def test_a_folder_of_a_run_killed_before_its_config_is_as_good_as_new():
    run = Run("run")
    run.path.mkdir()
    (run.path / ".lock").touch()
    (run.path / ".config.yaml.0a1b.making").write_text("half")
    run.create()
    (run.path / "config.yaml.making").touch()
    with pytest.raises(RunFolderError, match="is not empty"):
        run.create()
