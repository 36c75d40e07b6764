"""The command line: quick, and without a traceback for a user's mistake."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import transferlab
from transferlab.cli import VERBS, main

HEAVY = (
    "torch",
    "torchvision",
    "timm",
    "pytorch_lightning",
    "pandas",
    "numpy",
    "pydantic",
    "sklearn",
    "matplotlib",
)
QUICK = [
    [],
    ["--help"],
    ["--version"],
    ["train", "--help"],
    ["list", "backbones"],
    ["list", "experiments"],
    ["completion", "bash"],
    ["resume", "nowhere"],
    ["compare", "--help"],
    ["compare", "nowhere"],
    ["train", "--cfg", "job"],
    ["train", "sead=3"],
    ["train", "-m", "seed=0,1", "strategy=dan"],
    ["train", "strategy=mine", "allow=[own_part]", "sead=3"],
    ["train", "strategy/objective=focal", "strategy.objective.gamma=-1", "data.num_folds=1"],
]
WATCHED = f"""
import contextlib, io, sys
from transferlab.cli import main
for arguments in {QUICK!r}:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        with contextlib.suppress(SystemExit):
            main(arguments)
    heavy = [name for name in {HEAVY!r} if name in sys.modules]
    print(arguments, heavy)
"""


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    out, err = capsys.readouterr()
    return left.value.code, out, err


def test_nothing_heavy_is_imported():
    Path("own_part.py").write_text("raise RuntimeError('imported')\n")
    Path("conf/strategy").mkdir(parents=True)
    Path("conf/strategy/mine.yaml").write_text(
        "defaults: [fine_tune, _self_]\nobjective: {_target_: own_part.X}\n"
    )
    done = subprocess.run([sys.executable, "-c", WATCHED], capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines() == [f"{arguments} []" for arguments in QUICK], done.stderr


def test_help_names_every_verb(capsys):
    for arguments in ([], ["--help"], ["-h"], ["help"]):
        code, out, err = run(capsys, *arguments)
        assert (code, err) == (0, "")
        assert all(f"transferlab {verb}" in out for verb in VERBS)


def test_version(capsys):
    assert run(capsys, "--version") == (0, f"transferlab {transferlab.__version__}\n", "")


@pytest.mark.parametrize("verb", sorted(set(VERBS) - {"list", "completion"}))
def test_help_of_a_verb(verb, capsys):
    code, out, _ = run(capsys, verb, "x", "--help")
    assert code == 0
    assert out.startswith(f"transferlab {verb}")
    if verb != "train":
        assert run(capsys, verb) == (2, out, "")


MISTAKES = [
    (["trian"], "trian: there is no such verb. Did you mean transferlab train?\n"),
    (["xyz"], "xyz: there is no such verb. transferlab --help lists the verbs.\n"),
    (["seed=3"], "seed=3: there is no such verb. Did you mean transferlab train seed=3?\n"),
    (["train", "sead=3"], "The config has 1 problem:\n  sead: there is no such key. Did you mean seed?\n"),
    (
        ["train", "-m", "seed=0,x"],
        "The config has 1 problem:\n  seed=x: must be a whole number, not text.\n",
    ),
    (
        [
            *("train", "strategy/objective=focal", "strategy.objective.gamma=-1", "strategy/head=mlp"),
            *("strategy.head.hidden_units=0", "data.num_folds=1"),
        ],
        "The config has 3 problems:\n  data.num_folds=1: must be at least 2.\n"
        "  strategy.head.hidden_units=0: must be at least 1.\n"
        "  strategy.objective.gamma=-1: must be at least 0.\n",
    ),
    (
        ["train", "data=folder", "data.root=gone"],
        "The config has 1 problem:\n  data.root=gone: there is no such folder.\n",
    ),
    (
        ["train", "--frobnicate"],
        "--frobnicate: there is no such option. transferlab train --help lists them.\n",
    ),
    (
        ["list", "x"],
        "transferlab list takes one of backbones, strategies, data, experiments, not x. Or any config group: "
        "backbone, data, data/augmentation, data/catalog, data/loading, data/mixing, experiment, logger, "
        "strategy, strategy/head, strategy/learning_rates, strategy/objective, strategy/penalty, "
        "strategy/unfreezing, trainer, hydra/launcher, hydra/sweeper.\n",
    ),
    (["completion"], "transferlab completion takes one of bash, zsh, fish, not nothing.\n"),
    (["resume", "gone"], "gone: there is no such folder.\n"),
]


@pytest.mark.parametrize(
    ("arguments", "text"), MISTAKES, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_a_mistake_is_told_in_words_with_code_2(arguments, text, capsys):
    assert run(capsys, *arguments) == (2, "", text)


def test_nothing_is_left_behind_by_a_mistake(capsys):
    run(capsys, "train", "sead=3")
    run(capsys, "train", "-m", "sead=3")
    run(capsys, "train", "-m", "data.num_folds=2,1,3")
    run(capsys, "train", "--cfg", "job")
    assert list(Path().iterdir()) == []


def test_python_raises_what_the_command_prints():
    with pytest.raises(ValueError, match=r"sead: there is no such key\. Did you mean seed\?"):
        transferlab.train(["sead=3"])
    with pytest.raises(ValueError, match="several values make a sweep"):
        transferlab.train(["seed=0,1"])
    with pytest.raises(ValueError, match="--config-dir=gone: there is no such folder"):
        transferlab.train(config_dir="gone")
    with pytest.raises(AttributeError, match="has no attribute 'nope'"):
        _ = transferlab.nope


@pytest.mark.parametrize("preset", ["timm", "resnet18"])
def test_a_network_that_timm_does_not_have(preset, capsys):
    code, _, err = run(capsys, "train", f"backbone={preset}", "backbone.name=resnet19", "trainer=cpu")
    assert code == 2
    assert "backbone.name=resnet19: timm " in err
    assert "has no such network. Did you mean " in err
    assert "resnet18" in err
    assert "Traceback" not in err
    assert len(err.splitlines()) == 1
