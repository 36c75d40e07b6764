"""A teacher: the network that it teaches, with the moving average of its weights.

Tarvainen & Valpola, Mean teachers are better role models, NeurIPS 2017.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.func import functional_call
from torch.optim.swa_utils import get_ema_multi_avg_fn


def average_decay(step: int, decay: float) -> float:
    """Decay of the average at optimizer step `step` (from 1): that of the plain mean at first, then `decay`.

    As in the authors' code. A function of the step alone, so that there is no counter to save.

    >>> [average_decay(step, 0.99) for step in (1, 2, 4, 1000)]
    [0.0, 0.5, 0.75, 0.99]
    """
    return min(decay, 1 - 1 / step)


@contextmanager
def in_evaluation(network: nn.Module) -> Iterator[None]:
    """Within this, every module is in evaluation mode; afterwards each is in its own again."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


class Teacher(nn.Module):
    """The averages, as buffers: they are in the checkpoint, and no optimizer sees them.

    Weights are averaged; what else a network keeps (running statistics, averages already) is the student's.
    """

    def __init__(self, student: nn.Module) -> None:
        super().__init__()
        for name, tensor in (*student.named_parameters(), *student.named_buffers()):
            self.register_buffer(_key(name), tensor.detach().clone())

    @torch.no_grad()
    def scores(self, student: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
        """Class scores `(N, C)` in evaluation mode, without gradients.

        The student's own modules run, with the averages in the weights' place, so that whatever was done to
        the student (its first stages left out, compiled) holds for the teacher.
        """
        names = [name for name, _ in (*student.named_parameters(), *student.named_buffers())]
        with in_evaluation(student):
            return functional_call(student, {name: self.get_buffer(_key(name)) for name in names}, inputs)

    @torch.no_grad()
    def follow(self, student: nn.Module, decay: float) -> None:
        """Move towards the student: `decay` times the average, `1 - decay` times the student's weights."""
        weights = dict(student.named_parameters())
        averages = [self.get_buffer(_key(name)) for name in weights]
        get_ema_multi_avg_fn(decay)(averages, list(weights.values()), 0)
        for name, buffer in student.named_buffers():
            self.get_buffer(_key(name)).copy_(buffer)


def _key(name: str) -> str:
    return name.replace(".", "/")  # a buffer's name has no dots
