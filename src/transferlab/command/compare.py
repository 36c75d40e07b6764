"""`transferlab compare`: runs as a table, with intervals and paired tests."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from transferlab.command.arguments import out_and_rest
from transferlab.run.printable import printable
from transferlab.run.run_folder import dated

HELP = """\
transferlab compare SWEEP
transferlab compare RUN RUN [SWEEP ...]

What differs between runs, and what it is worth. Runs that differ in their seed alone form a group: mean,
standard deviation, and a 95 % interval that covers other test images (or groups of them) and, from 3 seeds
on, other seeds. Of a method's hyperparameters (settings that are numbers) validation chooses; with two
domains, where validation is the source's, the score of strategy.selection does. A setting with fewer finished
runs than another of its method is not chosen.
The chosen are tested in pairs, corrected for their number by Holm: a paired bootstrap over the test samples
that both share, and Wilcoxon's signed-rank test over the seeds that both share, from 6 on.

  --out DIR   where comparison.csv and comparison_tests.csv go
              (default: the folder of the sweep; of several, comparisons/<date>_<time>)

Exit code: 0 done, 1 no run has finished, 2 a mistake in the command.
"""


def run(arguments: Sequence[str]) -> int:
    """Compare runs and sweeps."""
    out, given = out_and_rest(arguments, verb="compare")
    folders = [Path(text) for text in given]

    from transferlab.sweep.gather import gather, is_run

    runs = gather(folders)
    of_sweep = len(folders) == 1 and not is_run(folders[0])
    out = out or (folders[0] if of_sweep else dated("comparisons"))

    from transferlab.report.comparison_tables import compare_runs
    from transferlab.sweep.sweep_record import left_behind_lines

    file = compare_runs(runs, out)
    for folder in folders:
        sys.stdout.writelines(f"{printable(line)}\n" for line in left_behind_lines(folder))
    sys.stdout.write(f"{file}\n")
    return 0 if any(run.status == "finished" for run in runs) else 1
