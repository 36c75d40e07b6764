"""Check the arguments of a plugin of Hydra's (a launcher, a sweeper) against its signature."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from omegaconf import DictConfig, OmegaConf

from transferlab.config.annotation import in_words, matches, plain
from transferlab.config.signature import signature


def problems_of_arguments(plugin: DictConfig, path: str, *, above_zero: Collection[str]) -> Iterator[str]:
    """A sentence for each argument of a wrong type, or of those `above_zero` that is not.

    Args:
        plugin: its config; `_target_` is a class of ours.
        path: where it is in the config, `hydra.launcher` say.
        above_zero: names of arguments.
    """
    taken = signature(str(plugin._target_))
    assert taken is not None
    for name, argument in taken.arguments.items():
        node = plugin.get(name)
        value = OmegaConf.to_container(node) if OmegaConf.is_config(node) else node
        too_small = isinstance(value, int | float) and value <= 0 and name in above_zero
        if not matches(value, argument.annotation) or too_small:
            above = " above 0" if name in above_zero else ""
            words = in_words(argument.annotation).replace("number", f"number{above}")
            yield f"{path}.{name}={plain(value)}: must be {words}."
