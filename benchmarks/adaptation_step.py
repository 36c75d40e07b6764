"""What a step of each objective of adaptation costs beside a supervised step on as many images.

    python benchmarks/adaptation_step.py [--rounds 15]

ResNet-18 with random weights, 64 source and 64 target images of 64 px against 128 labelled ones; forward,
backward, update. Writes benchmarks/results/adaptation_step.json and .md.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import pytorch_lightning  # noqa: F401 (its version is recorded)
import torch
from comparison import Row, in_turns, one_thread, rounds_asked, write
from torch import Tensor
from torch.nn import functional as F

from transferlab.config.compose import compose_checked
from transferlab.model.classifier import Classifier
from transferlab.strategy.learning_rates.schedule import parameter_groups
from transferlab.strategy.parts import Batch
from transferlab.training.build import build

SETTINGS = ("backbone=resnet18", "backbone.weights=random", "data=digits_domains", "data.image_size=64")
GOALS = {"strategy=dann": 1.05}
OBJECTIVES = (
    "strategy=dann",
    *("strategy=cdan", "strategy=cdan_e", "strategy=dan", "strategy=deep_coral", "strategy=mcc"),
    *("strategy=mdd", "strategy=self_training"),
    *("strategy=dann strategy.bn=separate", "strategy=dann strategy.bn=domain_specific"),
)
BATCH = 64


def step_of(choice: str, images: Tensor, labels: Tensor) -> tuple[Callable[[], None], float]:
    """One step of training, and by how much its classification loss differs from a supervised one's."""
    experiment = build(compose_checked([*SETTINGS, *choice.split()]).config)
    network, strategy = experiment.network, experiment.strategy
    objective, rates = strategy.objective, strategy.learning_rates
    batch: Batch = {"input": images, "label": labels}
    if objective.uses_target:
        batch = {"input": images[:BATCH], "label": labels[:BATCH], "target_input": images[BATCH:]}
    off = _difference(network, objective, batch)
    optimizer = rates.make_optimizer(parameter_groups(network, objective, rates))
    network.train()
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        terms = objective.losses(network, batch, 0.5).terms
        optimizer.zero_grad()
        torch.stack([term.float() for term in terms.values()]).sum().backward()
        optimizer.step()
        objective.after_step(network, done)

    return step, off


def _difference(network: Classifier, objective: torch.nn.Module, batch: Batch) -> float:
    """In evaluation mode, where no batch norm mixes the domains."""
    network.eval()
    with torch.no_grad():
        terms = objective.losses(network, batch, 0.5).terms
        supervised = F.cross_entropy(network(batch["input"]), batch["label"])
    return abs(float(terms.get("class_loss", terms.get("cross_entropy")) - supervised))


def main() -> None:
    rounds = rounds_asked(__doc__, default=15)
    one_thread()
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(2 * BATCH, 3, 64, 64, generator=generator)
    labels = torch.randint(10, (2 * BATCH,), generator=generator)
    steps = {choice: step_of(choice, images, labels) for choice in ("strategy=source_only", *OBJECTIVES)}
    spent = in_turns({choice: step for choice, (step, _) in steps.items()}, rounds=rounds, warm_up=2)
    rows = []
    for choice in OBJECTIVES:
        off = steps[choice][1]
        assert off <= 1e-5, (choice, off)
        rows.append(
            Row(
                what=choice.replace("strategy=", "").replace("strategy.", ""),
                against="supervised, 128 images",
                spent=spent[choice],
                baseline=spent["strategy=source_only"],
                at_most=GOALS.get(choice, math.inf),
                equal=f"classification loss to {off:.0e}",
            )
        )
    write("adaptation_step", "A step of adaptation, ResNet-18, 64 + 64 images of 64 px", rows)


if __name__ == "__main__":
    main()
