"""What differs between configs, and its short name."""

from __future__ import annotations

import pytest

from transferlab.evaluation.comparison.differences import flat_config, options, short_names, what_differs


def test_flat_config_leaves_out_what_decides_nothing():
    config = {
        "name": "x",
        "seed": 1,
        "logger": {"csv": {"a": 1}},
        "data": {"num_workers": 4, "shots_per_class": None, "shots_seed": 1, "kwargs": {}},
        "trainer": {"devices": 2, "max_epochs": 5},
        "strategy": {"penalty": {"l1": {"weight": 1.0}}, "rate": 0.5},
    }
    assert flat_config(config) == {
        "seed": 1,
        "data.shots_per_class": None,
        "data.kwargs": {},
        "trainer.max_epochs": 5,
        "strategy.penalty.l1.weight": 1,
        "strategy.rate": 0.5,
    }
    config["data"]["shots_per_class"] = 3
    assert flat_config(config)["data.shots_seed"] == 1


def test_options_by_the_place_that_they_fill():
    choices = {
        "data": "folder",
        "data/loading@data": "default",
        "data/catalog@data.source": "mnist",
        "strategy/objective": "focal",
        "hydra/launcher": "local",
    }
    assert options(choices) == {"data": "folder", "data/source": "mnist", "strategy/objective": "focal"}


def test_only_what_differs():
    assert what_differs([{"a": 1, "b": 2}, {"a": 1, "b": 3}], [{}, {}]) == [{"b": 2}, {"b": 3}]
    assert what_differs([{"a": 1}, {}], [{}, {}]) == [{"a": 1}, {"a": None}]
    assert what_differs([{"a": 1}], [{}]) == [{}]
    assert what_differs([], []) == []


def test_seeds_and_folds_are_no_settings():
    configs = [{"seed": number, "data.shots_seed": number, "data.fold": number} for number in range(3)]
    assert what_differs(configs, [{}] * 3) == [{}] * 3


def test_an_option_stands_for_what_is_below_it():
    configs = [
        {"strategy.objective._target_": "x.Dann", "strategy.objective.weight": 1, "strategy.rate": 3},
        {"strategy.objective._target_": "x.Focal", "strategy.objective.gamma": 2, "strategy.rate": 4},
    ]
    chosen = [
        {"strategy": "dann", "strategy/objective": "dann", "experiment": "a"},
        {"strategy": "fine_tune", "strategy/objective": "focal", "experiment": "b"},
    ]
    assert what_differs(configs, chosen) == [{"strategy": "dann"}, {"strategy": "fine_tune"}]


def test_an_option_below_another_is_told_where_that_leaves_it_open():
    chosen = [
        {"strategy": "a", "strategy/head": "linear"},
        {"strategy": "a", "strategy/head": "mlp"},
        {"strategy": "b", "strategy/head": "linear"},
    ]
    configs = [
        {"strategy.head.units": units, "strategy.rate": rate}
        for units, rate in ((1, 0.1), (2, 0.1), (1, 0.2))
    ]
    assert what_differs(configs, chosen) == chosen


def test_a_key_that_differs_within_an_option_is_told_too():
    configs = [{"strategy.rate": 0.1}, {"strategy.rate": 0.2}, {"strategy.rate": 0.1}]
    chosen = [{"strategy": "a"}, {"strategy": "a"}, {"strategy": "b"}]
    assert what_differs(configs, chosen) == [
        {"strategy": "a", "strategy.rate": 0.1},
        {"strategy": "a", "strategy.rate": 0.2},
        {"strategy": "b", "strategy.rate": 0.1},
    ]


def test_without_options_keys_and_classes_tell():
    configs = [{"strategy.head._target_": "heads.Linear"}, {"strategy.head._target_": "heads.MLP"}]
    differing = what_differs(configs, [{}, {}])
    assert differing == [{"strategy.head": "heads.Linear"}, {"strategy.head": "heads.MLP"}]
    assert short_names(differing) == ["strategy.head=Linear", "strategy.head=MLP"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((0.001, 0.01), ["learning_rates.base=0.001", "learning_rates.base=0.01"]),
        ((None, True), ["learning_rates.base=null", "learning_rates.base=true"]),
        (("runs/letters", "hub"), ["learning_rates.base=letters", "learning_rates.base=hub"]),
        (("a/net", "b/net"), ["learning_rates.base=a/net", "learning_rates.base=b/net"]),
        (([1, 2], [1]), ["learning_rates.base=[1,2]", "learning_rates.base=[1]"]),
    ],
)
def test_short_values(values, expected):
    assert short_names([{"strategy.learning_rates.base": value} for value in values]) == expected


def test_keys_stay_apart():
    settings = [
        {"data.source.root.path": 1, "data.target.root.path": value, "strategy/head": "mlp"}
        for value in (1, 2)
    ]
    assert short_names(settings)[1] == "data.source.root.path=1 data.target.root.path=2 strategy/head=mlp"
    assert short_names([]) == []
    assert short_names([{}]) == [""]
