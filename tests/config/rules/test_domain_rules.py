"""What needs a second domain."""

from __future__ import annotations

import pytest

from transferlab.config.compose import compose_checked
from transferlab.config.rules.domain_rules import BY_TARGET, domain_contradictions, idle_with_domains
from transferlab.evaluation.selection.criteria import CRITERIA


def test_selections_that_look_at_the_target_are_known():
    needing = {
        name for name, criterion in CRITERIA.items() if any("target" in need for need in criterion.needs)
    }
    assert needing == set(BY_TARGET)


@pytest.mark.parametrize("selection", BY_TARGET)
def test_selection_by_a_target_needs_one(problems, selection):
    [problem] = problems(f"strategy.selection={selection}")
    assert f"strategy.selection={selection}" in problem
    assert "this data has none" in problem
    assert problems(f"strategy.selection={selection}", "data=digits_domains") == []


def test_a_selection_by_target_labels_is_called_by_its_name_alone(problems):
    [problem] = problems("strategy.selection=target_accuracy", "data=digits_domains")
    assert "oracle" in problem
    [warning] = compose_checked(["strategy.selection=oracle", "data=digits_domains"]).warnings
    assert "upper bound" in warning


def test_a_bottleneck_needs_two_images(problems):
    [problem] = problems("strategy=fine_tune", "strategy.bottleneck_units=8", "data.batch_size=1")
    assert "at least 2" in problem
    [problem] = problems("strategy.bottleneck_units=0")
    assert problem == "strategy.bottleneck_units=0: must be at least 1, or null."
    [problem] = problems(
        "strategy=feature_extraction", "strategy/head=logistic", "strategy.bottleneck_units=8"
    )
    assert "strategy.bottleneck_units=null" in problem


def test_adaptation_of_a_frozen_backbone_acts_on_a_bottleneck():
    config = {
        "strategy": {
            "objective": {"_target_": "transferlab.strategy.objective.dann.DANN"},
            "unfreezing": {"_target_": "transferlab.strategy.unfreezing.none.NoStage"},
        },
        "data": {"target": {}},
    }
    assert len(list(idle_with_domains(config))) == 1
    config["strategy"]["bottleneck_units"] = 8
    assert list(idle_with_domains(config)) == []
    assert list(domain_contradictions(config)) == []
