"""Compare runs, write what comes of it, and show it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from transferlab.evaluation.comparison.compare import compare
from transferlab.evaluation.comparison.recorded import Recorded
from transferlab.report.comparison_files import write
from transferlab.report.comparison_tables import show


def compare_runs(runs: Sequence[Recorded], into: Path) -> Path:
    """Write comparison.csv and comparison_tests.csv into a folder, and print them as tables.

    Args:
        runs: gathered from their folders.
        into: made if it is not there; earlier files are replaced.

    Returns:
        The path of comparison.csv.
    """
    comparison = compare(runs)
    file = write(comparison, into)
    show(comparison, Console(highlight=False, markup=False, emoji=False))
    return file
