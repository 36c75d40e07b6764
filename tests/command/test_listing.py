"""`transferlab list`."""

from __future__ import annotations

from pathlib import Path

import pytest

from transferlab.command import listing
from transferlab.run.errors import UserError


@pytest.mark.parametrize("what", listing.GROUPS)
def test_a_line_each(what, capsys):
    assert listing.run([what]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines
    for line in lines:
        name, _, about = line.partition("  ")
        assert name
        assert about.strip(), line
        assert len(line) <= 150


def test_the_users_own_come_last(capsys):
    Path("conf/strategy").mkdir(parents=True)
    Path("conf/strategy/mine.yaml").write_text("# what I do\ndefaults: [fine_tune, _self_]\n")
    Path("conf/strategy/dann.yaml").write_text("# never read\n")
    listing.run(["strategies"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].split("  ")[0] == "mine"
    assert lines[-1].endswith("what I do")
    assert not any("never read" in line for line in lines)


@pytest.mark.parametrize(
    ("word", "option"),
    [
        ("strategy/head", "mlp"),
        ("head", "mlp"),
        ("strategy.head", "mlp"),
        ("hydra/launcher", "slurm_gpu"),
        ("hydra/sweeper", "optuna"),
        ("experiment", "few_digits"),
        ("data/catalog", "table"),
        ("data/catalog@data.source", "table"),
        ("trainer", "ddp"),
        ("model", "resnet18"),
    ],
)
def test_every_group(word, option, capsys):
    listing.run([word])
    assert option in [line.split()[0] for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ([], "transferlab list takes one of backbones, strategies, data, experiments, not nothing. Or any"),
        (
            ["x"],
            "transferlab list takes one of backbones, strategies, data, experiments, not x. Or any config",
        ),
        (["strategis"], "not strategis. Did you mean strategies or strategy"),
        (["strategy/haed"], "not strategy/haed. Did you mean strategy/head"),
    ],
)
def test_mistakes(given, text):
    with pytest.raises(UserError) as caught:
        listing.run(given)
    assert text in str(caught.value)
