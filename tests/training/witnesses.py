"""A user's own objectives and penalties that use every hook and write down, in buffers, what they saw."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import torch
from torch.nn import functional

from transferlab.strategy.parts import Losses, Objective, Part, Penalty

EVENTS: list[tuple[str, str, int]] = []  # (class, hook, step) of this process, across all parts
OWN = ["strategy/objective=witness", "strategy/penalty=[witness]", "allow=[tests.training.witnesses]"]


class Witness(Part):
    """Follows the head as synaptic intelligence does, and adds to its gradient."""

    def _saw(self, hook: str, step: int = 0) -> None:
        EVENTS.append((type(self).__name__, hook, step))

    def prepare(self, facts):
        self._saw("prepare")
        self.notes = [f"{type(self).__name__} is prepared."]
        self.register_buffer("calls", torch.zeros(2, dtype=torch.int64))
        self.register_buffer("priors", facts.class_counts_C / facts.class_counts_C.sum())
        self.register_buffer("norms", torch.zeros(2))
        self.register_buffer("drawn", torch.zeros(3))

    def remember(self, network):
        self._saw("remember")
        for name in ("start", "before", "gradient", "path"):
            self.register_buffer(name, network.head.weight.detach().clone())
        self.path.zero_()

    def before_step(self, network, step):
        assert not torch.is_grad_enabled()
        self._saw("before_step", step)
        gradients = [p.grad for p in network.parameters() if p.requires_grad]
        assert all(gradient is not None for gradient in gradients)
        assert all(p.grad is None for p in network.parameters() if not p.requires_grad)
        self.norms[0] = torch.nn.utils.get_total_norm(gradients)
        network.head.weight.grad.add_(1e-3 * network.head.weight.grad.sign())
        self.drawn.copy_(torch.rand(3))
        self.before.copy_(network.head.weight)
        self.gradient.copy_(network.head.weight.grad)
        self.calls[0] += 1
        assert self.calls[0] == step

    def after_step(self, network, step):
        assert not torch.is_grad_enabled()
        self._saw("after_step", step)
        self.norms[1] = torch.nn.utils.get_total_norm(
            [p.grad for p in network.parameters() if p.requires_grad]
        )
        self.path.sub_(self.gradient * (network.head.weight - self.before))
        self.calls[1] += 1
        assert self.calls[1] == self.calls[0] == step

    def conclude(self, network, batches):
        self._saw("conclude")
        assert not any(module.training for module in network.modules())
        assert all(parameter.grad is None for parameter in network.parameters())
        labels, inputs = [], []
        for batch in batches:
            functional.cross_entropy(network(batch["input"]), batch["label"]).backward()
            labels.append(batch["label"])
            inputs.append(batch["input"].flatten(1).mean(1))
        return {
            "sensitivity": network.head.weight.grad.T,
            "path": self.path,
            "moved": network.head.weight - self.start,
            "calls": self.calls,
            "labels": torch.cat(labels),
            "inputs": torch.cat(inputs),
            "drawn": torch.cat([self.drawn, torch.rand(3)]),
            "trained": torch.tensor([p.requires_grad for p in network.parameters()]),
        }


class WitnessObjective(Witness, Objective):
    """Cross-entropy, less where the head's path is long."""

    def losses(self, network, batch, progress):
        loss = functional.cross_entropy(network(batch["input"]), batch["label"])
        return Losses({"class_loss": loss / (1 + self.path.abs().sum())}, {"path": self.path.abs().sum()})


class WitnessPenalty(Witness, Penalty):
    """L2-SP of the head."""

    def penalty(self, network):
        return 0.1 * (network.head.weight - self.start).square().sum()


class InputGradient(Objective):
    """Cross-entropy plus the squared gradient of it with respect to the image (Drucker & Le Cun 1992)."""

    needs_images: ClassVar[bool] = True

    def losses(self, network, batch, progress):
        images = batch["image"].requires_grad_()
        loss = functional.cross_entropy(network(images), batch["label"])
        (gradient,) = torch.autograd.grad(loss, images, create_graph=True)
        size = gradient.square().sum()
        values = torch.tensor(float(gradient[0].numel()))
        return Losses({"class_loss": loss, "input_gradient": 10 * size}, {"size": size, "values": values})


def write_configs() -> None:
    """Into the folder of the test."""
    parts = Path("conf/strategy")
    for group in ("objective", "penalty"):
        (parts / group).mkdir(parents=True)
    module = "tests.training.witnesses"
    (parts / "objective/witness.yaml").write_text(f"_target_: {module}.WitnessObjective\n")
    (parts / "objective/input_gradient.yaml").write_text(f"_target_: {module}.InputGradient\n")
    (parts / "penalty/witness.yaml").write_text(f"witness: {{_target_: {module}.WitnessPenalty}}\n")
