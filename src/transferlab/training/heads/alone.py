"""One head, any objective, penalty or optimizer: a plain loop."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import nn

from transferlab.run.randomness import derived_seed
from transferlab.strategy.parts import call_hook, overrides
from transferlab.training.heads.head_job import HeadJob, LabelledFeatures, Order, StepValues, Timetable
from transferlab.training.heads.softmax_loss import SoftmaxLoss
from transferlab.training.losses import losses_of

_FUSED = (torch.optim.AdamW, torch.optim.Adam, torch.optim.SGD)  # one kernel a step, equal to 1e-7
_WITHOUT_RANDOMNESS = (nn.Linear, nn.Sequential, nn.Identity, nn.ReLU, nn.GELU)
_ROWS_AT_ONCE = 8192


class AloneLearner:
    """A `Learner` of one head."""

    def __init__(self, job: HeadJob, train: LabelledFeatures, order: Order, max_epochs: int) -> None:
        self.train, self.order, self.max_epochs = train, order, max_epochs
        device, num_features = train.features_ND.device, train.features_ND.shape[1]
        own = dataclasses.replace(
            job,
            head=copy.deepcopy(job.head).to(device),
            objective=copy.deepcopy(job.objective).to(device),
            penalties={name: copy.deepcopy(part).to(device) for name, part in job.penalties.items()},
        )
        self.job = own
        self.network = own.network(num_features)
        self.optimizer = _optimizer(own, num_features)
        self.draws = _may_draw(own)

    def train_epoch(self, epoch: int) -> StepValues:
        """See `Learner`."""
        rows_KB = self.order(self.job.seed, epoch).to(self.train.features_ND.device)
        labels_KB = self.train.labels_N[rows_KB]
        timetable = Timetable(len(rows_KB), self.max_epochs)
        self.network.train()
        losses, every_terms, every_observed = [], [], []
        for batch, (rows_B, labels_B) in enumerate(zip(rows_KB, labels_KB, strict=True)):
            if self.draws:
                _seed(derived_seed("step", self.job.seed, epoch, batch, 0), rows_B.device)
            seen = {"input": self.train.features_ND.index_select(0, rows_B), "label": labels_B}
            loss, terms, observed = self._step(seen, timetable, epoch * len(rows_KB) + batch)
            losses.append(loss)
            every_terms.append(terms)
            every_observed.append(observed)
        zero = torch.zeros_like(losses[0])
        return StepValues(
            torch.stack(losses)[:, None], _columns(every_terms, zero), _columns(every_observed, zero)
        )

    def _step(
        self, batch: dict[str, torch.Tensor], timetable: Timetable, step: int
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """Update the head; the loss, its terms, and what else is observed."""
        for group in self.optimizer.param_groups:
            group["lr"] = timetable.rate(self.job.learning_rates, group["stage"], step)
        losses = losses_of(self.job.objective, self.network, batch, timetable.progress(step))
        penalties = {name: part.penalty(self.network) for name, part in self.job.penalties.items()}
        terms = losses.terms | penalties
        first, *others = terms.values()
        loss = first.float()
        for term in others:
            loss = loss + term.float()
        self.optimizer.zero_grad()
        loss.backward()
        call_hook("before_step", self.job.parts, self.network, step + 1)
        if self.job.clip_norm is not None:
            trained = [p for group in self.optimizer.param_groups for p in group["params"]]
            nn.utils.clip_grad_norm_(trained, self.job.clip_norm)
        self.optimizer.step()
        call_hook("after_step", self.job.parts, self.network, step + 1)
        return loss.detach(), _detached(terms), _detached(losses.observed)

    def rates(self) -> list[dict[str, float]]:
        """See `Learner`."""
        groups = self.optimizer.param_groups
        return [{g["name"]: g["lr"] for g in groups if not g["name"].endswith("/no_decay")}]

    @torch.no_grad()
    def scores(self, features_ND: torch.Tensor) -> Iterator[torch.Tensor]:
        """See `Learner`."""
        self.network.eval()
        yield torch.cat([self.network(rows) for rows in features_ND.split(_ROWS_AT_ONCE)])

    def state(self, place: int) -> dict[str, torch.Tensor]:
        """See `Learner`."""
        return {name: value.clone() for name, value in self.network.head.state_dict().items()}

    def parts(self, place: int) -> dict[str, dict[str, torch.Tensor]]:
        """See `Learner`."""
        return {
            name: {key: value.clone() for key, value in part.state_dict().items()}
            for name, part in self.job.parts.items()
            if overrides(part, "conclude")
        }

    def keep(self, places: Sequence[int]) -> None:
        """See `Learner`: the loop ends when no head is left."""


def _detached(values: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value.detach() for name, value in values.items()}


def _columns(steps: list[dict[str, torch.Tensor]], zero: torch.Tensor) -> dict[str, torch.Tensor]:
    """The values of every step, by name, `(steps, 1)`; 0 where a step does not have it."""
    names = dict.fromkeys(name for step in steps for name in step)
    return {name: torch.stack([step.get(name, zero).float() for step in steps])[:, None] for name in names}


def _optimizer(job: HeadJob, num_features: int) -> torch.optim.Optimizer:
    """The job's optimizer, fused where torch has that and the config sets no other form."""
    optimizer = job.optimizer(num_features)
    further = job.learning_rates.optimizer_kwargs
    if type(optimizer) not in _FUSED or further.keys() & {"fused", "foreach", "differentiable"}:
        return optimizer
    fused = dataclasses.replace(job.learning_rates, optimizer_kwargs={**further, "fused": True})
    return dataclasses.replace(job, learning_rates=fused).optimizer(num_features)


def _seed(seed: int, device: torch.device) -> None:
    """`torch.manual_seed` for the CPU and this device alone: a hundred times faster."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)


def _may_draw(job: HeadJob) -> bool:
    """True if a step may draw random numbers, so that it has to be seeded."""
    known = SoftmaxLoss.of(job.objective) is not None and not job.penalties
    active = (m for m in job.head.modules() if not (type(m) is nn.Dropout and m.p == 0))
    still = all(type(module) in _WITHOUT_RANDOMNESS for module in active)
    return not known or job.head_dropout > 0 or not still
