"""Interfaces of a strategy's parts; a user's own part is a class that fits one of these."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol

import torch
from torch import nn

from transferlab.model.classifier import Classifier
from transferlab.strategy.objective.domains import BatchNorm, Domains

# input (N, ...): what the network takes; image (N,3,H,W): the same tensor, only where that is an image; label
# (N,); with a target domain target_input and target_image (M, ...); further columns
Batch = Mapping[str, torch.Tensor]
# one entry for each finished epoch: `val/loss`, `trainable_stages`, ...
History = Sequence[Mapping[str, float]]

Phase = Literal["opening", "settled", "finished"]  # finished: nothing is left to try, the training ends
Solver = Literal["gradient", "lbfgs"]  # lbfgs: fitted to convergence on the features of a frozen backbone


class Unfreezing(Protocol):
    """Number of stages that train in an epoch: a pure function, so that a resumed run needs nothing more."""

    # the arguments with which no stage ever opens; {}: with any; None: with none
    opens_nothing_with: ClassVar[Mapping[str, Any] | None] = None
    searches_depth: ClassVar[bool] = False  # whether the best depth is found by the validation loss

    def trainable_stages(self, epoch: int, history: History, num_stages: int) -> int:
        """Number of stages that train in `epoch` (from 0), counted from the output; 0 trains the head alone.

        `history` holds the epochs before this one, `num_stages` is how many the backbone has.
        """
        ...

    def phase(self, history: History, num_stages: int) -> Phase:
        """True if stages may still open after these epochs; only when none will may early stopping act."""
        ...


class Head(Protocol):
    """Maker of a module from features to class scores; called anew for each training."""

    solver: ClassVar[Solver] = "gradient"
    is_linear: ClassVar[bool] = False  # whether `build` makes one nn.Linear, which may start as a probe

    def build(self, num_features: int, num_classes: int) -> nn.Module:
        """A module from features `(N, num_features)` to class scores `(N, num_classes)`.

        Its first scores should be small, lest large gradients of a random head damage the backbone.
        """
        ...


@dataclass(frozen=True)
class Losses:
    """Losses of a batch.

    Attributes:
        terms: scalars with gradients, by name; their sum is minimised.
        observed: scalars to look at, by name (an accuracy, a factor); no gradient flows from them.
    """

    terms: dict[str, torch.Tensor]
    observed: dict[str, torch.Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Facts:
    """Facts of data and network that parts are made to fit.

    Attributes:
        num_features: of what the head and an adaptation see: the backbone's, or the bottleneck's.
        class_counts_C: training images per class; all ones where training draws classes equally often.
        bn: the batch norms' statistics, see `Domains`.
    """

    num_features: int
    class_counts_C: torch.Tensor
    bn: BatchNorm = "mixed"


class Part(nn.Module):
    """An objective or a penalty, and the hooks that it may override; without any it keeps no state.

    A training calls them in this order, each for the objective first and then for the penalties in the order
    of the config, in Lightning and in the loop for heads alone alike:

    1. `prepare`, `remember`: once each, when the experiment is built; on a resume again, before the
       checkpoint loads. `remember` once more where the head then starts as a probe.
    2. In each batch `losses` or `penalty`; then, once per step of the optimizer (with accumulated gradients
       after the last of its batches) `before_step`, clipping of gradients, the optimizer, `after_step`.
    3. `conclude`: once, after the fit.

    `requires_grad` is true for what trains in this epoch: the open stages, bottleneck and head. Only these
    have a `grad` in `before_step`. Where nothing opens and features are stored, the network of the steps has
    a backbone without parameters, which passes features on. Both step hooks run without recording gradients
    (`torch.enable_grad()` records them), and also for a step that 16-mixed skips because it overflowed.

    State belongs into buffers that are registered in `prepare` or `remember` and changed in place: they
    travel in the checkpoint as of the last finished step, so a resumed run goes on bit-identically. Anything
    else that a hook stores is lost in a kill. An objective's parameters are trained; a penalty has none.
    Evaluation and `conclude` see averages of buffers, too, where `fit.ema_decay` or `fit.swa_start` averages
    the weights. With `sam_rho` a step has two passes; what the second one changes in buffers is undone.

    Under DDP every process runs all hooks but `conclude`, `before_step` after the gradients were averaged.
    All processes see the same network and gradients, but other batches and random numbers; each forward pass
    takes the buffers of the first process.
    """

    uses_target: ClassVar[bool] = False  # whether it learns from unlabelled samples of a target domain
    needs_images: ClassVar[bool] = False  # whether it reads a batch's `image`, so that no layer is left out
    adapts_features_only: ClassVar[bool] = False  # whether it has no effect on a head without a backbone
    notes: Sequence[str] = ()  # what `prepare` has decided and the user should know

    def prepare(self, facts: Facts) -> None:
        """Create modules and buffers whose shape depends on the network and the classes."""

    def remember(self, network: Classifier) -> None:
        """Copy what is needed of the network that the training starts from; called after every `prepare`."""

    def before_step(self, network: Classifier, step: int) -> None:
        """Use or change the step's gradients, complete, unscaled, not clipped; `step` counts from 1."""

    def after_step(self, network: Classifier, step: int) -> None:
        """Follow the network, after the optimizer and before a checkpoint can be written."""

    def conclude(self, network: Classifier, batches: Iterable[Batch]) -> dict[str, torch.Tensor]:
        """Tensors to write beside the model, into memory.safetensors, from the training split.

        Network and buffers are those of the selected epoch. The network is in evaluation mode, on the device
        of the fit, in the weights' precision, without gradients from before; `requires_grad` is true for what
        trained in any epoch. Gradients are recorded, and random numbers are seeded. Under DDP only the first
        process calls it. A kill here repeats it.

        Args:
            network: complete, its backbone included.
            batches: each iteration goes once through the training split, in order, not augmented, with
                labels; nothing is read before. For heads on stored features they hold these.
        """
        return {}


@torch.no_grad()
def call_hook(
    hook: Literal["before_step", "after_step"], parts: Mapping[str, Part], network: Classifier, step: int
) -> None:
    """Call a hook of every part, in their order."""
    for part in parts.values():
        getattr(part, hook)(network, step)


def overrides(part: Part, *hooks: str) -> bool:
    """True if a part has one of these hooks of its own.

    >>> overrides(Part(), "before_step", "after_step")
    False
    """
    return any(getattr(type(part), hook) is not getattr(Part, hook) for hook in hooks)


def named_parts(objective: Objective, penalties: Mapping[str, Penalty]) -> dict[str, Part]:
    """The parts in the order of their hooks: `objective`, then `penalty.NAME` for each penalty."""
    return {"objective": objective, **{f"penalty.{name}": part for name, part in penalties.items()}}


class Objective(Part, ABC):
    """The loss that is minimised. Modules of its own (a critic) are trained and saved with the network."""

    solvers: ClassVar[tuple[str, ...]] = ("gradient",)  # of a head that can minimise it

    def __init__(self) -> None:
        super().__init__()
        self.domains = Domains()  # how batch norm sees source and target; replaced where it is not `mixed`

    @abstractmethod
    def losses(self, network: Classifier, batch: Batch, progress: float) -> Losses:
        """The loss of a batch; `progress` is the share of the training that is over, 0 to 1."""


class Penalty(Part, ABC):
    """A term of the loss for the weights themselves."""

    @abstractmethod
    def penalty(self, network: Classifier) -> torch.Tensor:
        """A scalar with gradients."""
