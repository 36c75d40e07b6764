"""A hash of the weights that a network's first stages compute with."""

from __future__ import annotations

import hashlib

import torch

from transferlab.backbone.network import Backbone

_BYTES = torch.uint8


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
        digest.update(tensor.detach().cpu().contiguous().flatten().view(dtype=_BYTES).numpy())
    return digest.hexdigest()
