"""A part is a class, a YAML file and a test: a user's own objectives, unfreezing, head and data."""

from __future__ import annotations

import pytest
import torch

from transferlab.config.compose import ConfigError, compose_checked
from transferlab.config.instantiation import make
from transferlab.config.multirun import check_sweep
from transferlab.data.catalog.digits import Digits
from transferlab.strategy.strategy import Strategy
from transferlab.training.heads.sharing import groups_of

# Facts by plain assignment and by ClassVar, inherited from ours and from one's own; bounds of every kind
PARTS = '''\
from dataclasses import dataclass
from typing import Annotated, ClassVar

from transferlab.config.bounds import AtLeast, Below, NotEmpty, PositiveInt
from transferlab.data.catalog.digits import Digits
from transferlab.strategy import parts
from transferlab.strategy.head.linear import Linear
from transferlab.strategy.objective.dann import DANN

Margin = Annotated[float, AtLeast(0), Below(2)]


class Hinge(parts.Objective):
    """Hinge loss; it looks at the images."""

    needs_images = True

    def __init__(self, *, margin: Margin = 1.0) -> None:
        super().__init__()
        self.margin = margin

    def losses(self, network, batch, progress):
        raise NotImplementedError


class Gentle(DANN):
    """DANN, that is, with a fact of its class."""

    def __init__(self, *, patience: PositiveInt | None = None) -> None:
        super().__init__()


class UpTo:
    """Inherits from nothing."""

    opens_nothing_with = {"depth": 0}

    def __init__(self, depth: Annotated[int, AtLeast(0)] = 0) -> None:
        self.depth = depth

    def trainable_stages(self, epoch, history, num_stages):
        return self.depth

    def phase(self, history, num_stages):
        return "settled"


@dataclass(frozen=True)
class Scaled(Linear):
    scale: Annotated[float, AtLeast(0.5)] = 1.0


class Picked(Digits):
    def __init__(self, *, names: Annotated[list[str], NotEmpty()]) -> None:
        self.names = names
'''
FILES = {
    "my_parts.py": PARTS,
    "conf/strategy/objective/hinge.yaml": "_target_: my_parts.Hinge\nmargin: 1.0\n",
    "conf/strategy/objective/gentle.yaml": "_target_: my_parts.Gentle\npatience: null\n",
    "conf/strategy/unfreezing/up_to.yaml": "_target_: my_parts.UpTo\ndepth: 0\n",
    "conf/strategy/head/scaled.yaml": "_target_: my_parts.Scaled\nscale: 1.0\n",
    "conf/data/catalog/picked.yaml": "_target_: my_parts.Picked\nnames: [a]\n",
}
ALLOWED = "allow=[my_parts]"
CHOSEN = (
    "strategy/objective=hinge",
    "strategy/unfreezing=up_to",
    "strategy/head=scaled",
    "data/catalog@data.source=picked",
    ALLOWED,
)


@pytest.fixture(autouse=True)
def own_parts(write, monkeypatch, tmp_path):
    for name, text in FILES.items():
        write(name, text)
    monkeypatch.syspath_prepend(tmp_path)


def test_they_compose_and_are_built():
    config = compose_checked([*CHOSEN, "strategy.head.scale=0.5", "strategy.unfreezing.depth=2"]).config
    strategy = make(config.strategy)
    assert isinstance(strategy, Strategy)
    assert (strategy.objective.margin, strategy.head.scale, strategy.unfreezing.depth) == (1.0, 0.5, 2)
    assert strategy.solver == "gradient"
    assert strategy.head.build(4, 3)(torch.zeros(2, 4)).shape == (2, 3)
    source = make(config.data.source)
    assert isinstance(source, Digits)
    assert source.names == ["a"]


def test_their_bounds_are_told_at_once(problems):
    wrong = [
        "strategy.objective.margin=2",
        "strategy.unfreezing.depth=-1",
        "strategy.head.scale=0.1",
        "data.source.names=[]",
        "strategy.objective.margni=1",
    ]
    assert sorted(problems(*CHOSEN, *wrong)) == [
        "data.source.names=[]: must not be empty.",
        "strategy.head.scale=0.1: must be at least 0.5.",
        "strategy.objective.margin=2: must be at least 0 and below 2.",
        "strategy.objective.margni: there is no such key. Did you mean strategy.objective.margin?",
        "strategy.unfreezing.depth=-1: must be at least 0.",
    ]


def test_in_a_sweep_before_the_first_job():
    with pytest.raises(ConfigError) as caught:
        check_sweep([*CHOSEN, "strategy.objective.margin=1,1.5,-1,0.5"])
    assert caught.value.problems == ["strategy.objective.margin=-1: must be at least 0 and below 2."]


def test_an_inherited_fact(problems):
    (text,) = problems("strategy/objective=gentle", ALLOWED)
    assert text.startswith("strategy.objective: Gentle needs an unlabelled target domain")
    adapting = ("strategy/objective=gentle", "data=digits_domains", "strategy.bn=separate", ALLOWED)
    assert problems(*adapting) == []
    (warning,) = compose_checked([*adapting, "strategy/unfreezing=up_to"]).warnings
    assert warning.startswith("strategy.objective: Gentle adapts the backbone's features, and no stage")
    assert (
        compose_checked([*adapting, "strategy/unfreezing=up_to", "strategy.unfreezing.depth=1"]).warnings
        == []
    )


def test_what_needs_gradients_does_not_go_with_logistic_regression(problems):
    frozen = ("strategy/unfreezing=up_to", "strategy/head=logistic", ALLOWED)
    assert problems(*frozen) == []
    (text,) = problems(*frozen, "strategy/objective=hinge")
    assert text.startswith("strategy.objective: strategy/head=logistic minimises cross-entropy, not Hinge.")
    (text,) = problems(*frozen, "strategy.unfreezing.depth=1")
    assert text.startswith("strategy.unfreezing: UpTo trains the backbone")


@pytest.mark.parametrize(
    ("chosen", "together"),
    [
        (("strategy/unfreezing=up_to", "strategy/head=scaled"), True),
        (("strategy/unfreezing=up_to", "strategy.unfreezing.depth=1"), False),
        (("strategy/unfreezing=none", "strategy/objective=hinge"), False),  # it needs images
    ],
    ids=["frozen", "open", "images"],
)
def test_which_train_together(chosen, together):
    configs = [
        compose_checked(["strategy=fine_tune", *chosen, ALLOWED, f"seed={seed}"]).config for seed in (0, 1)
    ]
    assert (len(groups_of(configs)) == 1) == together
