"""Differences between configs, and short names for them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from transferlab.config.resolvers import deciding_part

SEEDS = ("seed", "data.shots_seed")
FOLD = "data.fold"
_CLASS = "._target_"


def flat_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a resolved config that decide the outcome, by their dotted paths."""
    flat = dict(_flat(deciding_part(dict(config))))
    if flat.get("data.shots_per_class") is None and flat.get("data.fraction") is None:
        flat.pop("data.shots_seed", None)  # chooses nothing
    return flat


def options(choices: Mapping[str, str | None]) -> dict[str, str | None]:
    """Chosen options by the place in the config that they fill: `data/catalog@data.source` is `data/source`.

    Several groups may fill one place (`data/loading@data` and `data` itself): the plain one tells.
    """
    found: dict[str, str | None] = {}
    for name, option in choices.items():
        if not name.startswith("hydra"):
            group, at, package = name.partition("@")
            place = package.replace(".", "/") if at else group
            if not at or place not in choices:
                found[place] = option
    return found


def what_differs(
    configs: Sequence[Mapping[str, Any]], chosen: Sequence[Mapping[str, str | None]]
) -> list[dict[str, Any]]:
    """Of each run, the settings in which runs differ, other than seeds and folds: options, then keys.

    An option (`strategy`) stands for the keys and the further options below it (`strategy.objective.weight`,
    `strategy/objective`) as long as runs with the same option agree in them; an option that changes no key is
    left out.

    Args:
        configs: flat, one a run.
        chosen: options by place, one a run.
    """
    keys = [name for name in _varying(configs) if name not in (*SEEDS, FOLD)]
    places = [place for place in _varying(chosen) if any(_below(key, place) for key in keys)]
    kept: list[str] = []
    for place in sorted(places, key=lambda place: place.count("/")):  # those above come first
        if not _explained(place, kept, chosen, chosen):
            kept.append(place)
    shown = [key for key in keys if not _explained(key, kept, configs, chosen)]
    return [
        {**{place: given.get(place) for place in kept}, **{_title(key): config.get(key) for key in shown}}
        for config, given in zip(configs, chosen, strict=True)
    ]


def short_names(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names for settings that differ: `strategy=dann learning_rates.base=0.001`; all different.

    Keys are shortened to their last two parts, and paths to their last one, where that is no confusion.
    """
    names = list(settings[0]) if settings else []
    short = {name: ".".join(name.split(".")[-2:]) for name in names}
    taken = list(short.values())
    short = {name: name if taken.count(text) > 1 else text for name, text in short.items()}
    values = {name: _short_values([setting[name] for setting in settings]) for name in names}
    return [
        " ".join(f"{short[name]}={values[name][position]}" for name in names)
        for position in range(len(settings))
    ]


def as_text(value: Any) -> str:
    """A value as it stands on the command line: lists without spaces, which separate settings in a name."""
    return value if isinstance(value, str) else json.dumps(value, default=str, separators=(",", ":"))


def _short_values(values: Sequence[Any]) -> list[str]:
    whole = [as_text(value) for value in values]
    short = [_last_part(text) for text in whole]
    return short if len(set(short)) == len(set(whole)) else whole


def _last_part(text: str) -> str:
    """Of the path of a file or of a class; all of any other text."""
    if all(part.isidentifier() for part in text.split(".")):
        return text.rpartition(".")[2]
    return text.rstrip("/").rpartition("/")[2]


def _flat(mapping: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in mapping.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        elif isinstance(value, float) and value.is_integer():
            yield f"{prefix}{key}", int(value)  # 1 and 1.0 are the same setting
        else:
            yield f"{prefix}{key}", value


def _varying(labels: Sequence[Mapping[str, Any]]) -> list[str]:
    """The names whose values are not the same everywhere, in the order of their first appearance."""
    names = dict.fromkeys(name for label in labels for name in label)
    return [name for name in names if len({_same(label.get(name)) for label in labels}) > 1]


def _explained(
    name: str,
    places: Sequence[str],
    labels: Sequence[Mapping[str, Any]],
    chosen: Sequence[Mapping[str, str | None]],
) -> bool:
    """True if runs that agree in the options above this name agree in it too."""
    above = [place for place in places if _below(name, place)]
    found: dict[str, set[str]] = {}
    for label, given in zip(labels, chosen, strict=True):
        found.setdefault(_same([given.get(place) for place in above]), set()).add(_same(label.get(name)))
    return bool(above) and all(len(values) == 1 for values in found.values())


def _below(name: str, place: str) -> bool:
    return name.replace("/", ".").startswith(place.replace("/", ".") + ".")


def _title(key: str) -> str:
    return key.removesuffix(_CLASS)


def _same(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)
