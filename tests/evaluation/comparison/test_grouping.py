"""Runs by what differs, seeds and folds within."""

from __future__ import annotations

from pathlib import Path

from tests.evaluation.comparison.run_folders import make_run
from transferlab.evaluation.comparison.grouping import Group, groups_of, seeds_as_text
from transferlab.sweep.gather import gather


def grouped() -> list[Group]:
    return groups_of(gather([Path("sweep")]))


def test_seeds_of_equal_settings():
    for strategy in ("fine_tune", "dann"):
        for seed in (10, 2, 1):
            make_run(f"{strategy}{seed}", 0.5, seed=seed, strategy=strategy)
    dann, fine_tune = grouped()
    assert (dann.name, fine_tune.name) == ("strategy=dann", "strategy=fine_tune")
    assert dann.settings == {"strategy": "dann"}
    assert [repetition.seed for repetition in dann.repetitions] == [(1,), (2,), (10,)]
    assert [run.path.name for run in dann.repetitions[0].runs] == ["dann1"]
    assert (dann.missing, dann.unfinished, dann.num_finished) == ((), (), 3)


def test_unfinished_missing_and_repeated():
    make_run("a", 0.5, seed=0)
    make_run("b", None, seed=1, status="failed")
    make_run("c", None, seed=2, status="running")
    make_run("d", 0.6, seed=0)
    make_run("e", 0.5, seed=0, strategy="dann")
    make_run("f", 0.5, seed=1, strategy="dann")
    fine_tune, dann = grouped()
    assert [run.path.name for run in fine_tune.unfinished] == ["b", "c"]
    assert [run.path.name for run in fine_tune.repeated] == ["d"]
    assert fine_tune.missing == ((1,), (2,))
    assert fine_tune.num_finished == 1
    assert dann.missing == ((2,),)


def test_folds_are_parts_of_a_seed():
    for seed in (0, 1):
        for fold in (0, 1, 2):
            status = "failed" if (seed, fold) == (1, 2) else "finished"
            make_run(f"{seed}{fold}", 0.5, seed=seed, settings={"data.fold": fold}, status=status)
    (group,) = grouped()
    (repetition,) = group.repetitions
    assert repetition.seed == (0,)
    assert [run.path.name for run in repetition.runs] == ["00", "01", "02"]
    assert group.missing == ((1,),)
    assert group.num_finished == 5


def test_a_seed_that_chooses_images():
    shots = {"data.shots_per_class": 3}
    make_run("a", 0.5, seed=0, settings={**shots, "data.shots_seed": 0})
    make_run("b", 0.5, seed=0, settings={**shots, "data.shots_seed": 1})
    (group,) = grouped()
    assert [repetition.seed for repetition in group.repetitions] == [(0,), (0, 1)]
    assert seeds_as_text([(0,), (0, 1)]) == "0 0/1"


def test_a_group_without_differences_has_a_name():
    make_run("a", 0.5)
    assert grouped()[0].name == "all runs"
    make_run("b", 0.5, seed=1, settings={"name": "mine"})
    assert [group.name for group in groups_of(gather([Path("sweep/b")]))] == ["mine"]


def test_a_number_is_the_same_however_it_is_written():
    make_run("a", 0.5, seed=0, settings={"strategy.rate": 1})
    make_run("b", 0.5, seed=1, settings={"strategy.rate": 1.0})
    assert len(grouped()) == 1
