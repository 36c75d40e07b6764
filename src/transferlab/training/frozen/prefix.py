"""The frozen first stages of an experiment: run once, stored, then left out."""

from __future__ import annotations

from collections.abc import Callable

import torch

from transferlab.backbone.boundary import Boundary
from transferlab.backbone.boundary_search import NoBoundary, differs, find_boundary
from transferlab.backbone.network import Backbone
from transferlab.data.loading.sampler import ALONE, Share
from transferlab.feature.extraction import Views
from transferlab.feature.extractor import Extractor
from transferlab.feature.store import StoreFull, StoreUnusable
from transferlab.strategy.parts import History
from transferlab.training.build import Experiment
from transferlab.training.frozen.prefix_policy import (
    epochs_at_this_depth,
    freezes_something,
    never_opens,
    why_not_stored,
    why_not_worth_it,
)
from transferlab.training.lightning.target_epochs import watched_splits
from transferlab.training.terminal import say, tracked

_COMPARED_IMAGES = 2
_EPOCHS_WITHOUT_END = 1000  # assumed of a training that has no last epoch


def make_prefix(experiment: Experiment, note: Callable[[str], None]) -> FrozenPrefix | None:
    """The frozen prefix of an experiment; None where nothing is frozen or stored, with a note why not."""
    if experiment.features.cache == "off" or not freezes_something(experiment):
        return None
    if reason := why_not_stored(experiment):
        note(reason)
        return None
    return FrozenPrefix(experiment, note)


def extractor_of(experiment: Experiment, device: torch.device) -> Extractor:
    """Computes and stores outputs of the frozen stages of an experiment, whose backbone is on `device`."""
    return Extractor(
        backbone=experiment.network.backbone,
        batches=experiment.batches,
        settings=experiment.features,
        trainer_precision=str(experiment.config.trainer.precision),
        device=device,
        note=say,
        track=tracked,
    )


class FrozenPrefix:
    """Lets the frozen stages of an experiment run once and feeds what they made to the rest.

    Args:
        experiment: its backbone is cut.
        note: takes notes for the user.

    Attributes:
        batches: of the epoch: the experiment's own, or with activations in the images' place. The same
            object as long as they hold the same.
    """

    def __init__(self, experiment: Experiment, note: Callable[[str], None]) -> None:
        self.experiment, self.note = experiment, note
        self.batches = experiment.batches
        self._arranged: int | None = None

    def arrange(self, epoch: int, history: History, *, device: torch.device, share: Share = ALONE) -> None:
        """Cut the backbone as the epoch needs it and put activations in the images' place, or neither.

        Args:
            epoch: from 0.
            history: of the epochs before it.
            device: where the backbone is.
            share: in several processes, all call this at the same time.
        """
        frozen_stages = self._num_stages - self._depth(epoch, history)
        if frozen_stages == self._arranged:
            return
        self.release()
        self._arranged = frozen_stages
        if frozen_stages == 0:
            return
        try:
            boundary = find_boundary(self._backbone, frozen_stages)
            if reason := self._why_not(boundary, epoch, history, device):
                raise NoBoundary(reason)
            extractor = extractor_of(self.experiment, device)
            stored = {split: extractor.activations(boundary, split, share) for split in self._splits}
        except (NoBoundary, StoreFull, StoreUnusable) as reason:
            stages = f"its first {frozen_stages} stages" if self._depth(epoch, history) else "the backbone"
            self.note(f"outputs of {stages} are not stored: {reason}")
            return
        self._backbone.boundary = boundary
        self.batches = self.experiment.batches.with_stored(stored)

    def release(self) -> None:
        """The whole network runs on images again."""
        self._backbone.boundary = None
        self.batches = self.experiment.batches
        self._arranged = None

    @property
    def _backbone(self) -> Backbone:
        return self.experiment.network.backbone

    @property
    def _num_stages(self) -> int:
        return len(self._backbone.stages)

    def _depth(self, epoch: int, history: History) -> int:
        return self.experiment.strategy.unfreezing.trainable_stages(epoch, history, self._num_stages)

    @property
    def _splits(self) -> list[str]:
        """Splits of each epoch, and where nothing ever opens, those that are evaluated in the end."""
        batches, selection = self.experiment.batches, self.experiment.strategy.selection
        names = [split.name for split in batches.trained_on]
        names += ["val", *watched_splits(batches.splits, selection)]
        if never_opens(self.experiment):
            names += batches.splits.reported
        return [name for name in dict.fromkeys(names) if len(batches.splits[name])]

    def _why_not(self, boundary: Boundary, epoch: int, history: History, device: torch.device) -> str | None:
        """Why this boundary is not used; None where it is. Features serve other runs, too: always stored."""
        batches, num_stages = self.experiment.batches, self._num_stages
        if boundary.frozen_stages < num_stages:
            unfreezing, last = self.experiment.strategy.unfreezing, self.experiment.config.trainer.max_epochs
            last = last if last is not None and last >= 0 else _EPOCHS_WITHOUT_END
            epochs = epochs_at_this_depth(unfreezing, epoch, history, num_stages=num_stages, max_epochs=last)
            images = sum(len(Views(batches, split)) for split in self._splits)
            settings = self.experiment.features
            if reason := why_not_worth_it(
                boundary,
                settings,
                epochs=epochs,
                views=batches.views or 1,
                images=images,
                device_type=device.type,
            ):
                return reason
        views = Views(batches, "train")
        some = views.__getitems__(list(range(min(_COMPARED_IMAGES, len(views)))))
        image = batches.preprocessing.normalised(some["image"].to(device))
        return differs(self._backbone, boundary, image)
