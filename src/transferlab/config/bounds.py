"""Bounds of a config value, stated in the annotation of the argument that takes it.

`weight: Annotated[float, AtLeast(0)]` refuses a negative weight before anything heavy is imported: the
annotation is read from the source of the class.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Sequence, Sized
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar


@dataclass(frozen=True)
class _Limit:
    limit: float

    word: ClassVar[str]
    compare: ClassVar[Any]  # a function of `operator`

    def holds(self, value: Any) -> bool:
        """True if a value is within the bound: infinity and NaN never are, what is no number always is."""
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return not is_number or (-math.inf < value < math.inf and self.compare(value, self.limit))

    def __str__(self) -> str:
        return f"{self.word} {self.limit}"


class AtLeast(_Limit):
    """Numbers from `limit` on."""

    word, compare = "at least", operator.ge


class Above(_Limit):
    """Numbers greater than `limit`."""

    word, compare = "above", operator.gt


class AtMost(_Limit):
    """Numbers up to `limit`."""

    word, compare = "at most", operator.le


class Below(_Limit):
    """Numbers less than `limit`."""

    word, compare = "below", operator.lt


@dataclass(frozen=True)
class NotEmpty:
    """Lists and texts that hold something."""

    def holds(self, value: Any) -> bool:
        """True if a value is within the bound; what has no length always is."""
        return not isinstance(value, Sized) or len(value) > 0

    def __str__(self) -> str:
        return "not empty"


@dataclass(frozen=True)
class Duration:
    """Texts `days:hours:minutes:seconds` above zero, or null."""

    def holds(self, value: Any) -> bool:
        """True if a value is one. YAML reads 10:00:00:00 without quotes as a number, to base 60."""
        if value is None:
            return True
        parts = re.fullmatch(r"(\d+):(\d\d):(\d\d):(\d\d)", value) if isinstance(value, str) else None
        return parts is not None and any(map(int, parts.groups()))

    def __str__(self) -> str:
        return "null or days:hours:minutes:seconds, text such as 00:08:00:00 (in YAML in quotes)"


Bound = AtLeast | Above | AtMost | Below | NotEmpty | Duration
KINDS: dict[str, type[Bound]] = {
    kind.__name__: kind for kind in (AtLeast, Above, AtMost, Below, NotEmpty, Duration)
}

# The usual ones, by pydantic's names for them
PositiveInt = Annotated[int, AtLeast(1)]
NonNegativeInt = Annotated[int, AtLeast(0)]
PositiveFloat = Annotated[float, Above(0)]
NonNegativeFloat = Annotated[float, AtLeast(0)]
Probability = Annotated[float, AtLeast(0), AtMost(1)]
Share = Annotated[float, AtLeast(0), Below(1)]  # of something of which never all goes


def rule(bounds: Sequence[Bound], value: Any) -> str:
    """Sentence about a `value` that is not within these bounds.

    >>> rule([AtLeast(0), Below(1)], 1), rule([NotEmpty()], []), rule([AtLeast(0)], math.inf)
    ('must be at least 0 and below 1', 'must not be empty', 'must be a finite number, at least 0')
    """
    finite = "" if not isinstance(value, float) or math.isfinite(value) else "a finite number, "
    return f"must be {finite}{' and '.join(map(str, bounds))}".replace("be not", "not be")
