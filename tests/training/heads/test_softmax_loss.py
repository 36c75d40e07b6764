"""The stacked formula against the objectives: values and gradients."""

from __future__ import annotations

import pytest
import torch

from tests.training.heads.problem import CLASS_COUNTS_C, NUM_CLASSES, built
from transferlab.strategy.objective.cross_entropy import CrossEntropy
from transferlab.strategy.objective.focal import Focal
from transferlab.strategy.objective.logit_adjustment import LogitAdjustment
from transferlab.strategy.parts import Facts
from transferlab.training.heads.softmax_loss import SoftmaxLoss, StackedSoftmaxLoss

OBJECTIVES = [
    CrossEntropy(),
    CrossEntropy(class_weights="none"),
    CrossEntropy(label_smoothing=0.2),
    CrossEntropy(label_smoothing=0.2, class_weights="none"),
    Focal(),
    Focal(gamma=0.5, class_weights="none"),
    Focal(gamma=0.0, class_weights="balanced"),
    LogitAdjustment(),
    LogitAdjustment(tau=0.3, label_smoothing=0.1),
]
CASES = {
    "all": OBJECTIVES,
    **{f"{number} alone": [objective] for number, objective in enumerate(OBJECTIVES)},
    "plain": [CrossEntropy(class_weights="none")] * 2,
    "smooth": [CrossEntropy(class_weights="none", label_smoothing=s) for s in (0.0, 0.3)],
    "focal": [Focal(gamma=2.0)] * 3,
}


@pytest.mark.parametrize("same_batch", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_equals_the_objectives(name, same_batch):
    objectives = [built(objective) for objective in CASES[name]]
    number = len(objectives)
    generator = torch.Generator().manual_seed(0)
    scores_JCB = 2 * torch.randn(number, NUM_CLASSES, 9, generator=generator)
    labels_JB = torch.randint(NUM_CLASSES, (1 if same_batch else number, 9), generator=generator)
    scores_JCB.requires_grad_()
    forms = [SoftmaxLoss.of(objective) for objective in objectives]
    stacked = StackedSoftmaxLoss(forms, NUM_CLASSES, torch.device("cpu"))
    found_J = stacked(scores_JCB, labels_JB)
    (gradient_JCB,) = torch.autograd.grad(found_J.sum(), scores_JCB)
    for place, objective in enumerate(objectives):
        logits_BC = scores_JCB[place].detach().mT.contiguous().requires_grad_()
        labels_B = labels_JB[0 if same_batch else place]
        terms = objective.losses(lambda image: image, {"input": logits_BC, "label": labels_B}, 0.0).terms
        assert found_J[place].item() == pytest.approx(terms["class_loss"].item(), rel=1e-5)
        (wanted,) = torch.autograd.grad(terms["class_loss"], logits_BC)
        torch.testing.assert_close(gradient_JCB[place].mT, wanted, rtol=1e-4, atol=1e-7)
    if number > 2 and not same_batch:
        stacked.keep([0, 2])
        kept = stacked(scores_JCB[[0, 2]], labels_JB[[0, 2]])
        torch.testing.assert_close(kept, found_J[[0, 2]])


def test_others_are_not_taken_for_one():
    class Own(CrossEntropy):
        pass

    own = Own()
    own.prepare(Facts(2, CLASS_COUNTS_C))
    assert SoftmaxLoss.of(own) is None
