"""`transferlab compare`, in this process."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests.evaluation.comparison.run_folders import make_run
from transferlab.command import compare
from transferlab.run.errors import UserError

QUICK = """\
import sys
from transferlab.cli import main
try:
    main({arguments})
except SystemExit:
    print([name for name in ("torch", "sklearn", "timm", "pandas") if name in sys.modules])
"""


def imported(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", QUICK.format(arguments=list(arguments))],
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.stdout.splitlines()[-1]


@pytest.fixture
def sweep():
    for strategy, share in (("fine_tune", 0.6), ("dann", 0.9)):
        for seed in range(3):
            make_run(f"{strategy}{seed}", share, seed=seed, strategy=strategy)


def test_a_sweep_is_compared_in_its_folder(sweep, capsys):
    assert compare.run(["sweep"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "sweep/comparison.csv"
    assert all(len(line) <= 80 for line in lines)
    assert pd.read_csv("sweep/comparison.csv")["seeds"].tolist() == [3, 3]
    assert Path("sweep/comparison_tests.csv").is_file()


@pytest.mark.parametrize("option", [["--out", "here/it"], ["--out=here/it"]])
def test_where_the_files_go(option, sweep, capsys):
    assert compare.run(["sweep", *option]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "here/it/comparison.csv"
    assert {file.name for file in Path("here/it").iterdir()} == {"comparison.csv", "comparison_tests.csv"}
    assert not Path("sweep/comparison.csv").exists()


@pytest.mark.parametrize("given", [["sweep/dann0"], ["sweep/dann0", "sweep/fine_tune0"]])
def test_runs_are_compared_in_a_new_folder(given, sweep, capsys):
    assert compare.run(given) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert re.fullmatch(r"comparisons/\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d/comparison\.csv", last)
    assert len(pd.read_csv(last)) == len(given)


def test_nothing_has_finished(capsys):
    make_run("a", None, status="failed")
    assert compare.run(["sweep"]) == 1
    assert "failed: a: no reason\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (["gone"], "gone: there is no such folder."),
        (["."], ".: there is no run in it. Give folders of runs, or of sweeps."),
        (["--what"], "--what: there is no such option. transferlab compare --help lists them."),
        (["sweep", "--out"], "--out needs a value. Fix: --out DIR"),
    ],
)
def test_mistakes(given, text):
    with pytest.raises(UserError) as caught:
        compare.run(given)
    assert str(caught.value) == text
    assert list(Path().iterdir()) == []


def test_nothing_heavy_is_imported(sweep):
    assert imported("compare", "sweep") == "['pandas']"
    assert imported("compare", "gone") == "[]"
