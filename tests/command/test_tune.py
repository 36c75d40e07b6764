"""`transferlab tune` on the command line."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tests.training.test_resume import TINY
from transferlab.command import tune
from transferlab.run.errors import UserError

SETTINGS = [*TINY, "backbone.name=test_resnet", "strategy=progressive_unfreezing", "trainer=cpu"]


def test_a_learning_rate_is_found_and_nothing_else_is_written(capsys):
    assert tune.run(["learning_rate", *SETTINGS, "--steps=40", "--lowest", "1e-4", "--out", "out"]) == 0
    shown = capsys.readouterr().out
    assert shown.splitlines()[-1] == "out/learning_rate.png"
    (suggested,) = [line for line in shown.splitlines() if "learning_rates.base=" in line]
    assert 1e-4 < float(suggested.partition("=")[2]) < 1
    assert "0 stages of the backbone were open" in shown  # as the strategy begins
    assert pd.read_csv("out/learning_rate.csv")["base"].iloc[0] == pytest.approx(1e-4)
    assert {path.name for path in Path().iterdir()} <= {"out", "cache"}


def test_a_batch_size_is_found(capsys):
    assert tune.run(["batch_size", *SETTINGS, "--first=16", "--steps=2"]) == 0
    *_, suggested, _, table = capsys.readouterr().out.splitlines()
    (folder,) = Path("tuning").iterdir()
    assert table == str(folder / "batch_size.csv")
    assert int(suggested.partition("data.batch_size=")[2]) in set(pd.read_csv(table)["batch_size"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["epochs"], "it tunes learning_rate or batch_size"),
        (["learning_rate", "--steps", "many"], "--steps many: must be a whole number above 0"),
        (["learning_rate", "--lowest=-1"], "--lowest -1: must be a number above 0"),
        (["learning_rate", "--lowest=2", *SETTINGS], "--lowest 2: must be below --highest 1"),
        (["batch_size", "--lowest=2"], "--lowest=2: there is no such option"),
        (["learning_rate", *SETTINGS, "trainer=ddp"], "runs on one device"),
        (
            ["learning_rate", *SETTINGS, "strategy=feature_extraction", "strategy/head=logistic"],
            "Logistic is not fitted by steps",
        ),
    ],
)
def test_mistakes_are_told(arguments, message):
    with pytest.raises(UserError, match=message):
        tune.run(arguments)
