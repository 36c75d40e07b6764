"""The files of a comparison."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from tests.evaluation.comparison.run_folders import make_run, right
from transferlab.evaluation.comparison.compare import compare
from transferlab.report.comparison_files import write
from transferlab.sweep.gather import gather


def written(folder: str = "sweep") -> tuple[bytes, bytes]:
    file = write(compare(gather([Path(folder)])), Path("out"))
    assert file == Path("out/comparison.csv")
    return file.read_bytes(), Path("out/comparison_tests.csv").read_bytes()


@pytest.fixture
def sweep():
    for strategy, share in (("fine_tune", 0.6), ("dann", 0.9)):
        for seed in range(6):
            hits = right(share + seed / 100, start=seed)
            make_run(f"{strategy}{seed}", hits, seed=seed, strategy=strategy)


def test_a_row_a_group(sweep):
    make_run("x", None, strategy="dann", seed=6, status="interrupted")
    written()
    table = pd.read_csv("out/comparison.csv", keep_default_na=False, dtype={"missing seeds": str})
    assert table["group"].tolist() == ["strategy=dann", "strategy=fine_tune"]
    assert table["strategy"].tolist() == ["dann", "fine_tune"]
    assert table[["chosen", "runs", "unfinished", "seeds"]].values.tolist() == [
        [True, 6, 1, 6],
        [True, 6, 0, 6],
    ]
    assert table["missing seeds"].tolist() == ["6", "6"]
    assert table["interval covers"].tolist() == ["other images and other seeds"] * 2
    assert table["complete"].tolist() == ["6 of 7"] * 2
    assert table["chosen by"].tolist() == ["val accuracy"] * 2
    assert table["test accuracy"].tolist() == [0.925, 0.625]
    assert table["test accuracy std"][0] == pytest.approx(0.0187083)
    assert (table["test accuracy low"] < table["test accuracy"]).all()
    assert (table["test accuracy high"] > table["test accuracy"]).all()
    assert "last accuracy" not in table


def test_a_row_a_pair(sweep):
    written()
    (row,) = pd.read_csv("out/comparison_tests.csv").to_dict("records")
    assert (row["first"], row["second"]) == ("strategy=dann", "strategy=fine_tune")
    assert row["metric"] == "test accuracy"
    assert row["difference"] == pytest.approx(0.3)
    assert row["low"] < 0.3 < row["high"]
    assert row["interval covers"] == "other images and other seeds"
    assert (row["samples"], row["seeds"]) == (100, 6)
    assert row["p over samples"] == row["corrected p over samples"] == 0.0001
    assert row["p over seeds"] == row["corrected p over seeds"] == 0.03125
    assert row["over samples"] == row["over seeds"] == "better"


def test_the_same_results_give_the_same_bytes(sweep):
    first = written()
    shutil.move("sweep", "elsewhere")
    for number, file in enumerate(sorted(Path("elsewhere").glob("*/result.json"))):
        result = json.loads(file.read_text())
        file.write_text(json.dumps({**result, "cost": {"fit_seconds": 100.0 + number}}))
    assert written("elsewhere") == first
    assert b"elsewhere" not in b"".join(first)


def test_nothing_to_compare():
    make_run("x", None, status="failed")
    (Path("sweep/x/config.yaml")).unlink()
    assert written() == (b"group,chosen,runs\n", b"first,second\n")
