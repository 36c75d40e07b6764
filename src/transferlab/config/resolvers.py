"""The `${...}` functions that configs use besides Hydra's own."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.basecontainer import BaseContainer
from omegaconf.errors import OmegaConfBaseException

from transferlab.run.errors import UserError
from transferlab.run.reading import read_config

# What does not change the outcome of a job, and so does not belong to its identity
_NOT_IDENTITY = (
    "name",
    "allow",
    "logger",
    "hydra",
    "data.num_workers",
    "data.cache",
    "data.verify",
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

# All functions that a config may call. The others of OmegaConf make live configs out of texts.
_FUNCTIONS = frozenset(
    {
        "backbone_for",
        "choice",
        "hydra",
        "job_identity",
        "now",
        "oc.env",
        "oc.select",
        "python_version",
        "short_id",
    }
)
# The environment variables that a config may read: a recorded config shows what they hold
_VARIABLES = re.compile(
    "HOME|USER|LOGNAME|HOSTNAME|TMPDIR|SCRATCH|WORK|DATA|DATA_DIR|DATA_ROOT|DATASETS|SLURM_JOB_ID|SLURM_TMPDIR"
    "|TRANSFERLAB_[A-Z0-9_]+"
)
# Options of the group data whose images are digits or letters of about 32 px
_OF_DIGITS = ("digits", "digits_domains", "letters", "mnist", "mnist_to_digits", "mnist_to_mnist_m")
_SECRET = re.compile("KEY|TOKEN|SECRET|PASS|CREDENTIAL|AUTH")


def register() -> None:
    """Make the resolvers known to OmegaConf; safe to call again."""
    OmegaConf.register_new_resolver("backbone_for", _backbone_for, replace=True, use_cache=False)
    OmegaConf.register_new_resolver("choice", _choice, replace=True, use_cache=False)
    OmegaConf.register_new_resolver("short_id", lambda: uuid.uuid4().hex[:6], replace=True, use_cache=True)
    OmegaConf.register_new_resolver("job_identity", _job_identity, replace=True, use_cache=False)


@contextlib.contextmanager
def only_known() -> Iterator[None]:
    """Within this, `${...}` calls the functions above alone, and reads few environment variables."""
    before = BaseContainer._resolvers  # a class attribute: OmegaConf has no other switch
    BaseContainer._resolvers = {name: before[name] for name in _FUNCTIONS & set(before)}
    try:
        register()
        OmegaConf.register_new_resolver("oc.env", _variable, replace=True, use_cache=False)
        yield
    finally:
        BaseContainer._resolvers = before


def _variable(name: str, default: Any = ...) -> Any:
    """The value of an environment variable that a config may read."""
    if not _VARIABLES.fullmatch(name) or _SECRET.search(name):
        raise UserError(
            f"a config may not read the variable {name}. Fix: type its value on the command line, or pass "
            "what is no secret in a variable whose name begins with TRANSFERLAB_"
        )
    if name not in os.environ and default is ...:
        raise UserError(f"the variable {name} is not set")
    return os.environ.get(name, default)


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


def _backbone_for(data: str) -> str:
    """The default backbone for an option of the group `data`."""
    return "letters_resnet" if data in _OF_DIGITS else "efficientnet_lite0"


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


def interpolations(content: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Dotted path and text of each key or value that holds `${`, which OmegaConf would resolve."""
    if isinstance(content, Mapping):
        for key, value in content.items():
            full = f"{path}.{key}" if path else str(key)
            if "${" in str(key):
                yield full, str(key)
            yield from interpolations(value, full)
    elif isinstance(content, list | tuple):
        for place, value in enumerate(content):
            yield from interpolations(value, f"{path}.{place}" if path else str(place))
    elif isinstance(content, str) and "${" in content:
        yield path, content


def plain_config(content: Any, place: Path | str) -> DictConfig:
    """The config of recorded plain data, in which nothing is left to resolve.

    Raises:
        UserError: it is no mapping, or a text in it holds `${`.
    """
    if not isinstance(content, Mapping):
        raise UserError(f"{place}: this is not a config (a mapping). Fix: copy it again from the run.")
    for path, text in interpolations(content):
        raise UserError(
            f"{place}: {path}={text}: a recorded config holds no ${{...}}. Fix: write the value itself."
        )
    try:
        config = OmegaConf.create(dict(content))
    except OmegaConfBaseException as error:
        raise UserError(f"{place}: {str(error).splitlines()[0]}. Fix: copy it again from the run.") from error
    assert isinstance(config, DictConfig)
    return config


def read_recorded(file: Path) -> DictConfig:
    """A recorded config, which holds no interpolation.

    Raises:
        UserError: it cannot be read, is no mapping, or holds `${`.
    """
    return plain_config(OmegaConf.to_container(read_config(file)), file)
