"""Values collected over an epoch: means of what steps observed, gradient norms, predictions of a split."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from transferlab.training.lightning.distributed import of_all_processes

_BATCHES_BETWEEN = 10  # a norm reads every gradient once; so many batches make that nothing


class Outputs:
    """Class probabilities, labels and sample indices, batch by batch.

    Args:
        with_features: collect the features, too.
    """

    def __init__(self, *, with_features: bool = False) -> None:
        self.with_features = with_features
        self.clear()

    def clear(self) -> None:
        """Drop what was collected."""
        self._rows: list[tuple[torch.Tensor, ...]] = []

    def add(
        self, features_ND: torch.Tensor, logits_NC: torch.Tensor, batch: Mapping[str, torch.Tensor]
    ) -> None:
        """Take features and class scores of a batch with its `index` and, where known, its `label`."""
        index_N = batch["index"].cpu()
        labels_N = batch["label"].cpu() if "label" in batch else torch.full_like(index_N, -1)
        row = index_N, logits_NC.detach().double().softmax(1).cpu(), labels_N
        self._rows.append((*row, features_ND.detach().float().cpu()) if self.with_features else row)

    def gathered(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Probabilities `(N, C)`, labels `(N,)` and indices `(N,)` of all processes, sorted by index.

        Labels are -1 where unknown. Every process gets all of it; each sample counts once.
        """
        columns = self._gathered()
        if columns is None:
            return np.zeros((0, 0)), np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        return columns[1], columns[2], columns[0]

    def gathered_features(self) -> np.ndarray:
        """Features `(N, D)` of all processes, sorted by index."""
        assert self.with_features
        columns = self._gathered()
        return np.zeros((0, 0)) if columns is None else columns[3]

    def _gathered(self) -> list[np.ndarray] | None:
        rows = [row for of_process in of_all_processes(self._rows) for row in of_process]
        if not rows:
            return None
        columns = [torch.cat(column) for column in zip(*rows, strict=True)]
        _, first = np.unique(columns[0].numpy(), return_index=True)
        return [column[first].numpy() for column in columns]


class EpochMeans:
    """Sums of values on their device, so that no step waits for one; they travel in checkpoints."""

    def __init__(self) -> None:
        self.sums: dict[str, torch.Tensor] = {}
        self.counts: dict[str, int] = {}

    def add(self, values: Mapping[str, torch.Tensor]) -> None:
        """Take scalars, by name; one that some steps lack is averaged over the others."""
        for name, value in values.items():
            value = value.detach().float()
            self.sums[name] = self.sums[name].to(value.device) + value if name in self.sums else value
            self.counts[name] = self.counts.get(name, 0) + 1

    def __bool__(self) -> bool:
        return bool(self.counts)

    def means(self) -> dict[str, float]:
        """The mean of each value."""
        return {name: (total / self.counts[name]).item() for name, total in self.sums.items()}

    def clear(self) -> None:
        """Begin an epoch."""
        self.sums, self.counts = {}, {}

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"sums": {name: total.cpu() for name, total in self.sums.items()}, "counts": dict(self.counts)}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""
        self.sums, self.counts = dict(state["sums"]), dict(state["counts"])


def gradients_are_due(counts: Mapping[str, int]) -> bool:
    """True in steps that are measured: in the first of an epoch and then in each tenth.

    Args:
        counts: of the epoch's observations so far, see `EpochMeans`.
    """
    return counts.get("loss", 0) > _BATCHES_BETWEEN * counts.get("gradient_norm/head", 0)


def gradient_norms(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """L2 norms of the gradients: backbone, bottleneck, head, objective; without those that have none.

    The optimizer's groups are those of `parameter_groups`. A loss that is scaled (16-mixed) has been
    unscaled; a step that overflowed has an infinite norm.
    """
    gradients: dict[str, list[torch.Tensor]] = {}
    for group in optimizer.param_groups:
        owner = "backbone" if group["stage"] > 0 else group["name"].removesuffix("/no_decay")
        gradients.setdefault(owner, []).extend(
            parameter.grad for parameter in group["params"] if parameter.grad is not None
        )
    norm = torch.nn.utils.get_total_norm
    return {f"gradient_norm/{owner}": norm(own) for owner, own in gradients.items() if own}
