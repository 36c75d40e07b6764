"""Annotations as plain types."""

from __future__ import annotations

import ast
import doctest
from typing import Annotated, Any, Literal

import pytest

from transferlab.config import annotation
from transferlab.config.annotation import choices, evaluate, in_words, kind, matches, plain
from transferlab.config.bounds import Above, AtLeast, Below, NotEmpty

UNDERSTOOD = {
    "int": int,
    "float | None": float | None,
    "'int | str'": int | str,
    "Optional[bool]": bool | None,
    "Union[int, str]": int | str,
    "list[str]": list[str],
    "Sequence[float]": list[float],
    "tuple[int, int]": list[int],
    "dict[str, int]": dict,
    "Literal['a', 1]": Literal["a", 1],
    "int | Literal['auto'] | None": int | Literal["auto"] | None,
    "Path | None": str | None,
    "Annotated[float, AtLeast(0), Below(1)] | None": Annotated[float, AtLeast(0), Below(1)] | None,
    "Annotated[Sequence[Annotated[int, bounds.Above(-1)]], NotEmpty()]": Annotated[
        list[Annotated[int, Above(-1)]], NotEmpty()
    ],
    "typing.Annotated[int, 'pixels']": int,
    "Backbone": Any,
    "Backbone | None": Any,
    "torch.Tensor": Any,
    "Callable[[int], str]": Any,
}


@pytest.mark.parametrize("text", UNDERSTOOD)
def test_evaluate(text):
    assert evaluate(ast.parse(text, mode="eval").body, {}.__getitem__) == UNDERSTOOD[text]


@pytest.mark.parametrize(
    ("value", "annotation", "fits"),
    [
        (1, int, True),
        (1, float, True),
        (1.0, int, False),
        (True, int, False),
        (True, float, False),
        (1, bool, False),
        (None, int | None, True),
        (None, int, False),
        ("auto", int | Literal["auto"], True),
        ("Auto", int | Literal["auto"], False),
        (1, Literal[True], False),
        ([1, 2], list[int], True),
        ([1, "a"], list[int], False),
        ("ab", list, False),
        ({"a": 1}, dict, True),
        ([], dict, False),
        (object(), Any, True),
        (5, Annotated[float, AtLeast(0), Below(1)] | None, True),  # of the right type, if out of its bounds
        ("5", Annotated[float, AtLeast(0)], False),
    ],
)
def test_matches(value, annotation, fits):
    assert matches(value, annotation) is fits


def test_words():
    assert in_words(float | Literal["auto"] | None) == "a number, auto or null"
    assert in_words(list[int]) == "a list of whole numbers"
    assert in_words(bool) == "true or false"
    assert in_words(Annotated[float, AtLeast(0)] | Literal["auto"]) == "a number or auto"
    assert in_words(list[Annotated[int, Above(0)]]) == "a list of whole numbers"
    assert choices(int | Literal["a", "b"]) == ["a", "b"]
    assert [kind(value) for value in (True, 1, 1.5, "x", None, [], {})] == [
        "true or false",
        "a whole number",
        "a decimal number",
        "text",
        "null",
        "a list",
        "a mapping",
    ]
    assert [plain(value) for value in (True, None, "x", [1, "a"], {"a": None})] == [
        "true",
        "null",
        "x",
        "[1, a]",
        "{a: null}",
    ]


def test_examples():
    assert doctest.testmod(annotation).failed == 0
