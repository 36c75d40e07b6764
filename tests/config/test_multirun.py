"""Checking a sweep: every value, before the first job."""

from __future__ import annotations

import pytest

from transferlab.config.compose import ConfigError
from transferlab.config.multirun import check_sweep


def problems(*overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        check_sweep(overrides)
    return caught.value.problems


def test_a_wrong_value_among_the_choices():
    first, second = problems("strategy=fine_tune,partal", "seed=0,x")
    assert first.startswith("strategy=partal: there is no such option. Did you mean partial?")
    assert second == "seed=x: must be a whole number, not text."


def test_a_wrong_value_in_the_middle():
    assert problems("data.sampling=uniform,balancd,balanced") == [
        "data.sampling=balancd: must be uniform or balanced. Did you mean balanced?"
    ]


@pytest.mark.parametrize(
    ("values", "wrong"),
    [("3,0,2", "0: must be at least 1."), ("1,2.5,4", "2.5: must be a whole number, not a decimal number.")],
)
def test_a_wrong_number_in_the_middle(values, wrong):
    assert problems(f"data.batch_size={values}") == [f"data.batch_size={wrong}"]
    assert problems("strategy.head_dropout=0.1,nan,0.2") == [
        "strategy.head_dropout=nan: must be a finite number, at least 0 and below 1."
    ]


@pytest.mark.parametrize("strategies", ["dann,fine_tune", "fine_tune,dann"])
def test_the_value_that_brings_a_problem_is_named(strategies):
    (text,) = problems(f"strategy={strategies}", "seed=0,1")
    assert text.startswith("with strategy=dann: strategy.objective: DANN needs an unlabelled target domain")


def test_a_problem_of_all_is_told_once():
    assert problems("sead=3", "seed=0,1", "strategy=fine_tune,partial") == [
        "sead: there is no such key. Did you mean seed?"
    ]


def test_what_hydra_is_told():
    sweep = check_sweep(
        ["experiment=null,few_digits", "seed=0,1", "backbone.kwargs.a=1", "hydra.sweep.dir=here"]
    )
    assert sweep.overrides == [
        "experiment=[],few_digits",
        "++seed=0,1",
        "++backbone.kwargs.a=1",
        "hydra.sweep.dir=here",
    ]
    assert str(sweep.folder) == "here"


def test_one_folder_for_all_jobs():
    assert check_sweep(["strategy=fine_tune,partial"]).folder.parts[:2] == ("sweeps", "mixed")
    assert check_sweep(["seed=0,1"]).folder.parts[:2] == ("sweeps", "fine_tune")


def test_warnings_of_all_values_once():
    warnings = check_sweep(["fit.early_stopping_patience=50,60", "seed=0,1"]).warnings
    assert [text.partition(" ")[0] for text in warnings] == [
        "fit.early_stopping_patience=50",
        "fit.early_stopping_patience=60",
    ]
