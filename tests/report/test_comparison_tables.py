"""What a person sees of a comparison, at 80 columns."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from rich.console import Console

from tests.evaluation.comparison.run_folders import make_run, right
from transferlab.evaluation.comparison.compare import compare
from transferlab.report.comparison_tables import notes, show
from transferlab.sweep.gather import gather


def shown(width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False, markup=False, emoji=False)
    show(compare(gather([Path("sweep")])), console)
    text = console.file.getvalue()
    assert all(len(line) <= width for line in text.splitlines())
    return "\n".join(line.rstrip() for line in text.splitlines())


def told() -> list[str]:
    return list(notes(compare(gather([Path("sweep")]))))


def test_methods_over_seeds():
    for strategy, share in (("fine_tune", 0.6), ("progressive_unfreezing", 0.9)):
        for seed in range(6):
            hits = right(share + seed / 100, start=seed)
            make_run(f"{strategy}{seed}", hits, seed=seed, strategy=strategy)
    assert (
        shown()
        == """
Accuracy, mean ± standard deviation over seeds
strategy                seeds    val           test   95 % interval
progressive_unfreezing      6  0.925  0.925 ± 0.019  0.874 to 0.960
fine_tune                   6  0.625  0.625 ± 0.019  0.530 to 0.714
Intervals cover other images and other seeds

On test: 1 pair of methods, p-values corrected by Holm
                                     diff.  other samples      other seeds
progressive_unfreezing against      +0.300  better, p<0.001    better, p=0.031
fine_tune"""
    )


def test_hyperparameters_are_chosen_and_only_the_chosen_are_tested():
    for rate, val in ((0.1, 0.7), (0.01, 0.8)):
        make_run(f"{rate}", 0.9, val=val, strategy="dann", settings={"strategy.learning_rates.base": rate})
    make_run("b", 0.87, val=0.9, settings={"strategy.learning_rates.base": 0.1})
    text = shown()
    assert text.startswith(
        """
Accuracy, mean ± standard deviation over seeds
group                                seeds    val   test   95 % interval
strategy=fine_tune                       1  0.900  0.870  0.788 to 0.929
learning_rates.base=0.1
strategy=dann                            1  0.800  0.900  0.824 to 0.951  chosen
learning_rates.base=0.01
strategy=dann                            1  0.700  0.900  0.824 to 0.951
learning_rates.base=0.1
Hyperparameters chosen by val accuracy
Intervals cover other images, not other seeds

On test: 1 pair of methods, p-values corrected by Holm
"""
    )
    assert "strategy=dann                       +0.030  no difference      too few seeds: 1\n" in text


def adapted(weight: int, seed: int, *, rule: str = "snd", score: float = 0.5, **more: Any) -> None:
    settings = {"strategy.weight": weight, "strategy.selection": rule, "data.target": {"root": "x"}}
    selection = {"rule": rule, "epoch": 1, "score": score}
    make_run(f"{rule}{weight}{seed}", 0.5, seed=seed, settings=settings, selection=selection, **more)


def test_the_criterion_is_named_and_the_rejected_stays_in_view():
    for seed in range(3):
        adapted(0, seed, score=0.1, val=0.999)
        adapted(1, seed, score=0.2, val=0.99)
    text = shown(width=160)
    assert "\nHyperparameters chosen by snd\n" in text
    assert [line.split()[:3] for line in text.splitlines()[2:5]] == [
        ["strategy.weight", "seeds", "score"],
        ["1", "3", "0.200"],
        ["0", "3", "0.100"],
    ]
    assert text.splitlines()[3].endswith("chosen")
    assert any(note.startswith("snd: it picked the first epoch in 4 of 4 runs") for note in told())


def test_a_setting_with_failed_seeds_is_called_incomplete():
    for seed in range(3):
        adapted(0, seed, score=0.1)
    adapted(1, 0, score=0.9)
    adapted(1, 1, status="failed")
    text = shown(width=160)
    assert [line.split() for line in text.splitlines()[3:5]] == [
        ["1", "1", "of", "3", "0.900", "0.500", "0.398", "to", "0.602", "incomplete"],
        ["0", "3", "0.100", "0.500", "±", "0.000", "0.398", "to", "0.602", "chosen"],
    ]
    assert (
        "incomplete: strategy.weight=1: 1 of 3 seeds finished; a setting with fewer finished runs than "
        "another is not chosen"
    ) in told()


def test_other_criteria_are_said_not_to_compare():
    for rule in ("snd", "entropy"):
        for weight in range(2):
            adapted(weight, 0, rule=rule)
    assert any(note.startswith("runs select by different criteria (") for note in told())


def test_last_selected_and_oracle_side_by_side():
    for strategy, last in (("source_only", 0.5), ("dann", 0.6)):
        by_rule = {
            name: {"accuracy": last + more} for name, more in (("last", 0), ("snd", 0.1), ("oracle", 0.2))
        }
        make_run(strategy, last, strategy=strategy, selection={"rule": "snd", "target": by_rule})
    assert """
