"""A comparison on the terminal: hyperparameters by validation, the chosen on test, pairs, what is missing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from transferlab.evaluation.comparison.compare import Comparison, Row, Summary, compare
from transferlab.evaluation.comparison.grouping import Recorded, seeds_as_text
from transferlab.evaluation.comparison.intervals import FEWEST_SEEDS
from transferlab.evaluation.comparison.pairs import MOST_ALL_PAIRS, Pair, Question
from transferlab.evaluation.comparison.run_metrics import NAMES, SELECTIONS
from transferlab.evaluation.comparison.significance import seeds_needed
from transferlab.report.comparison_files import TESTS, write
from transferlab.report.plain_console import PlainConsole

_MOST_PAIRS = 20
_MANY_SEEDS = 10


def show(comparison: Comparison, console: Console) -> None:
    """Print it; tables fit into 80 columns."""
    metric = NAMES[comparison.metric]
    rivals = [row for row in comparison.rows if row.has_rivals]
    chosen = [row for row in comparison.rows if row.chosen]
    if rivals:
        _heading(console, f"Hyperparameters, chosen by {metric} on validation")
        console.print(_validation_table(rivals, metric))
    if chosen:
        _heading(console, f"{metric[0].upper()}{metric[1:]}, mean ± standard deviation over seeds")
        console.print(_test_table(chosen, metric))
        console.print(_about_intervals(chosen), style="dim")
    if any(f"{SELECTIONS[0]} accuracy" in row.metrics for row in chosen):
        _heading(console, "Test accuracy by the epoch selected (the oracle saw labels of the target)")
        console.print(_selection_table(chosen))
    if comparison.pairs:
        count = f"{len(comparison.pairs)} pairs" if len(comparison.pairs) > 1 else "1 pair"
        _heading(console, f"On test: {count} of methods, p-values corrected by Holm")
        console.print(_pairs_table(comparison.pairs[:_MOST_PAIRS], _one_key(chosen)))
        if len(comparison.pairs) > _MOST_PAIRS:
            console.print(f"and {len(comparison.pairs) - _MOST_PAIRS} more in {TESTS}")
    for text in notes(comparison):
        console.print(text, soft_wrap=True)


def notes(comparison: Comparison) -> Iterator[str]:
    """Notes on runs that did not enter, a line each."""
    asked = [pair for pair in comparison.pairs if pair.over_seeds.p_value is not None]
    needed = seeds_needed(len(asked)) if asked else 0
    if asked and max(pair.num_seeds for pair in asked) < needed:
        yield f"other seeds: among {len(asked)} pairs only {needed} seeds or more can show a difference"
    metric = f"test {NAMES[comparison.metric]}"
    tasks = [row.task for row in comparison.rows if row.chosen and any(metric in each for each in row.each)]
    if len(set(tasks)) > 1:
        yield "methods that learn from different data are not tested against each other"
    if any(tasks.count(task) > MOST_ALL_PAIRS for task in tasks):
        yield f"of more than {MOST_ALL_PAIRS} methods, the best on validation is tested against each"
    for row in comparison.rows:
        group = row.group
        if group.missing:
            yield f"missing seeds: {group.name}: {seeds_as_text(group.missing)}"
        for run in group.repeated:
            yield f"left out: {run.path.name}: its seed is there already"
    for run in (*(run for row in comparison.rows for run in row.group.unfinished), *comparison.not_begun):
        yield f"{run.status}: {run.path.name}: {run.reason}".removesuffix(": ")


def _validation_table(rows: Sequence[Row], metric: str) -> Table:
    key = _one_key(rows)
    table = _table(key or "group", "seeds", "val", "")
    for row in rows:
        val = _mean_and_std(row.metrics.get(f"val {metric}"))
        table.add_row(_name(row, key), _seeds(row), val, "chosen" if row.chosen else "")
    return table


def _test_table(rows: Sequence[Row], metric: str) -> Table:
    key = _one_key(rows)
    table = _table(key or "group", "seeds", "val", "test", "95 % interval")
    for row in rows:
        val, test = row.metrics.get(f"val {metric}"), row.metrics.get(f"test {metric}")
        interval = test.interval if test else None
        table.add_row(
            _name(row, key),
            _seeds(row),
            f"{val.mean:.3f}" if val else "-",
            _mean_and_std(test),
            f"{interval.low:.3f} to {interval.high:.3f}" if interval else "-",
        )
    return table


def _selection_table(rows: Sequence[Row]) -> Table:
    key = _one_key(rows)
    table = _table(key or "group", *SELECTIONS)
    for row in rows:
        metrics = [row.metrics.get(f"{rule} accuracy") for rule in SELECTIONS]
        table.add_row(_name(row, key), *map(_mean_and_std, metrics))
    return table


def _pairs_table(pairs: Sequence[Pair], key: str | None) -> Table:
    table = _table("", "diff.")
    for title in ("other samples", "other seeds"):
        table.add_column(title, width=17)
    for pair in pairs:
        names = _against(pair.first, pair.second, key)
        table.add_row(names, f"{pair.difference:+.3f}", _answer(pair.over_samples), _answer(pair.over_seeds))
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(columns[0], overflow="fold")
    for title in columns[1:]:
        table.add_column(title, justify="right", no_wrap=True)
    return table


def _about_intervals(rows: Sequence[Row]) -> str:
    kinds = list(dict.fromkeys(row.interval_over for row in rows if row.interval_over))
    if not kinds:
        return f"Intervals need {FEWEST_SEEDS} seeds"
    over = " or ".join(kinds)
    few = "seeds" in kinds and any(1 < len(row.each) < _MANY_SEEDS for row in rows)
    note = f", too narrow with under {_MANY_SEEDS} seeds" if few else ""
    return f"Intervals: bootstrap over {over}{note}"


def _against(first: str, second: str, key: str | None) -> str:
    """Two names, and what they have in common after them."""
    if key:
        return f"{first.removeprefix(f'{key}=')} against {second.removeprefix(f'{key}=')}"
    one, other = first.split(" "), second.split(" ")
    both = " ".join(part for part in one if part in other)
    names = [" ".join(part for part in parts if part not in both.split(" ")) for parts in (one, other)]
    return " against ".join(names) + (f" ({both})" if both else "")


def _answer(question: Question) -> str:
    if question.corrected is None:
        return question.verdict
    p_value = "p<0.001" if question.corrected < 0.001 else f"p={question.corrected:.2g}"  # kept on one line
    return f"{question.verdict}, {p_value}"


def _one_key(rows: Sequence[Row]) -> str | None:
    """The key of all names, where each is nothing but one key and its value."""
    keys = {row.group.name.partition("=")[0] for row in rows}
    alone = all(len(row.group.settings) == 1 for row in rows)
    return keys.pop() if alone and len(keys) == 1 else None


def _name(row: Row, key: str | None) -> str:
    return row.group.name.removeprefix(f"{key}=") if key else row.group.name


def _seeds(row: Row) -> str:
    return str(len(row.group.repetitions))


def _mean_and_std(summary: Summary | None) -> str:
    if summary is None:
        return "-"
    return f"{summary.mean:.3f}" + ("" if summary.std is None else f" ± {summary.std:.3f}")


def _heading(console: Console, text: str) -> None:
    console.print()
    console.print(text, style="bold")


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
    show(comparison, PlainConsole(pipe_columns=80, highlight=False))
    return file
