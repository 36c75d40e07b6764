"""The end of a fit for a strategy's parts: what they conclude from the training split."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from transferlab.backbone.boundary_search import find_boundary
from transferlab.backbone.freezing import freeze_all_but_last
from transferlab.run.randomness import derived_seed
from transferlab.strategy.parts import Batch, History, overrides
from transferlab.training.build import Experiment
from transferlab.training.heads.head_job import LabelledFeatures


@dataclass(frozen=True)
class TrainingPasses:
    """Each iteration goes once through the training split, in order, not augmented, as `network` takes it."""

    experiment: Experiment  # its data shows images
    # of the split, from its start on, in the images' place; None: images
    features: LabelledFeatures | None = None

    def __iter__(self) -> Iterator[Batch]:
        like, batches = next(self.experiment.network.parameters()), self.experiment.batches
        if self.features is None:
            for batch in batches.evaluation("train"):
                prepared = batches.prepared({k: v.to(like.device) for k, v in batch.items()})
                yield {k: v.to(like.dtype) if v.is_floating_point() else v for k, v in prepared.items()}
            return
        for rows_N in torch.arange(len(self.features.labels_N)).split(batches.settings.batch_size):
            features_ND, labels_N = self.features.features_ND[rows_N], self.features.labels_N[rows_N]
            yield {"input": features_ND, "label": labels_N, "index": rows_N}


def conclude(
    experiment: Experiment,
    history: History,
    device: torch.device,
    features: LabelledFeatures | None = None,
) -> dict[str, torch.Tensor]:
    """Call `Part.conclude` where a part has one; its tensors as `objective.NAME` and `penalty.PENALTY.NAME`.

    Args:
        experiment: fitted; network and parts hold the selected state.
        history: of the fit.
        device: of the fit.
        features: of the training split, one for each image, where heads were fitted on them.
    """
    strategy, network = experiment.strategy, experiment.network
    concluding = {name: part for name, part in strategy.parts.items() if overrides(part, "conclude")}
    tensors: dict[str, torch.Tensor] = {}
    if not concluding:
        return tensors
    for module in (network, *strategy.parts.values()):
        module.to(device).eval()
    backbone = network.backbone
    deepest = max((int(entry["trainable_stages"]) for entry in history), default=0)
    freeze_all_but_last(backbone, deepest)
    backbone.boundary = None if features is None else find_boundary(backbone, len(backbone.stages))
    with strategy.objective.domains.on_source(network):
        for name, part in concluding.items():
            network.zero_grad()
            torch.manual_seed(derived_seed("conclude", experiment.seed))
            found = part.conclude(network, TrainingPasses(experiment, features))
            tensors |= {f"{name}.{key}": _copy(value) for key, value in found.items()}
    backbone.boundary = None
    return tensors


def _copy(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
