"""Ways to the same result, timed in turns in one process, and the table of how they compare."""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch

RESULTS = Path(__file__).parent / "results"
_CPUINFO = Path("/proc/cpuinfo")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Spent:
    """Seconds that a way took: of the processor, of which a busy machine takes little, and of the clock."""

    processor_s: float
    wall_s: float

    def times(self, factor: float) -> Spent:
        """What so many times the work would have taken."""
        return Spent(factor * self.processor_s, factor * self.wall_s)


def rounds_asked(description: str | None, *, default: int = 3) -> int:
    """How often the command line wants each way to be timed."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=default)
    return parser.parse_args().rounds


def timed(run: Callable[[], Result]) -> tuple[Result, Spent]:
    """What a function returns, and what it took."""
    processor, wall = time.process_time(), time.perf_counter()
    result = run()
    return result, Spent(time.process_time() - processor, time.perf_counter() - wall)


def in_turns(
    ways: Mapping[str, Callable[[], object]], *, rounds: int, warm_up: int = 1
) -> dict[str, list[Spent]]:
    """What each way took in each round, in which all come once; the first `warm_up` do not count."""
    spent: dict[str, list[Spent]] = {name: [] for name in ways}
    for number in range(warm_up + rounds):
        for name, run in ways.items():
            _, took = timed(run)
            if number >= warm_up:
                spent[name].append(took)
    return spent


@dataclass(frozen=True, kw_only=True)
class Row:
    """A comparison of two ways to the same result.

    Attributes:
        what: the way of transferlab.
        against: the other one.
        spent: by `what` in each round.
        baseline: by `against` in the same rounds.
        at_least: how many times as fast `what` should be; or
        at_most: how many times the other one's time it may take; infinity: no goal.
        equal: what was asserted of the two results, with the figure.
        remark: why a goal is missed, or on what the figure depends.
    """

    what: str
    against: str
    spent: Sequence[Spent]
    baseline: Sequence[Spent]
    at_least: float | None = None
    at_most: float | None = None
    equal: str
    remark: str = ""

    @property
    def goal(self) -> str:
        """As it stands in the table; empty where there is none."""
        if self.at_least is not None:
            return f"≥ {self.at_least:g}×"
        return f"≤ {self.at_most:g}×" if math.isfinite(self.at_most or math.inf) else ""

    @property
    def reached(self) -> bool:
        middle = statistics.median(self.ratios)
        return middle >= (self.at_least or 0.0) and middle <= (self.at_most or math.inf)

    @property
    def ratios(self) -> list[float]:
        """Round by round: both terms met the same load."""
        pairs = zip(self.spent, self.baseline, strict=True)
        quotients = [other.processor_s / own.processor_s for own, other in pairs]
        return quotients if self.at_most is None else [1 / quotient for quotient in quotients]

    def as_json(self) -> dict[str, object]:
        return {
            "what": self.what,
            "against": self.against,
            "goal": self.goal,
            "reached": self.reached,
            "measured": round(statistics.median(self.ratios), 3),
            "of_each_round": [round(ratio, 3) for ratio in self.ratios],
            "processor_s": [round(spent.processor_s, 4) for spent in self.spent],
            "processor_s_against": [round(spent.processor_s, 4) for spent in self.baseline],
            "wall_s": [round(spent.wall_s, 4) for spent in self.spent],
            "wall_s_against": [round(spent.wall_s, 4) for spent in self.baseline],
            "equal": self.equal,
            "remark": self.remark,
        }

    def as_markdown(self) -> str:
        digits = 0 if min(self.ratios) >= 20 else 1 if self.at_most is None else 2
        low, middle, high = min(self.ratios), statistics.median(self.ratios), max(self.ratios)
        cells = [
            self.what,
            self.against,
            self.goal if self.reached else f"{self.goal}, missed",
            f"**{middle:.{digits}f}×** ({low:.{digits}f} to {high:.{digits}f})",
            _seconds(statistics.median(spent.processor_s for spent in self.spent)),
            _seconds(statistics.median(spent.processor_s for spent in self.baseline)),
            self.equal,
        ]
        return f"| {' | '.join(cells)} |"


def write(name: str, about: str, rows: Sequence[Row]) -> None:
    """Write results/`name`.json and .md, and show the latter.

    Args:
        name: of the files.
        about: what was measured how, in a sentence or two.
        rows: what came out.
    """
    made_with = {
        "processor": _processor(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        **{module: sys.modules[module].__version__ for module in ("pytorch_lightning", "timm")},
    }
    content = {"about": about, "rows": [row.as_json() for row in rows], "made_with": made_with}
    lines = [
        about,
        "",
        "Medians of rounds in which the two ways take turns in one process, with the range; one thread.",
        "",
        "| what | against | goal | measured | takes | the other | held equal |",
        "|---|---|---|---:|---:|---:|---|",
        *[row.as_markdown() for row in rows],
        "",
        *[f"- {row.what}: {row.remark}" for row in rows if row.remark],
        "",
        ", ".join(f"{part} {version}" for part, version in made_with.items()),
        "",
    ]
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    (RESULTS / f"{name}.md").write_text("\n".join(lines))
    sys.stdout.write("\n".join(lines))


def one_thread() -> None:
    """What is compared is work, not the number of cores."""
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)


def _seconds(value: float) -> str:
    return f"{value:.3g} s" if value >= 0.9995 else f"{1000 * value:.3g} ms"


def _processor() -> str:
    text = _CPUINFO.read_text(encoding="utf-8") if _CPUINFO.is_file() else ""
    names = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    return names[0] if names else platform.processor()
