"""A comparison on the terminal: every group with the chosen ones marked, pairs of these, what is missing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from transferlab.evaluation.comparison.compare import Comparison, Row, Summary, compare
from transferlab.evaluation.comparison.grouping import Recorded, seeds_as_text
from transferlab.evaluation.comparison.pairs import MOST_ALL_PAIRS, Pair, Question
from transferlab.evaluation.comparison.run_metrics import NAMES, SELECTIONS
from transferlab.evaluation.comparison.significance import seeds_needed
from transferlab.evaluation.selection.criteria import ORACLE_CAUTION, SND_CAUTION
from transferlab.report.comparison_files import TESTS, write
from transferlab.report.plain_console import PlainConsole

_MOST_PAIRS = 20


def show(comparison: Comparison, console: Console) -> None:
    """Print it; tables fit into 80 columns."""
    metric = NAMES[comparison.metric]
    chosen = [row for row in comparison.rows if row.chosen]
    if comparison.rows:
        _heading(console, f"{metric[0].upper()}{metric[1:]}, mean ± standard deviation over seeds")
        console.print(_test_table(comparison.rows, metric))
        for text in (*_about_choice(comparison), *_about_intervals(comparison.rows)):
            console.print(text, style="dim")
    if any(f"{SELECTIONS[0]} accuracy" in row.metrics for row in chosen):
        _heading(console, "Test accuracy by the epoch selected")
        console.print(_selection_table(chosen))
        console.print(f"oracle: {ORACLE_CAUTION}", style="dim")
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
    yield from _notes_on_choice(comparison)
    for row in comparison.rows:
        group = row.group
        if group.missing:
            yield f"missing seeds: {group.name}: {seeds_as_text(group.missing)}"
        for run in group.repeated:
            yield f"left out: {run.path.name}: its seed is there already"
    for run in (*(run for row in comparison.rows for run in row.group.unfinished), *comparison.not_begun):
        yield f"{run.status}: {run.path.name}: {run.reason}".removesuffix(": ")


def _notes_on_choice(comparison: Comparison) -> Iterator[str]:
    if len(comparison.criteria) > 1:
        yield (
            f"runs select by different criteria ({', '.join(comparison.criteria)}): settings are chosen by "
            "their method's own, and methods are not ranked by it. Fix: one strategy.selection for all"
        )
    if any(criterion.startswith("snd") for criterion in comparison.criteria):
        yield f"snd: {SND_CAUTION}"
    for row in comparison.rows:
        if row.has_rivals and row.is_incomplete:
            yield (
                f"incomplete: {row.group.name}: {row.group.extent} seeds finished; a setting with fewer "
                "finished runs than another is not chosen"
            )
        if row.has_rivals and row.score is not None and row.score.value is None:
            yield (
                f"no score: {row.group.name}: without {row.score.criterion} it cannot be chosen. Fix: "
                "strategy.selection=information_maximisation, or data with a validation split"
            )


def _test_table(rows: Sequence[Row], metric: str) -> Table:
    """Every group, so that what the choice rejected stays in view."""
    key, has_rivals = _one_key(rows), any(row.has_rivals for row in rows)
    one_domain = all(row.score is None or row.score.criterion.startswith("val ") for row in rows)
    table = _table(key or "group", "seeds", "val" if one_domain else "score", "test", "95 % interval")
    if has_rivals:
        table.add_column("")
    for row in rows:
        score, test = row.score.value if row.score else None, row.metrics.get(f"test {metric}")
        interval = test.interval if test else None
        table.add_row(
            _name(row, key),
            row.group.extent,
            "-" if score is None else f"{score:.3f}",
            _mean_and_std(test),
            f"{interval.low:.3f} to {interval.high:.3f}" if interval else "-",
            *([_mark(row)] if has_rivals else []),
        )
    return table


def _mark(row: Row) -> str:
    if not row.has_rivals:
        return ""
    return "chosen" if row.chosen else "incomplete" if row.is_incomplete else ""


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


def _about_choice(comparison: Comparison) -> Iterator[str]:
    """The criterion of the choice, where there was one to make or the score needs a name."""
    criteria = " or ".join(comparison.criteria)
    if any(row.has_rivals for row in comparison.rows):
        yield f"Hyperparameters chosen by {criteria or 'nothing: no run has finished'}"
    elif any(not criterion.startswith("val ") for criterion in comparison.criteria):
        yield f"score: {criteria}"


def _about_intervals(rows: Sequence[Row]) -> Iterator[str]:
    """Coverage of the intervals in words, once for each kind of row."""
    kinds: dict[str, dict[str, None]] = {}
    for row in rows:
        if row.covers:
            kinds.setdefault(row.covers, {})[str(len(row.each))] = None
    for covers, seeds in kinds.items():
        where = f" (rows with {', '.join(seeds)} seeds)" if len(kinds) > 1 else ""
        yield f"Intervals cover {covers}{where}"
    if not kinds:
        yield "No intervals: they need test predictions of at least two images or groups"


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
