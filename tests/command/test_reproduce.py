"""`transferlab reproduce`: a recorded run once more gives the same, and what is not the same is said."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from tests.command.test_evaluate import TINY, as_folder
from tests.training.processes import command
from tests.training.test_resume import assert_same
from transferlab.cli import main
from transferlab.run.run_folder import Run


def train(*further: str, folder: str = "run") -> Run:
    code, _, said = command(["train", *TINY, *further, f"hydra.run.dir={folder}"])
    assert code == 0, said
    return Run(folder)


@pytest.mark.slow
def test_the_same_machine_gives_the_same():
    train()
    code, shown, said = command(["reproduce", "run"])
    assert code == 0, shown + said
    *_, verdict, place = shown.splitlines()
    assert verdict == "identical"
    assert Path(place).parent == Path("run/reproductions")
    assert_same("run", place)
    assert "environment: the same versions, hardware, threads and code\n" in shown
    assert "predictions of test: largest difference of a probability 0, 0 of " in shown
    assert "changed since" not in shown
    table = pd.read_csv(Path(place) / "reproduction.csv").set_index("value")
    assert table.loc["test.accuracy", "recorded"] == Run("run").result["test"]["accuracy"]
    assert set(table["verdict"]) == {"identical", "not compared"}


@pytest.mark.slow
def test_a_result_that_is_not_what_comes_out():
    run = train()
    content = run.result
    content["test"]["accuracy"] = 0.0
    run.write_json("result.json", content)
    table = run.predictions("test")
    wrong = {str(digit): str((digit + 1) % 10) for digit in range(10)}
    table.assign(label=table["predicted"].map(wrong)).to_csv(run.path / "predictions/test.csv", index=False)
    environment = json.loads((run.path / "environment.json").read_text())
    run.write_json("environment.json", {**environment, "python": "2.7"})
    code, shown, _ = command(["reproduce", "run", "--out", "again"])
    assert code == 1
    assert "environment: python was 2.7, is 3." in shown
    assert shown.splitlines()[-2:] == ["differs", "again"]


@pytest.mark.slow
def test_data_that_has_changed_is_said_first():
    as_folder("photos", {"1": "one", "2": "two"}, each=15)
    train("data=folder", "data.root=photos", "data.shots_per_class=null", "data.num_workers=0")
    first = sorted(Path("photos/one").iterdir())[0]
    first.rename(first.with_name("new.png"))
    code, shown, _ = command(["reproduce", "run", "--out", "again"])
    assert shown.startswith(f"changed since: data: 1 images are gone: one/{first.name}.\n")
    assert "changed since: data: 1 images are new: one/new.png.\n" in shown
    assert code in (0, 1)


@pytest.mark.slow
def test_a_group_is_reproduced_as_a_whole():
    heads = [
        "strategy=feature_extraction",
        "strategy/head=linear",
        "strategy.learning_rates.base=0.01,0.1",
        "hydra.sweep.dir=sweep",
    ]
    assert command(["train", "-m", *TINY, *heads])[0] == 0
    members = sorted(Path("sweep").glob("*/group.json"))
    assert len(members) == 2
    code, shown, said = command(["reproduce", str(members[1].parent), "--out", "again"])
    assert code == 0, shown + said
    assert shown.count("\nidentical\n") == 2
    assert "changed since" not in shown
    for file in members:
        assert_same(str(file.parent), str(Path("again", file.parent.name)))
    shutil.rmtree(members[0].parent)
    _, shown, _ = command(["reproduce", str(members[1].parent), "--out", "alone"])
    assert shown.startswith("changed since: 1 of the runs that it trained with are deleted: without them its")
    assert Run("alone").status == "finished"


def unfinished() -> Run:
    run = Run("run")
    run.path.mkdir()
    run.config_file.write_text("seed: 0\n")
    run.write_json("result.json", {"status": "interrupted"})
    return run


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["a", "b"], "transferlab reproduce takes the folder of one run, not 2."),
        (["gone"], "gone: there is no such folder."),
        (["photos"], "photos: this is not a run folder (it has no config.yaml)."),
        (["run"], "run has not finished (interrupted): transferlab resume run"),
    ],
)
def test_mistakes(arguments, text, capsys):
    unfinished()
    Path("photos").mkdir()
    with pytest.raises(SystemExit) as left:
        main(["reproduce", *arguments])
    assert left.value.code == 2
    assert text in capsys.readouterr().err
    shutil.rmtree("run")
    Path("photos").rmdir()
