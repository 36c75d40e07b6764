"""`transferlab reproduce RUN`: a recorded run once more, and how far the two are apart."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from transferlab.command.arguments import folders_and_overrides, only_folder, out_and_rest
from transferlab.config.overrides import allowed_and_rest, moved_data
from transferlab.run.errors import UserError
from transferlab.run.printable import printable_lines
from transferlab.run.run_folder import REPORTED, Run, dated

if TYPE_CHECKING:
    from transferlab.analysis.reproduction import Value

HELP = """\
transferlab reproduce RUN [data.root=DIR] [allow=[MODULE]]

Run the config of a finished run again, in its seeds and with as many threads, and compare: every number of
result.json, the predictions, the environment. On the same machine and versions they are the same bit for bit;
elsewhere accuracies should lie within the recorded ones' 95 % interval over the samples.
A run that was trained together with others (group.json) is run again with all of them.

  data.root=DIR   where the run's data is now, if it has moved
  --out DIR       where the new run goes (default: RUN/reproductions/<date>_<time>)

Exit code: 0 identical or within the interval, 1 not, 2 a mistake in the command.
"""
_ALWAYS = (*(f"{split}." for split in REPORTED), "selection.", "cost.")


def run(arguments: Sequence[str]) -> int:
    """Reproduce a run."""
    out, given = out_and_rest(arguments, verb="reproduce")
    allow, rest = allowed_and_rest(given)
    paths, overrides = folders_and_overrides(rest)
    recorded = Run(only_folder(paths, verb="reproduce"))
    if not recorded.config_file.is_file():
        raise UserError(f"{recorded.path}: this is not a run folder (it has no config.yaml).")
    if recorded.status != "finished":
        raise UserError(
            f"{recorded.path} has not finished ({recorded.status}): transferlab resume {recorded.path}"
        )
    if "of" in recorded.result:
        raise UserError(
            f"{recorded.path}: no training made this folder, but an evaluation or an average of runs. Fix: "
            "give the folder of a run."
        )
    out = out or dated(recorded.path / "reproductions")

    from transferlab.sweep.reproduce import changes_since, reproduce

    moved = moved_data(overrides)
    for text in changes_since(recorded, allow=allow, moved=moved):
        sys.stdout.write(f"changed since: {printable_lines(text)}\n")
    verdicts = [
        _compare(before, again) for before, again in reproduce(recorded, out, allow=allow, moved=moved)
    ]
    sys.stdout.write(f"{out}\n")
    return 0 if set(verdicts) <= {"identical", "within the interval"} else 1


def _compare(recorded: Run, again: Run) -> str:
    """Write reproduction.csv into the new run's folder, show what matters of it, and return the verdict."""
    import pandas as pd

    from transferlab.analysis import reproduction
    from transferlab.run.run_folder import write_atomically

    values = reproduction.values_apart(recorded, again)
    predictions = reproduction.predictions_apart(recorded, again)
    verdict = reproduction.verdict_of(values, predictions)
    columns = ("value", "recorded", "again", "difference", "low", "high", "verdict")
    rows = []
    for value in values:
        ends = (value.interval.low, value.interval.high) if value.interval else (None, None)
        rows.append((value.name, value.recorded, value.again, value.difference, *ends, value.verdict))
    write_atomically(again.path / "reproduction.csv", pd.DataFrame(rows, columns=columns).to_csv(index=False))
    sys.stdout.write(f"\n{recorded.path.name}\n")
    apart = reproduction.environment_apart(recorded, again)
    for name, (then, now) in apart.items():
        sys.stdout.write(printable_lines(f"environment: {name} was {then}, is {now}\n"))
    if not apart:
        sys.stdout.write("environment: the same versions, hardware, threads and code\n")
    _show(values)
    for part in predictions:
        others = f", {part.num_others} in one of them only" if part.num_others else ""
        sys.stdout.write(
            f"predictions of {part.split}: largest difference of a probability {part.largest:.3g}, "
            f"{part.num_changed} of {part.num_samples} images predicted otherwise{others}\n"
        )
    sys.stdout.write(f"{verdict}\n")
    return verdict


def _show(values: Sequence[Value]) -> None:
    from rich.table import Table

    from transferlab.report.plain_console import PlainConsole

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, side in (("", "left"), ("recorded", "right"), ("again", "right"), ("difference", "right")):
        table.add_column(name, justify=side)  # type: ignore[arg-type]
    table.add_column("verdict")
    shown = [each for each in values if each.name.startswith(_ALWAYS) or each.verdict != "identical"]
    for value in shown:
        numbers = (value.recorded, value.again, value.difference)
        table.add_row(value.name, *["-" if n is None else f"{n:.6g}" for n in numbers], value.verdict)
    console = PlainConsole()
    console.print(table)
    if len(values) > len(shown):
        console.print(f"and {len(values) - len(shown)} more, identical (reproduction.csv)", highlight=False)
