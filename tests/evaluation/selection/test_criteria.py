"""The registry: names, directions, what each needs, and the epoch that each chooses."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from transferlab.evaluation.metrics import classification_metrics
from transferlab.evaluation.selection.criteria import CRITERIA, Evidence, target_accuracy

LABELS = np.arange(60) % 3


def softmax(scores: np.ndarray) -> np.ndarray:
    exponentials = np.exp(scores - scores.max(1, keepdims=True))
    return exponentials / exponentials.sum(1, keepdims=True)


def evidence(epoch: int, *, skill: float) -> Evidence:
    """An epoch whose model is the surer and the more often right the greater its skill."""
    generator = np.random.default_rng(7)
    scores = generator.normal(size=(60, 3)) + skill * np.eye(3)[LABELS]
    features = generator.normal(size=(60, 4))
    return Evidence(
        epoch=epoch,
        target_probabilities_MC=softmax(scores),
        target_features_MD=features + 0.1,
        source_probabilities_NC=softmax(scores[::-1]),
        source_features_ND=features,
        source_labels_N=LABELS[::-1],
        target_labels_M=LABELS,
    )


def test_names_and_directions():
    """As in the README and in the config."""
    assert {name: criterion.higher_is_better for name, criterion in CRITERIA.items()} == {
        "last": True,
        "val_loss": False,
        "entropy": False,
        "information_maximisation": True,
        "snd": True,
        "dev": False,
        "oracle": True,
    }
    assert [name for name, criterion in CRITERIA.items() if criterion.uses_target_labels] == ["oracle"]
    assert all(name == criterion.name and criterion.meaning for name, criterion in CRITERIA.items())


@pytest.mark.parametrize("name", CRITERIA)
def test_the_better_model_is_chosen(name):
    epochs = [evidence(0, skill=2.0), evidence(1, skill=2.3), evidence(2, skill=8.0)]
    scores = [CRITERIA[name].score(one) for one in epochs]
    assert CRITERIA[name].best(scores) == 2
    worse_last = [epochs[0], epochs[2], dataclasses.replace(epochs[1], epoch=3)]
    expected = 2 if name == "last" else 1
    assert CRITERIA[name].best([CRITERIA[name].score(one) for one in worse_last]) == expected


@pytest.mark.parametrize("name", CRITERIA)
def test_a_criterion_sees_what_it_needs_and_no_more(name):
    whole = evidence(3, skill=2.0)
    criterion = CRITERIA[name]
    needed = {field: getattr(whole, field) for field in criterion.needs}
    alone = Evidence(**{"epoch": 3, **needed})
    assert criterion.score(alone) == criterion.score(whole)
    for field in set(criterion.needs) - {"epoch"}:
        with pytest.raises(ValueError, match=f"selection={name} needs {field}"):
            criterion.score(dataclasses.replace(whole, **{field: None}))


def test_scores_are_the_figures_of_the_predictions():
    one = evidence(5, skill=1.0)
    source = classification_metrics(one.source_probabilities_NC, one.source_labels_N)
    target = classification_metrics(one.target_probabilities_MC, one.target_labels_M)
    assert CRITERIA["val_loss"].score(one) == pytest.approx(source["loss"], rel=1e-6)
    assert CRITERIA["oracle"].score(one) == pytest.approx(target["accuracy"], rel=1e-6)
    assert CRITERIA["last"].score(one) == 5.0


@pytest.mark.parametrize("name", [name for name in CRITERIA if name != "last"])
def test_a_diverged_epoch_is_never_chosen(name):
    whole = evidence(1, skill=1.0)
    fields = [field for field in CRITERIA[name].needs if "labels" not in field]
    diverged = dataclasses.replace(whole, **{fields[-1]: np.full_like(getattr(whole, fields[-1]), np.nan)})
    scores = [CRITERIA[name].score(diverged), CRITERIA[name].score(whole)]
    assert math.isnan(scores[0])
    assert CRITERIA[name].best(scores) == 1


def test_best():
    assert CRITERIA["snd"].best([1.0, 2.0, 2.0]) == 1  # the first of equals
    assert CRITERIA["dev"].best([1.0, -2.0, 0.0]) == 1
    for scores in ([], [math.nan, math.nan]):
        with pytest.raises(ValueError, match=f"selection=dev: none of {len(scores)} epochs"):
            CRITERIA["dev"].best(scores)


def test_accuracy_of_known_labels_alone():
    probabilities = np.eye(3)[[0, 1, 2, 0]]
    assert target_accuracy(probabilities, np.array([0, 2, -1, 0])) == pytest.approx(2 / 3)
    assert math.isnan(target_accuracy(probabilities, np.full(4, -1)))