Test accuracy by the epoch selected
strategy      last  selected  oracle
dann         0.600     0.700   0.800
source_only  0.500     0.600   0.700
oracle: chosen on labels of the target's validation split: an upper bound that
can lose (on test it did in 12 of 72 runs)
""" in shown()


def test_notes_on_what_did_not_enter():
    make_run("0", 0.5, seed=0)
    make_run("1", None, seed=1, status="failed")
    make_run("2", 0.5, seed=0)
    make_run("3", 0.6, seed=0, strategy="dann")
    make_run("4", None, seed=1, strategy="dann", status="interrupted")
    assert told() == [
        "missing seeds: strategy=dann: 1",
        "missing seeds: strategy=fine_tune: 1",
        "left out: 2: its seed is there already",
        "interrupted: 4",
        "failed: 1: no reason",
    ]


def test_other_data_is_not_tested_against():
    for shots in (3, 10):
        make_run(f"{shots}", 0.5, settings={"data.shots_per_class": shots})
    assert told() == ["methods that learn from different data are not tested against each other"]
    assert "On test" not in shown()


def test_with_many_pairs_more_seeds_are_needed():
    for strategy in ("a", "bb", "ccc"):
        for seed in range(6):
            make_run(f"{strategy}{seed}", right(len(strategy) / 4), seed=seed, strategy=strategy)
    assert told() == ["other seeds: among 3 pairs only 7 seeds or more can show a difference"]


def test_of_many_methods_not_all_pairs_are_tested():
    for number in range(11):
        make_run(f"{number}", 0.5, strategy="s" * (number + 1))
    assert told() == ["of more than 10 methods, the best on validation is tested against each"]
    assert "On test: 10 pairs" in shown()


def test_methods_that_have_not_finished_do_not_make_them_many():
    for number in range(10):
        make_run(f"{number}", 0.5, strategy="s" * (number + 1))
    make_run("10", None, strategy="s" * 11, status="failed")
    make_run("11", None, status="failed", settings={"data.shots_per_class": 3})
    assert not [text for text in told() if text.startswith(("of more than", "methods that learn"))]
    assert "On test: 45 pairs" in shown()


def test_long_names_stay_within_80_columns():
    for number in range(8):
        strategy = "progressive_unfreezing_validated" + "x" * number
        settings = {"strategy.learning_rates.base": 0.1 + number / 10}
        for seed in range(3):
            make_run(f"{strategy}{seed}", 0.5, seed=seed, strategy=strategy, settings=settings)
    text = shown()
    assert "and 8 more in comparison_tests.csv" in text
    shown(width=60)


def test_lists_are_told_whole():
    for second in ("b", "c"):
        for depth, rate in ((2, 0.1), (3, 0.2)):
            settings = {"strategy.kinds": ["a", second], "strategy.depth": depth, "strategy.rate": rate}
            val = 0.5 if depth == 2 else 0.4
            make_run(f"{second}{depth}", 0.5, val=val, settings=settings)
    both = "(strategy.rate=0.1 strategy.depth=2)"
    assert f'strategy.kinds=["a","b"] against strategy.kinds=["a","c"] {both}' in shown(width=200)


def test_names_are_not_read_as_markup():
    make_run("a", 0.5, settings={"strategy.kwargs": ["[red]"]})
    make_run("b", 0.5, settings={"strategy.kwargs": [":smile:"]})
    assert '["[red]"]' in shown()
    assert '[":smile:"]' in shown()
