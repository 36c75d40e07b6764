"""What a run is made from besides its config: the contents of its images and of its weights, as hashes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from transferlab.data.splits import Splits
from transferlab.run.errors import UserError
from transferlab.run.run_folder import Run

FILE = "inputs.json"


def current_inputs(backbone: Mapping[str, Any], splits: Splits) -> dict[str, str]:
    """`data`: a hash of samples, labels, contents and split; `backbone.weights`: see `weights_hash`.

    Args:
        backbone: the config's section.
        splits: of the data.
    """
    return {"data": splits.fingerprint(), "backbone.weights": weights_hash(backbone)}


def recorded_inputs(run: Run) -> dict[str, str]:
    """What inputs.json says; empty before the run has read anything."""
    file = run.path / FILE
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def record_inputs(inputs: Mapping[str, str], run: Run) -> list[str]:
    """Write inputs.json; return what the user should know of a run that starts over.

    Raises:
        UserError: the run goes on from a checkpoint that was made with others.
    """
    before = recorded_inputs(run)
    changed = sorted(name for name in before if before[name] != inputs.get(name))
    if changed and run.last_checkpoint.is_file():
        raise UserError(
            f"{run.path}: {' and '.join(changed)}: not the same files as when this run began, so it can not "
            "go on from its checkpoint. Bring them back, or train anew in another folder."
        )
    run.write_json(FILE, inputs)
    told = f"{' and '.join(changed)}: not the same files as when this run began; it starts over with these."
    return [told] if changed else []


def weights_hash(backbone: Mapping[str, Any]) -> str:
    """A text that differs where pretrained weights do, for a config's section `backbone`.

    For a file, or an earlier run, a hash of the weights and of the JSON beside them. For the hub the place
    there, which timm's version decides. `random`, which the seed decides, stands for itself.

    Raises:
        WeightsError: no such file.
    """
    from transferlab.backbone.weights import find_weights

    weights = str(backbone["weights"])
    file = find_weights(weights, needs_json="network" not in backbone)
    if file is not None:
        return _hash_of(file.path, *map(_stamp, _pair(file.path)))
    return f"hub {_place_on_hub(str(backbone['name']))}" if weights == "hub" else weights


def _pair(file: Path) -> list[Path]:
    """A weights file, after the JSON beside it, where there is one."""
    return [path for path in (file.with_suffix(".json"), file) if path.is_file()]


def _stamp(file: Path) -> tuple[int, int]:
    found = file.stat()
    return found.st_mtime_ns, found.st_size


@lru_cache(maxsize=64)
def _hash_of(file: Path, *stamps: tuple[int, int]) -> str:
    """A hash of a weights file and its JSON; computed once as long as the stamps stay."""
    digest = hashlib.blake2b(digest_size=16)
    for part in _pair(file):
        with part.open("rb") as content:
            while block := content.read(2**20):
                digest.update(block)
    return digest.hexdigest()


def _place_on_hub(name: str) -> str:
    import timm

    known = (
        timm.get_pretrained_cfg(name, allow_unregistered=False) if timm.is_model(name.split(".")[0]) else None
    )
    if known is None:
        return name
    return str(known.hf_hub_id or known.url or f"{known.architecture}.{known.tag}")
