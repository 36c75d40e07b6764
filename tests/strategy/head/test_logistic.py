"""The head that is fitted at once: its module, its record, what it tells."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torch.nn import functional

from transferlab.run.errors import UserError
from transferlab.strategy.head.logistic import Logistic
from transferlab.strategy.head.logistic_regression import choose_strength

CONF = Path(__file__).parents[3] / "conf"


def samples(num_samples: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels_N = torch.arange(num_samples) % 3
    means_CD = torch.randn(3, 20, generator=torch.Generator().manual_seed(99))
    return means_CD[labels_N] + 2 * torch.randn(num_samples, 20, generator=generator), labels_N


def test_the_fitted_module_predicts_as_the_chosen_fit():
    train, val = samples(90, 0), samples(60, 1)
    part = Logistic()
    fitted = part.fit(train, val, num_classes=4, class_weights_C=torch.tensor([1.0, 2.0, 3.0, 0.0]))
    module = part.build(20, 4)
    module.load_state_dict(fitted.state)
    choice = choose_strength(
        (train[0].numpy(), train[1].numpy()),
        (val[0].numpy(), val[1].numpy()),
        part.strengths,
        num_classes=4,
        class_weights_C=np.array([1.0, 2.0, 3.0, 0.0]),
    )
    expected = torch.from_numpy(choice.fit.scores(val[0].numpy())).float()
    torch.testing.assert_close(module(val[0]), expected, atol=1e-5, rtol=1e-5)
    record = json.loads(json.dumps(fitted.record))
    assert record["strength"] == choice.best.strength
    assert record["val_loss"] == pytest.approx(
        functional.cross_entropy(module(val[0]), val[1]).item(), abs=1e-6
    )
    assert [step["strength"] for step in record["strengths"]] == [step.strength for step in choice.path]
    assert min(step["val_loss"] for step in record["strengths"]) == record["val_loss"]
    assert record["converged"] is True
    assert record["iterations"] > 0
    assert fitted.notes == []


def test_features_in_half_precision_and_samples_without_gradient():
    features_ND, labels_N = samples(90, 0)
    fitted = Logistic(strengths=[0.1]).fit(
        (features_ND.half().requires_grad_(), labels_N), None, num_classes=3
    )
    assert fitted.state["weight"].dtype == torch.float32
    assert fitted.record["val_loss"] is None


def test_several_strengths_need_validation_samples():
    train = samples(90, 0)
    empty = (train[0][:0], train[1][:0])
    text = r"strategy\.head\.strengths: one is chosen by the validation loss"
    for val in (None, empty):
        with pytest.raises(UserError, match=text):
            Logistic().fit(train, val, num_classes=3)
    assert Logistic(strengths=[1e-2]).fit(train, empty, num_classes=3).notes == []


def test_a_fit_that_is_cut_short_is_told():
    fitted = Logistic(strengths=[1.0, 1e-5], max_iterations=5).fit(
        samples(90, 0), samples(60, 1), num_classes=3
    )
    assert fitted.notes[0] == (
        "strategy.head: the logistic regression has not converged at strength 1e-05. "
        "Raise strategy.head.max_iterations=5, or leave these strengths out."
    )


def test_a_tolerance_beyond_reach_is_told():
    fitted = Logistic(strengths=[0.01], tolerance=1e-14).fit(samples(90, 0), None, num_classes=3)
    assert "Raise strategy.head.tolerance=1e-14" in fitted.notes[0]


@pytest.mark.parametrize(
    ("strengths", "told"),
    [
        ([1.0, 0.5], "0.5, the weakest of them, validates best; weaker ones may be better still."),
        ([1e-4, 1e-5], "0.0001, the strongest of them, validates best; stronger ones may be better still."),
    ],
)
def test_a_choice_at_the_edge_is_told(strengths, told):
    fitted = Logistic(strengths=strengths).fit(samples(90, 0), samples(60, 1), num_classes=3)
    assert fitted.notes == [f"strategy.head.strengths: {told}"]


def test_strengths_that_there_was_no_time_for_are_told():
    fitted = Logistic(strengths=[1.0, 0.1, 0.01]).fit(
        samples(90, 0), samples(60, 1), num_classes=3, out_of_time=lambda: True
    )
    assert fitted.record["strength"] == 1.0
    assert fitted.notes == [
        "trainer.max_time: the time was over before strategy.head.strengths 0.1, 0.01 had been fitted; "
        "1 validates best of the 1 before."
    ]


def test_the_shipped_file_says_what_the_class_does():
    written = yaml.safe_load((CONF / "strategy" / "head" / "logistic.yaml").read_text())
    assert tuple(written["strengths"]) == tuple(Logistic().strengths)
    assert (written["tolerance"], written["max_iterations"]) == (Logistic.tolerance, Logistic.max_iterations)
    assert Logistic.solver == "lbfgs"
