"""Signatures from source: of every kind of class that a user may write."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import pytest

from transferlab.config.bounds import AtLeast, Below
from transferlab.config.signature import signature

SOURCE = """\
from dataclasses import dataclass, field
from typing import ClassVar

from torch import nn
from transferlab.strategy.parts import Objective
import elsewhere


class Plain:
    def __init__(self, first: int, /, second: float = 1.0, *, third: "str | None", fourth=2):
        pass


class Child(Plain):
    pass


class Open:
    def __init__(self, **rest):
        pass


@dataclass(frozen=True)
class Fields:
    kind: ClassVar[str] = "x"
    size: int
    names: list[str] = field(default_factory=list)
    made: int = field(init=False, default=0)
    rate: float = field(kw_only=True)


@dataclass
class MoreFields(Fields):
    extra: bool = False


class Part(Objective):
    pass


class Layer(nn.Module):
    pass


class Foreign(elsewhere.Thing):
    pass


def function(*, a: int, b: str = "x"):
    pass
"""


@pytest.fixture
def read(tmp_path):
    Path("own_module.py").write_text(SOURCE)

    def find(name):
        found = signature(f"own_module.{name}", (str(tmp_path),))
        return {argument.name: argument.required for argument in found.arguments.values()}, found.open

    return find


def test_of_classes_and_functions(read):
    plain = {"first": True, "second": False, "third": True, "fourth": False}
    assert read("Plain") == (plain, False)
    assert read("Child") == (plain, False)
    assert read("Open") == ({}, True)
    assert read("Fields") == ({"size": True, "names": False, "rate": True}, False)
    assert read("MoreFields") == ({"size": True, "names": False, "rate": True, "extra": False}, False)
    assert read("Part") == ({}, False)
    assert read("Layer") == ({}, False)
    assert read("Foreign") == ({}, True)  # nobody can tell without importing
    assert read("function") == ({"a": True, "b": False}, False)


def test_annotations_are_read(tmp_path, read):
    read("Plain")
    arguments = signature("own_module.Plain", (str(tmp_path),)).arguments
    assert [arguments[name].annotation for name in ("first", "second", "third")] == [int, float, str | None]


@pytest.mark.parametrize(
    "target", ["own_module.Missing", "no_module.X", "Plain", "math.sqrt", "torch.nn.nope.X"]
)
def test_none_where_there_is_no_source(target, tmp_path):
    Path("own_module.py").write_text(SOURCE)
    assert signature(target, (str(tmp_path),)) is None


def test_followed_through_a_package(tmp_path):
    Path("pack").mkdir()
    Path("pack/__init__.py").write_text("from .inner import Thing as Renamed\n")
    Path("pack/inner.py").write_text("class Thing:\n    def __init__(self, size: int): ...\n")
    assert list(signature("pack.Renamed", (str(tmp_path),)).arguments) == ["size"]


def test_a_file_that_is_not_python(tmp_path):
    Path("broken.py").write_text("class X(:\n")
    assert signature("broken.X", (str(tmp_path),)) is None


def test_aliases_are_followed_within_a_package(tmp_path):
    package = tmp_path / "aliased"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "kinds.py").write_text("from typing import Literal\n\nKind = Literal['a', 'b']\n")
    (package / "part.py").write_text(
        "from dataclasses import dataclass\n"
        "from aliased.kinds import Kind\n\n"
        "Kinds = list[Kind]\n\n"
        "@dataclass\nclass Part:\n    kind: Kind | None\n    kinds: Kinds\n\n\n"
        "class Other:\n    def __init__(self, kind: 'Kind') -> None: ...\n"
    )
    read = signature("aliased.part.Part", [str(tmp_path)])
    assert read.arguments["kind"].annotation == Literal["a", "b"] | None
    assert read.arguments["kinds"].annotation == list[Literal["a", "b"]]
    assert signature("aliased.part.Other", [str(tmp_path)]).arguments["kind"].annotation == Literal["a", "b"]
    assert signature("aliased.part.Kinds", [str(tmp_path)]) is None


@pytest.mark.parametrize(("key", "choice"), [("strategy.bn", "mixed"), ("strategy.selection", "val_loss")])
def test_choices_behind_an_alias_are_checked(problems, key, choice):
    [problem] = problems(f"{key}=nonsense")
    assert key in problem
    assert choice in problem


FACTS = """\
import typing
from dataclasses import dataclass
from typing import ClassVar

import shapes as forms
from transferlab.config.bounds import AtLeast, Below

SMALLEST = 3


class Base:
    uses = True
    words: ClassVar[tuple[str, ...]] = ("a", "b")
    number: int = -1
    _hidden = 1

    def __init__(self, rate: float = -0.5, *, sizes=(1, 2), made=list(), name: str): ...


class Child(Base):
    uses = False
    number = len("ab")

    @property
    def words(self): ...


@dataclass
class Fields(forms.Round):
    kind: ClassVar[dict[str, int]] = {"a": 1}
    width: typing.Annotated[int, AtLeast(SMALLEST), "px"] = 4
    share: forms.Share = 0.5
"""
SHAPES = """\
from typing import Annotated, TypeAlias

from transferlab.config.bounds import AtLeast, Below

Share: TypeAlias = Annotated[float, AtLeast(0), Below(1)]


class Round:
    corners = 0
    kind = {}
"""


def test_facts(tmp_path):
    Path("stated.py").write_text(FACTS)
    Path("shapes.py").write_text(SHAPES)
    base, child, fields = (
        signature(f"stated.{name}", (str(tmp_path),)) for name in ("Base", "Child", "Fields")
    )
    assert base.facts == {"uses": True, "words": ("a", "b"), "number": -1}
    assert child.facts == {"uses": False}  # the others have become what only an import can tell
    assert fields.facts == {"corners": 0, "kind": {"a": 1}}
    defaults = {name: argument.default for name, argument in base.arguments.items()}
    assert defaults == {"rate": -0.5, "sizes": (1, 2), "made": ..., "name": ...}


def test_bounds(tmp_path):
    Path("stated.py").write_text(FACTS)
    Path("shapes.py").write_text(SHAPES)
    arguments = signature("stated.Fields", (str(tmp_path),)).arguments
    assert arguments["width"].annotation == Annotated[int, AtLeast(3)]
    assert arguments["share"].annotation == Annotated[float, AtLeast(0), Below(1)]
