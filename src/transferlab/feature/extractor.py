"""Activations of a split: from the store, or computed now by all processes of a training and stored."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import distributed

from transferlab.backbone.boundary import Boundary
from transferlab.backbone.boundary_search import find_boundary
from transferlab.backbone.network import Backbone
from transferlab.data.batches import Batches
from transferlab.data.loading.dataset import InMemory
from transferlab.data.loading.sampler import ALONE, Share
from transferlab.feature.extraction import (
    LEAST_COSINE,
    Computed,
    Views,
    batch_size,
    compute_dtype,
    extracted,
    least_cosine,
)
from transferlab.feature.feature_settings import FeatureSettings
from transferlab.feature.rows import Rows
from transferlab.feature.store import FeatureSpace, StoreFull, StoreUnusable
from transferlab.run.environment import versions

_VERSION = 1  # change it when stored activations are not to be used any more
_COMPUTED_WITH = ("torch", "torchvision", "timm", "pillow", "opencv-python-headless")


@dataclass(frozen=True, kw_only=True)
class Extractor:
    """Computes activations of splits; its attributes are all that they depend on but the images."""

    backbone: Backbone  # on `device`; `batches` have its preprocessing
    batches: Batches
    settings: FeatureSettings
    trainer_precision: str  # a mixed precision of the trainer's applies to frozen layers, too
    device: torch.device
    note: Callable[[str], None]  # shows a text to the user
    # shows the progress of a pass: (what it is, number of images, its batches) -> its batches
    track: Callable[[str, int, Computed], Computed]
    _types: dict[int, torch.dtype] = field(default_factory=dict, init=False)

    def activations(self, boundary: Boundary, split: str, share: Share = ALONE) -> Rows:
        """The activations of a split, in the order of its `Views`, from the store.

        In several processes all call this at the same time, and each computes its share.

        Raises:
            StoreFull, StoreUnusable: the store cannot take them.
        """
        views = Views(self.batches, split)
        space = FeatureSpace(self._about(boundary, views), most_gib=self.settings.cache_gib)
        rows = shared_rows(
            space,
            views.keys,
            lambda positions: self._computed(boundary, views, split, positions),
            share=share,
            batch_size=batch_size(self.device),
        )
        for text in rows.notes:
            self.note(text)
        return rows

    def features(self, split: str) -> Rows | InMemory:
        """The pooled features (N, D) of a split; in memory where the store is off or cannot take them."""
        boundary = find_boundary(self.backbone, len(self.backbone.stages))
        if self.settings.cache != "off":
            try:
                return self.activations(boundary, split)
            except (StoreFull, StoreUnusable) as error:
                self.note(f"{error} They are stored for this run alone.")
        views = Views(self.batches, split)
        batches = list(self._computed(boundary, views, split, range(len(views))))
        return InMemory(torch.cat([made for _, made in batches]))

    def _computed(self, boundary: Boundary, views: Views, split: str, positions: Sequence[int]) -> Computed:
        batches = self._extracted(boundary, views, positions, self._type(boundary))
        text = f"{split.replace('_', ' ')}: running the frozen layers once on {len(positions)} images"
        return self.track(text, len(positions), batches)

    def _extracted(
        self, boundary: Boundary, views: Views, positions: Sequence[int], compute: torch.dtype
    ) -> Computed:
        return extracted(
            self.backbone,
            boundary,
            views,
            positions,
            device=self.device,
            compute=compute,
            storage=getattr(torch, self.settings.storage),
        )

    def _type(self, boundary: Boundary) -> torch.dtype:
        """The type to compute in; `auto` takes bfloat16 only where that gives nearly the same."""
        if boundary.frozen_stages not in self._types:
            chosen = compute_dtype(self.settings.precision, self.trainer_precision, self.device)
            if self.settings.precision == "auto" and chosen == torch.bfloat16:
                chosen = self._unless_it_differs(boundary, chosen)
            self._types[boundary.frozen_stages] = chosen
        return self._types[boundary.frozen_stages]

    def _unless_it_differs(self, boundary: Boundary, chosen: torch.dtype) -> torch.dtype:
        """The chosen type, or float32 if the outputs of one batch of images point elsewhere with it."""
        views = Views(self.batches, "train")
        positions = range(min(batch_size(self.device), len(views)))
        exact, rounded = (
            torch.cat([made for _, made in self._extracted(boundary, views, positions, compute)])
            for compute in (torch.float32, chosen)
        )
        cosine = least_cosine(exact, rounded)
        if cosine >= LEAST_COSINE:
            return chosen
        self.note(
            f"features.precision=auto: float32, for bfloat16 would change these outputs (cosine {cosine:.4f})"
        )
        return torch.float32

    def _about(self, boundary: Boundary, views: Views) -> dict[str, object]:
        return {
            "network": self.backbone.name,
            "kwargs": self.backbone.kwargs,
            "weights": weights_fingerprint(self.backbone, boundary.frozen_stages),
            "boundary": boundary.module or "features",
            "image_size": self.batches.preprocessing.image_size,
            "precision": str(self._type(boundary)).removeprefix("torch."),
            "storage": self.settings.storage,
            "device": self.device.type,
            "pixels": views.depends_on,
            "computed_with": versions(*_COMPUTED_WITH),
            "version": _VERSION,
            **({} if self.backbone.code is None else {"code": self.backbone.code}),
        }


def weights_fingerprint(backbone: Backbone, frozen_stages: int) -> str:
    """32 hex digits of the first stages' parameters and of all buffers that do not belong to later stages.

    Equal weights have equal hashes, wherever they came from.
    """
    later = {name for stage in backbone.stages[frozen_stages:] for name in stage.parameters}
    trained = {name.rpartition(".")[0] for name in later}
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in sorted(backbone.network.state_dict().items()):
        if name in later or name.rpartition(".")[0] in trained:
            continue
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(dtype=torch.uint8).numpy())
    return digest.hexdigest()


def shared_rows(
    space: FeatureSpace,
    keys: Sequence[str],
    compute: Callable[[Sequence[int]], Computed],
    *,
    share: Share,
    batch_size: int,
) -> Rows:
    """`space.rows(keys, compute)`, called in all processes of a training at the same time.

    The first process looks into the store; all compute what is not there, every `world_size`-th image each.
    (Lightning's own way, `Trainer.predict`, cannot be used within a fit, where a boundary moves.)

    `compute` yields `batch_size` of the given positions at a time, at last fewer, with their features.

    Raises:
        StoreFull, StoreUnusable: the store's error in the first process; the others raise StoreUnusable.
    """
    if share.world_size == 1:
        return space.rows(keys, compute)
    if share.rank > 0:
        positions, refusal = _from_first(None)
        if positions:
            _send_share(compute, positions, share, batch_size)
            _, refusal = _from_first(None)
        if refusal is not None:
            raise StoreUnusable(refusal)
        return space.rows(keys, compute)

    def computed(positions: list[int]) -> Computed:
        _from_first((positions, None))
        return _gathered(compute, positions, share, batch_size)

    refusal = None
    try:
        return space.rows(keys, computed)
    except BaseException as error:
        refusal = str(error)
        raise
    finally:
        _from_first(([], refusal))


def _from_first(message: tuple[list[int], str | None] | None) -> tuple[list[int], str | None]:
    """The first process's message, in all of them: positions to compute, a refusal; the others give None."""
    messages: list[Any] = [message]
    distributed.broadcast_object_list(messages, src=0)
    return messages[0]


def _send_share(
    compute: Callable[[Sequence[int]], Computed], positions: list[int], share: Share, batch_size: int
) -> None:
    batches = compute(positions[share.rank :: share.world_size])
    for _ in range(_num_steps(positions, share, batch_size)):
        distributed.gather_object(next(batches, None), dst=0)


def _gathered(
    compute: Callable[[Sequence[int]], Computed], positions: list[int], share: Share, batch_size: int
) -> Computed:
    """In the first process: everyone's batches; if they are not wanted any more, the others still finish."""
    batches = compute(positions[:: share.world_size])
    steps = iter(range(_num_steps(positions, share, batch_size)))
    everyones: list[Any] = [None] * share.world_size
    try:
        for _ in steps:
            distributed.gather_object(next(batches, None), everyones, dst=0)
            yield from [batch for batch in everyones if batch is not None]
    finally:
        for _ in steps:
            distributed.gather_object(None, everyones, dst=0)


def _num_steps(positions: list[int], share: Share, batch_size: int) -> int:
    largest_share = -(-len(positions) // share.world_size)
    return -(-largest_share // batch_size)
