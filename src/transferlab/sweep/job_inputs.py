"""Inputs of the jobs of a sweep: hashes of images and weights, computed once for each that differs.

They are part of a job's identity: a finished job of other images is not this one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from transferlab.data.catalog.catalog import CatalogSource
from transferlab.data.data_settings import DataSettings
from transferlab.data.image.image_check import usable
from transferlab.data.image.reader import content_hash
from transferlab.training.build import make_data
from transferlab.training.run_record import weights_hash

_known: dict[str, str] = {}  # hash by the config of a catalog, for as long as this process lives


def inputs_of(config: DictConfig) -> dict[str, str]:
    """Hashes of what a job reads, by config path.

    Images are read whole, as each job does, and those that cannot be decoded are treated as
    `data.on_bad_image` says; both once for all jobs that read the same.

    Args:
        config: checked and resolved.

    Raises:
        UserError: data or weights that cannot be used.
    """
    plain: Any = OmegaConf.to_container(config)
    found = {"backbone.weights": weights_hash(plain["backbone"])}
    augmentation = plain["data"].get("augmentation") or {}
    if "file" in augmentation:
        file = Path(augmentation["file"]).expanduser()
        found["data.augmentation.file"] = content_hash(file.read_bytes()) if file.is_file() else "missing"
    asked = [plain["data"].get(name) for name in ("check_images", "on_bad_image", "verify")]
    domains = [name for name in ("source", "target") if plain["data"].get(name) is not None]
    keys = {name: json.dumps([plain["data"][name], *asked], sort_keys=True) for name in domains}
    if any(key not in _known for key in keys.values()):
        settings = make_data(config)
        sources = {"source": settings.source, "target": settings.target}
        for name, key in keys.items():
            if key not in _known:
                _known[key] = _catalog_hash(sources[name], settings)
    found |= {f"data.{name}": _known[key] for name, key in keys.items()}
    return found


def short_hash(inputs: Mapping[str, str]) -> str:
    """Six hex digits that change when one of the inputs does."""
    text = json.dumps(dict(inputs), sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=3).hexdigest()


def _catalog_hash(source: CatalogSource | None, settings: DataSettings) -> str:
    """A hash of samples, labels, contents, and of groups and splits where the source fixes them."""
    assert source is not None
    catalog = usable(source, settings)
    digest = hashlib.blake2b(catalog.fingerprint().encode(), digest_size=16)
    rows = catalog.table[["sample", "group", "split"]].to_numpy().tolist()
    for row in sorted("\0".join(map(str, cells)) for cells in rows):
        digest.update(f"{row}\n".encode())
    return digest.hexdigest()
