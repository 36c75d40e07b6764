"""Features that a linear head can nearly tell apart, and jobs to fit heads on them."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from transferlab.data.loading.sampler import one_pass
from transferlab.strategy.learning_rates.schedule import LearningRates
from transferlab.strategy.objective.cross_entropy import CrossEntropy
from transferlab.strategy.parts import Facts, Objective
from transferlab.training.heads.head_job import HeadJob, LabelledFeatures

NUM_FEATURES, NUM_CLASSES, BATCH_SIZE = 12, 4, 16
CLASS_COUNTS_C = torch.tensor([60, 20, 12, 8])


def features(num_samples: int = 100, *, seed: int = 0, noise: float = 1.0) -> LabelledFeatures:
    """Positive features around a centre for each class; classes as rare as `CLASS_COUNTS_C` says."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(NUM_CLASSES, NUM_FEATURES, generator=torch.Generator().manual_seed(99))
    labels = torch.repeat_interleave(torch.arange(NUM_CLASSES), CLASS_COUNTS_C)[:num_samples]
    drawn = centres[labels] + noise * torch.randn(len(labels), NUM_FEATURES, generator=generator)
    return LabelledFeatures(drawn.relu(), labels)


def order(seed: int, epoch: int) -> torch.Tensor:
    """Six batches of 16 of the hundred samples."""
    rows = one_pass(100, domain="source", seed=seed, epoch=epoch)[: 6 * BATCH_SIZE, 0]
    return torch.as_tensor(rows).reshape(6, BATCH_SIZE)


def linear(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Linear(NUM_FEATURES, NUM_CLASSES)


def mlp(seed: int, dropout: float = 0.0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(NUM_FEATURES, 9),
        nn.GELU(),
        nn.Dropout(dropout),
        nn.Linear(9, 7),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(7, NUM_CLASSES),
    )


def built(objective: Objective) -> Objective:
    objective.prepare(Facts(NUM_FEATURES, CLASS_COUNTS_C))
    return objective


def job(
    seed: int = 0,
    *,
    head: nn.Module | None = None,
    objective: Objective | None = None,
    head_dropout: float = 0.0,
    penalties: dict[str, Any] | None = None,
    clip_norm: float | None = None,
    **rates: Any,
) -> HeadJob:
    """A job with a linear head and plain cross-entropy, unless told otherwise; `rates`: `LearningRates`."""
    return HeadJob(
        head=head or linear(seed),
        objective=objective or built(CrossEntropy(class_weights="none")),
        learning_rates=LearningRates(**{"base": 3e-3, **rates}),
        seed=seed,
        head_dropout=head_dropout,
        penalties=penalties or {},
        clip_norm=clip_norm,
    )
