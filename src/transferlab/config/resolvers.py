"""The `${...}` functions that configs use besides Hydra's own."""

from __future__ import annotations

import hashlib
import json
import uuid
from typing import Any

from omegaconf import DictConfig, OmegaConf

# What does not change the outcome of a job, and so does not belong to its identity
_NOT_IDENTITY = (
    "name",
    "allow",
    "logger",
    "hydra",
    "data.num_workers",
    "data.cache",
    "trainer.devices",
    "trainer.num_nodes",
    "trainer.enable_progress_bar",
    "trainer.further.log_every_n_steps",
    "fit.checkpoint_every_minutes",
    "fit.checkpoint_every_steps",
    "fit.keep_checkpoints",
    "features.cache",
    "features.cache_gib",
)


def register() -> None:
    """Make the resolvers known to OmegaConf; safe to call again."""
    OmegaConf.register_new_resolver("choice", _choice, replace=True, use_cache=False)
    OmegaConf.register_new_resolver("short_id", lambda: uuid.uuid4().hex[:6], replace=True, use_cache=True)
    OmegaConf.register_new_resolver("job_identity", _job_identity, replace=True, use_cache=False)


def identity(config: dict[str, Any]) -> str:
    """Twelve hex digits that are equal for two resolved configs that ask for the same outcome."""
    text = json.dumps(deciding_part(config), sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def deciding_part(config: dict[str, Any]) -> dict[str, Any]:
    """A resolved config without what does not change the outcome; a copy."""
    kept: dict[str, Any] = json.loads(json.dumps(config))
    for path in _NOT_IDENTITY:
        *parents, last = path.split(".")
        node = kept
        for parent in parents:
            node = node.get(parent) or {}
        node.pop(last, None)
    return kept


def _choice(*groups: str, _root_: DictConfig) -> str:
    """The chosen option of the first of these groups in which something is chosen."""
    from hydra.core.hydra_config import HydraConfig

    hydra = _root_.get("hydra") or HydraConfig.get()  # a job's config is without Hydra's part
    choices = hydra.runtime.choices
    return next((str(choices[group]) for group in groups if choices.get(group)), "run")


def _job_identity(*, _root_: DictConfig) -> str:
    """`<what this job overrides>_<identity>`: the name of a job's folder within its sweep."""
    with_hydra = OmegaConf.masked_copy(_root_, [str(key) for key in _root_ if key != "hydra"])
    overrides = sorted(text.lstrip("+") for text in _root_.hydra.overrides.task)
    overrides = [text for text in overrides if not text.startswith(_NOT_IDENTITY)]
    pairs = [text.partition("=")[::2] for text in overrides if "root=" not in text]
    shown = [f"{key.rpartition('/')[2]}={value.rpartition('/')[2]}" for key, value in pairs]
    readable = ",".join(shown).replace("=[]", "=null")
    readable = "".join(c if c.isalnum() or c in "=,._-" else "-" for c in readable)[:80]
    config = OmegaConf.to_container(with_hydra, resolve=True)
    assert isinstance(config, dict)
    return f"{readable or 'job'}_{identity({str(k): v for k, v in config.items()})[:8]}"
