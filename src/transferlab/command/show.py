"""`transferlab train --cfg`: the config of a run, without running it."""

from __future__ import annotations

from typing import Any

from omegaconf import OmegaConf

from transferlab.config.compose import Composed
from transferlab.config.overrides import did_you_mean
from transferlab.run.errors import UserError

_WHAT = ("job", "hydra", "all")


def show(composed: Composed, what: str, *, package: str | None = None, resolve: bool = False) -> str:
    """A config as YAML.

    Args:
        composed: the config.
        what: `job` for the experiment, `hydra` for Hydra's own part, `all` for both.
        package: the dotted key of a part to show alone.
        resolve: replace each interpolation by its value.

    Raises:
        UserError: no such `what` or `package`.
    """
    if what not in _WHAT:
        raise UserError(f"--cfg {what}: it takes {', '.join(_WHAT)}.{did_you_mean(what, _WHAT)}")
    job = composed.config if resolve else composed.written
    content: dict[str, Any] = {str(key): job._get_node(key) for key in job} if what != "hydra" else {}
    if what != "job":
        content["hydra"] = composed.hydra
    part: Any = OmegaConf.create(content)
    header = ""
    if package is not None:
        part, header = OmegaConf.select(part, package), f"# @package {package}\n"
        if not OmegaConf.is_config(part):
            raise UserError(f"--package={package}: there is no such part of the config.")
    return header + OmegaConf.to_yaml(part, resolve=resolve and what == "job")
