"""Nodes to objects: a user's own class that cannot be imported, made or used says so in a sentence."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from transferlab.config.compose import compose_checked
from transferlab.config.instantiation import make
from transferlab.run.errors import UserError

MINE = """\
from torch import nn
from transferlab.strategy.parts import Objective, Penalty


class Raising:
    def __init__(self):
        raise ValueError("two\\nlines.")


class Half:
    def trainable_stages(self, epoch, history, num_stages):
        return 0


class Plain:
    def losses(self, network, batch, progress):
        return None


class Abstract(Objective):
    pass


class Unready(Penalty):
    def __init__(self):
        pass

    def penalty(self, network):
        return 0
"""


@pytest.fixture(autouse=True)
def _mine(monkeypatch):
    Path("mine.py").write_text(MINE)
    Path("bad.py").write_text("import nowhere_at_all\n\nclass X:\n    pass\n")
    monkeypatch.syspath_prepend(Path.cwd())
    yield
    for name in ("mine", "bad"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("part", "target", "text"),
    [
        (
            "head",
            "mine.Raising",
            r"strategy.head: mine.Raising: ValueError: two lines \(mine.py, line 7\). Fix: ",
        ),
        ("head", "bad.X", "strategy.head: bad.X: ModuleNotFoundError: No module named 'nowhere_at_all'"),
        ("head", "mine.Half", "strategy.head: mine.Half has no method build. Fix: .*parts.Head describes it"),
        ("unfreezing", "mine.Half", "strategy.unfreezing: mine.Half has no method phase. Fix: "),
        (
            "objective",
            "mine.Plain",
            r"mine.Plain does not extend .*parts.Objective. Fix: class Plain\(Objective\)",
        ),
        ("objective", "mine.Abstract", "strategy.objective: mine.Abstract: TypeError: .*abstract"),
        (
            "penalty.x",
            "mine.Unready",
            r"strategy.penalty.x: mine.Unready is not initialised. Fix: .*super\(\)",
        ),
    ],
)
def test_wrong_parts_of_a_strategy(part, target, text):
    config = compose_checked([]).config
    OmegaConf.update(config, f"strategy.{part}", {"_target_": target}, merge=False, force_add=True)
    with pytest.raises(UserError, match=text) as caught:
        make(config.strategy)
    assert "\n" not in str(caught.value)


def test_a_mistake_that_a_class_explains_is_not_wrapped():
    Path("mine.py").write_text(
        "from transferlab.run.errors import UserError\ndef f():\n    raise UserError('as it is')\n"
    )
    with pytest.raises(UserError, match=r"^as it is$"):
        make(OmegaConf.create({"_target_": "mine.f"}))
