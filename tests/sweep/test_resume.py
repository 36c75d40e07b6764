"""A sweep that is killed and goes on gives what one left alone gives; changed data is never mixed in."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.sweep.killing import killed_and_resumed
from tests.sweep.local.test_local_launcher import in_second_epoch, kill_myself
from tests.training.processes import command
from transferlab.config.compose import started
from transferlab.run.errors import UserError
from transferlab.run.run_folder import Run
from transferlab.sweep.resume import resume, resume_sweep
from transferlab.sweep.sweep_record import left_behind_lines

FAST = [
    *(
        "train",
        "-m",
        "strategy=fine_tune",
        "data.shots_per_class=2",
        "data.batch_size=10",
        "trainer.enable_progress_bar=false",
    ),
    *("backbone=mnist_convnet", "backbone.weights=random", "fit.checkpoint_every_steps=1"),
    "hydra.launcher.jobs_at_once=2",
]
SHORT = [*FAST, "trainer.max_epochs=2"]
SEEDS = [*SHORT, "hydra.sweep.dir=sweep", "seed=0,1"]


def folders(sweep: str = "sweep") -> dict[str, str]:
    return {path.name: Run(path).status for path in sorted(Path(sweep).iterdir()) if path.is_dir()}


def same_comparison(one: str, other: str) -> bool:
    """Whether two sweeps have the same comparison, byte for byte."""
    files = ("comparison.csv", "comparison_tests.csv")
    return all(Path(one, name).read_bytes() == Path(other, name).read_bytes() for name in files)


@pytest.mark.slow
def test_six_jobs_killed_twice_give_the_comparison_of_a_sweep_left_alone():
    grid = ["strategy=fine_tune,from_scratch", "seed=0,1,2"]
    assert command([*SHORT, *grid, "hydra.sweep.dir=alone"])[0] == 0
    killed_and_resumed([*SHORT, *grid, "hydra.sweep.dir=killed"], "killed", kills=2, total=18, seed=1)
    assert list(folders("killed").values()) == ["finished"] * 6
    assert folders("killed") == folders("alone")
    assert same_comparison("killed", "alone")


@pytest.mark.long
def test_24_jobs_killed_three_times_give_the_comparison_of_a_sweep_left_alone():
    grid = [
        "strategy=fine_tune,from_scratch,partial",
        "strategy.learning_rates.base=0.001,0.01",
        "seed=0,1,2,3",
    ]
    assert command([*SHORT, *grid, "hydra.sweep.dir=alone"])[0] == 0
    killed_and_resumed([*SHORT, *grid, "hydra.sweep.dir=killed"], "killed", kills=3, total=72, seed=2)
    assert list(folders("killed").values()) == ["finished"] * 24
    assert same_comparison("killed", "alone")


@pytest.mark.slow
def test_jobs_are_those_of_the_record_whatever_has_become_of_the_config_files():
    Path("conf/experiment").mkdir(parents=True)
    file = Path("conf/experiment/mine.yaml")
    file.write_text("# @package _global_\ntrainer: {max_epochs: 1}\n")
    own = [*FAST, "experiment=mine", "seed=0,1", "hydra.sweep.dir=sweep"]
    assert command(own)[0] == 0
    before = folders()
    shutil.rmtree(Path("sweep", next(iter(before))))
    file.write_text("# @package _global_\ntrainer: {max_epochs: 2}\n")
    Path("elsewhere").mkdir()
    code, shown, said = command(["resume", "sweep"])
    assert code == 0, said
    assert "1 of 2 finished before, not run again\n" in shown
    assert folders() == before
    assert shown.splitlines()[-1] == "sweep"


@pytest.mark.slow
def test_photos_that_have_changed_since():
    generator = np.random.default_rng(0)
    for number in range(20):
        photo = Path("photos", "ab"[number % 2], f"{number}.png")
        photo.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(photo)
    own = ["data=folder", "data.root=photos", "data.shots_per_class=null", "data.num_workers=0"]
    arguments = [*SHORT, *own, "seed=0,1", "hydra.sweep.dir=sweep"]
    assert command(arguments)[0] == 0
    before = folders()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save("photos/a/0.png")
    code, shown, said = command(["resume", "sweep"])
    assert code == 0, said
    assert "note: data.source: not the same files as when this sweep began." in shown
    assert "finished before" not in shown
    for name in before:
        assert f"of other data or weights, not compared: {name} (finished)\n" in shown
    after = folders()
    assert len(after) == 4
    assert list(after.values()) == ["finished"] * 4
    assert {re.sub("-[0-9a-f]{6}$", "", name) for name in after} == {
        re.sub("-[0-9a-f]{6}$", "", name) for name in before
    }
    assert "2 of 2 finished before" in command(arguments)[1]


@pytest.mark.slow
def test_a_run_does_not_go_on_with_other_data():
    code = command([*SEEDS, "data.batch_size=4"], prepare=lambda: in_second_epoch(0, kill_myself))[0]
    assert code == 1
    (killed,) = [Run(path) for path in Path("sweep").glob("*/") if Run(path).status == "failed"]
    recorded = json.loads((killed.path / "inputs.json").read_text())
    killed.write_json("inputs.json", {**recorded, "data": "of other images"})
    code, _, said = command(["resume", str(killed.path)])
    assert code == 2
    assert "data: not the same files as when this run began" in said
    killed.write_json("inputs.json", recorded)
    assert command(["resume", "sweep"])[0] == 0


def test_results_of_a_group_stay_where_its_data_is_gone():
    Path("unmounted").mkdir()
    heads = [
        "strategy=feature_extraction",
        "strategy/head=linear",
        "features.cache=auto",
        "data=folder",
        "data.root=unmounted",
    ]
    with started("train", None) as composer:
        config = composer.compose(*composer.read(heads)).config
    members = [Run(f"sweep/{status}") for status in ("finished", "failed")]
    for run in members:
        run.write_config(config)
        run.write_json("result.json", {"status": run.path.name})
        run.write_json("group.json", {"members": ["finished", "failed"]})
    (members[0].path / "model.safetensors").touch()
    resume(members[1].path)
    assert members[0].result == {"status": "finished"}
    assert (members[0].path / "model.safetensors").is_file()
    assert members[1].status == "failed"
    assert "unmounted" in members[1].result["error"]


LOCAL = {"_target_": "hydra_plugins.transferlab_plugins.LocalLauncher", "jobs_at_once": 1}


@pytest.mark.parametrize("status", ["failed", "finished"])
def test_a_config_that_no_longer_fits_is_recorded_where_its_run_is(status, capsys):
    about = {"command": "train -m", "launcher": LOCAL, "sweeper": "hydra._internal.core_plugins.Basic"}
    entry = {"base": "a", "folder": "a-012345", "config": {"strategi": 1}, "choices": {}, "inputs": {}}
    run = Run("sweep/a-012345")
    run.write_json("result.json", {"status": status})
    Path("sweep/sweep.json").write_text(json.dumps(about))
    Path("sweep/jobs.jsonl").write_text(json.dumps(entry) + "\n")
    assert [each.path.name for each in resume_sweep(Path("sweep"))] == ["a-012345"]
    assert run.status == status
    assert ("strategi" in run.result.get("error", "")) == (status == "failed")
    assert folders() == {"a-012345": status}
    assert left_behind_lines(Path("sweep")) == []
    told = capsys.readouterr()
    assert "jobs cannot be run as they are recorded" in told.out
    assert "strategi: there is no such key." in told.err


def test_a_record_that_can_not_be_read():
    Path("sweep").mkdir()
    Path("sweep/sweep.json").write_text("{")
    with pytest.raises(UserError, match=r"sweep\.json: this is not readable JSON"):
        resume_sweep(Path("sweep"))


def test_no_sweep_there():
    Path("sweep").mkdir()
    Path("sweep/sweep.json").write_text("{}")
    with pytest.raises(UserError, match="sweep: there is no sweep"):
        resume_sweep(Path("sweep"))


def test_launchers_of_others_are_not_asked():
    Path("sweep").mkdir()
    about = {"command": "transferlab train -m seed=0,1", "launcher": {"_target_": "os.system"}, "sweeper": ""}
    Path("sweep/sweep.json").write_text(json.dumps(about))
    Path("sweep/jobs.jsonl").write_text('{"base": "a", "folder": "a"}\n')
    with pytest.raises(UserError, match=r"os\.system, which cannot continue it\. Fix: repeat the command"):
        resume_sweep(Path("sweep"))
