"""`transferlab average`: one network of the weights of several trained ones, without training."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from transferlab.command.arguments import folders_and_overrides, options_and_rest
from transferlab.run.errors import UserError
from transferlab.run.run_folder import dated

if TYPE_CHECKING:
    from transferlab.run.run_folder import Run

HELP = """\
transferlab average RUN RUN ... [--greedy]
transferlab average --line RUN_A RUN_B
transferlab average --wise-ft RUN

One network whose weights are an average of those of finished runs, without training (Wortsman et al. 2022,
model soups and WiSE-FT). The runs have one architecture, the same classes, and the same data in the same
splits; they differ in seeds, learning rates, epochs. A SWEEP stands for its runs.

  (nothing)         the mean of all runs
  --greedy          the runs in order of their validation accuracy; each stays that does not lower the mean's
  --line            11 points between two runs, alpha = 0 (RUN_A), 0.1, ... 1 (RUN_B); the best is taken
  --wise-ft         the same from the start of a run, its pretrained weights and its head then, to its end
  --out DIR         the result (default: averages/<date>_<time>): a model that evaluate and backbone.weights=
                    take, average.csv with each step, metrics and predictions
  data.root=DIR     where the runs' data is now, if it has moved
  trainer.KEY=VALUE another device or precision than in the training
  allow=[MODULE]    your own modules that the runs' configs name

All is chosen on the validation split, whose accuracy is therefore a little too high for what was chosen; the
test split is predicted once, with that. Batch norms that training has changed get their statistics anew for
each average, by a pass over the training images.
"""
How = Literal["uniform", "greedy", "line", "wise_ft"]
_HOWS: dict[str, How] = {"--greedy": "greedy", "--line": "line", "--wise-ft": "wise_ft"}


def run(arguments: Sequence[str]) -> int:
    """Average runs."""
    options, rest = options_and_rest(arguments, {"--out": "DIR", **dict.fromkeys(_HOWS, "")}, verb="average")
    chosen = [how for name, how in _HOWS.items() if name in options]
    if len(chosen) > 1:
        raise UserError(f"transferlab average takes one of {', '.join(_HOWS)}, not {len(chosen)} of them.")
    folders, overrides = folders_and_overrides(rest)

    from transferlab import api

    out = Path(options["--out"]) if "--out" in options else dated("averages")
    made = api.average(*folders, how=chosen[0] if chosen else "uniform", overrides=overrides, out=out)
    _show(made)
    sys.stdout.write(f"{out}\n")
    return 0


def _show(made: Run) -> None:
    from rich.table import Table

    from transferlab.report.plain_console import PlainConsole
    from transferlab.report.run_tables import show_metrics
    from transferlab.run.reading import read_csv

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    for name in ("val accuracy", "95 % interval", "val loss", "kept"):
        table.add_column(name, justify="right")
    steps = read_csv(made.path / "average.csv", dtype={"network": str}).to_dict("records")
    for step in steps:
        accuracy, low, high, loss = (
            f"{step[name]:.3f}".replace("nan", "-") for name in ("val_accuracy", "low", "high", "val_loss")
        )
        table.add_row(step["network"], accuracy, f"{low} to {high}", loss, step["kept"])
    console = PlainConsole()
    console.print(table)
    for text in made.result["warnings"]:
        console.print(f"note: {text}", highlight=False)
    show_metrics(made.result)
