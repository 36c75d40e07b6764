"""`transferlab tune`: a learning rate or a batch size, from a few steps of training."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from omegaconf import DictConfig

from transferlab.command.arguments import options_and_rest
from transferlab.config.compose import compose_checked
from transferlab.run.errors import UserError
from transferlab.run.run_folder import dated

HELP = """\
transferlab tune learning_rate [group=option ...] [key=value ...]
transferlab tune batch_size    [group=option ...] [key=value ...]

Trains a few steps of the experiment that `transferlab train` would run, and says what to add to its command.
No run folder is written and no test image is looked at.

learning_rate: strategy.learning_rates.base rises by the same factor in each step, and all groups of
parameters with it, in their ratios (backbone_factor, stage_decay, objective_factor). Suggested is where the
smoothed loss falls most steeply (a range test: Smith, 2017). What trains is what the strategy opens first.
  --lowest RATE    in the first step (default: 1e-6)
  --highest RATE   in the last step, unless the loss has diverged before (default: 1)
  --steps N        of the optimizer (default: 100)

batch_size: images a second of doubling sizes, until memory is full, a size is less than 5 % faster than its
half, or there are not so many images. Suggested is the smallest that is as fast as any, to within 5 %.
  --first N        the smallest size (default: 8)
  --steps N        that count, of each size (default: 8)

  --out DIR        where tables and picture go (default: tuning/<date>_<time>)
"""
_OPTIONS: dict[str, dict[str, float]] = {
    "learning_rate": {"--lowest": 1e-6, "--highest": 1.0, "--steps": 100},
    "batch_size": {"--first": 8, "--steps": 8},
}


def run(arguments: Sequence[str]) -> int:
    """Find a value, show how, and print the path of the record."""
    what, *rest = arguments
    if what not in _OPTIONS:
        raise UserError(f"transferlab tune {what}: it tunes {' or '.join(_OPTIONS)}.")
    takes = {"--out": "DIR", **dict.fromkeys(_OPTIONS[what], "NUMBER")}
    options, overrides = options_and_rest(rest, takes, verb="tune")
    folder = Path(options.pop("--out")) if "--out" in options else dated("tuning")
    numbers = _numbers(what, options)
    config = compose_checked(overrides).config
    _require_one_device(config)
    tune = {"learning_rate": _learning_rate, "batch_size": _batch_size}[what]
    sys.stdout.write(f"{tune(config, numbers, folder)}\n")
    return 0


def _numbers(what: str, typed: Mapping[str, str]) -> dict[str, float]:
    """The options of what is tuned, all of them numbers above 0."""
    numbers = dict(_OPTIONS[what])
    for name, text in typed.items():
        kind: Callable[[str], float] = type(numbers[name])
        try:
            numbers[name] = kind(text)
        except ValueError:
            numbers[name] = 0
        if not 0 < numbers[name] < float("inf"):
            word = "whole number" if kind is int else "number"
            raise UserError(f"{name} {text}: must be a {word} above 0.")
    return numbers


def _require_one_device(config: DictConfig) -> None:
    from transferlab.training.fit_settings import on_one_device

    if not on_one_device(config.trainer):
        raise UserError(
            f"trainer.devices={config.trainer.devices}: transferlab tune runs on one device. Leave "
            "trainer=ddp out. With n devices a step has n times the images: tune with so large a batch."
        )


def _learning_rate(config: DictConfig, numbers: dict[str, float], folder: Path) -> Path:
    from transferlab.analysis.learning_rate import range_test, write_range_test

    if numbers["--lowest"] >= numbers["--highest"]:
        raise UserError(
            f"--lowest {numbers['--lowest']:g}: must be below --highest {numbers['--highest']:g}."
        )
    test = range_test(
        config,
        lowest=numbers["--lowest"],
        highest=numbers["--highest"],
        steps=int(numbers["--steps"]),
    )
    suggestion, picture = test.suggestion, write_range_test(test, folder)
    rates = config.strategy.learning_rates
    last = "the last step" if len(test.rates_N) == int(numbers["--steps"]) else "where the loss diverged"
    for label, value in (
        ("steepest descent", suggestion),
        ("a tenth of the rate of the lowest loss", test.lowest / 10),
        (last, test.rates_N[-1]),
        ("so far", rates.base),
    ):
        sys.stdout.write(f"{label:<40}{value:.2g}\n")
    sys.stdout.write(
        f"{test.trainable_stages} stages of the backbone were open. "
        f"To train with it:\n  strategy.learning_rates.base={suggestion:.2g}\n"
    )
    return picture


def _batch_size(config: DictConfig, numbers: dict[str, float], folder: Path) -> Path:
    from transferlab.analysis.batch_size import search, write_search

    found = search(config, first=int(numbers["--first"]), steps=int(numbers["--steps"]))
    table = write_search(found, folder)
    sys.stdout.write(
        f"No larger one was tried: {found.ended_by}. To train with it:\n"
        f"  data.batch_size={found.suggestion}\n"
        "Another batch size wants another learning rate: transferlab tune learning_rate.\n"
    )
    return table
