"""Policy of storing frozen layers' outputs: by the config and the epoch, never by a measured time.

A resumed run must decide as the first one did, because activations and images give the same only to about
1e-6.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from transferlab.feature.feature_settings import FeatureSettings
from transferlab.strategy.parts import History, Unfreezing
from transferlab.training.build import Experiment

if TYPE_CHECKING:
    from transferlab.backbone.boundary import Boundary

_STORABLE_PRECISIONS = ("32-true", "32", "bf16-mixed", "16-mixed")
# Below this many operations for each byte that would be read instead, computing is as fast: a core of a CPU
# does some 30 operations a nanosecond and reads a byte or less, a GPU some 10,000 and gets 10 over its bus.
_LEAST_FLOPS_PER_BYTE_ON_CPU, _LEAST_FLOPS_PER_BYTE_ON_GPU = 100.0, 2000.0


def never_opens(experiment: Experiment) -> bool:
    """True if the backbone is frozen from the first epoch to the last."""
    unfreezing = experiment.strategy.unfreezing
    when = getattr(unfreezing, "opens_nothing_with", None)  # a user's own class need not state it
    return when is not None and all(getattr(unfreezing, name) == value for name, value in when.items())


def freezes_something(experiment: Experiment) -> bool:
    """True if there are frozen stages at least in the first epoch."""
    num_stages = len(experiment.network.backbone.stages)
    return experiment.strategy.unfreezing.trainable_stages(0, [], num_stages) < num_stages


def why_not_stored(experiment: Experiment) -> str | None:
    """Why frozen layers run in every epoch although some are frozen, for the user; None: they need not."""
    data = experiment.batches.settings
    for name, part in experiment.strategy.parts.items():
        if part.needs_images:
            kind = type(part).__name__
            return f"strategy.{name}: {kind} works on the images, so the frozen layers run in each epoch."
    if data.augmentation.is_random and experiment.batches.views is None:
        return (
            "training images are augmented anew in each epoch, so the frozen layers run in each. "
            "features.views=4 keeps 4 versions of each image and runs them once; data/augmentation=none, one."
        )
    if data.mixing.is_active:
        return "data/mixing makes new images in each epoch, so the frozen layers run in each."
    if experiment.fit.compile:
        return "fit.compile=true compiles the whole backbone, so the frozen layers run in each epoch."
    precision = experiment.config.trainer.precision
    if str(precision) not in _STORABLE_PRECISIONS:
        return f"with trainer.precision={precision} the frozen layers run in each epoch."
    return None


def epochs_at_this_depth(
    unfreezing: Unfreezing, epoch: int, history: History, *, num_stages: int, max_epochs: int
) -> int:
    """Number of epochs, past and future, with the depth of `epoch`, as far as its beginning shows.

    >>> from transferlab.strategy.unfreezing.gradual import Gradual
    >>> past = [{"trainable_stages": 0.0}, {"trainable_stages": 0.0}, {"trainable_stages": 1.0}]
    >>> epochs_at_this_depth(Gradual(every_epochs=2), 3, past, num_stages=4, max_epochs=10)
    2
    """
    depth = unfreezing.trainable_stages(epoch, history, num_stages)
    start = epoch
    while start > 0 and history[start - 1]["trainable_stages"] == depth:
        start -= 1
    known, end = history[:start], start
    while end < max_epochs and unfreezing.trainable_stages(end, known, num_stages) == depth:
        end += 1
    return end - start


def why_not_worth_it(
    boundary: Boundary,
    settings: FeatureSettings,
    *,
    epochs: int,
    views: int,
    images: int,
    device_type: str,
) -> str | None:
    """Why computing is better than storing, for the user; None where storing is better.

    Args:
        boundary: where the frozen layers end.
        settings: how activations are stored.
        epochs: how often training comes back to the same images at this boundary.
        views: how many versions of each training image there are.
        images: how many activations there are to store.
        device_type: of the device that computes.
    """
    if epochs <= views:
        return f"only {epochs} epoch{'s' * (epochs > 1)} would use them"
    num_bytes = prod(boundary.shape) * (2 if settings.storage == "float16" else 4)
    least = _LEAST_FLOPS_PER_BYTE_ON_CPU if device_type == "cpu" else _LEAST_FLOPS_PER_BYTE_ON_GPU
    if boundary.prefix_flops < least * num_bytes:
        return f"reading {num_bytes / 1e6:.2g} MB per image takes as long as computing them"
    if num_bytes * images > settings.cache_gib * 2**30:
        needed = f"{num_bytes * images / 2**30:.3g} GiB"
        return f"they would take {needed} of features.cache_gib={settings.cache_gib:g}"
    return None
