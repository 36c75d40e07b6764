"""`transferlab evaluate`: the figures of a trained model, on its own test part or on other images."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from transferlab.command.arguments import (
    allowed_and_rest,
    dated,
    folders_and_overrides,
    only_folder,
    out_and_rest,
)
from transferlab.config.compose import compose_checked
from transferlab.run.errors import UserError
from transferlab.run.folder import Run

HELP = """\
transferlab evaluate RUN
transferlab evaluate RUN data=folder data.root=DIR
transferlab evaluate RUN data.root=DIR trainer.accelerator=cpu

The figures of a trained model, from model.safetensors and model.json alone: on the run's own validation and
test part again, or on other images. Their classes are matched by name, and the model must know them. Of data
that comes with a test part that part is taken, else all images.

  --out DIR         where result.json and predictions/ go (default: RUN/evaluations/<date>_<time>)
  data=OPTION       other data, with data.KEY=VALUE as in a training; data.KEY=VALUE alone changes the run's
  trainer.KEY=VALUE another device or precision than in the training
  allow=[MODULE]    your own modules that the run's config names
"""

_PLACES = ("data=", "data/", "data.root", "data.source", "data.target")


def run(arguments: Sequence[str]) -> int:
    """Evaluate a run's model."""
    if not arguments or any(argument in ("-h", "--help") for argument in arguments):
        sys.stdout.write(HELP)
        return 0 if arguments else 2
    out, given = out_and_rest(arguments, verb="evaluate")
    folders, overrides = folders_and_overrides(given)
    trained = Run(only_folder(folders, verb="evaluate"))
    out = out or dated(trained.path / "evaluations")
    config = evaluated_config(trained, overrides)

    from transferlab.training.evaluating import evaluate
    from transferlab.training.runs import in_its_folder

    into, path = Run(out.resolve()), trained.path.resolve()
    # paths are as they were typed: now, or when the run was started
    typed_now = any(text.lstrip("+").startswith(_PLACES) for text in overrides)
    with contextlib.nullcontext() if typed_now else in_its_folder(trained):
        evaluate(Run(path), config, into)
    sys.stdout.write(f"{out}\n")
    return 0


def evaluated_config(trained: Run, overrides: Sequence[str]) -> DictConfig:
    """The config of a run with what the command line says of data and device.

    `data=OPTION` takes all of the data's config from there. Without it `data.KEY=VALUE` changes the run's
    own; with `data.root` goes every path below it.

    Raises:
        UserError: an override of something else, or a config that does not fit the code.
    """
    from transferlab.training.runs import checked_record

    if not trained.config_file.is_file():
        raise UserError(f"{trained.path}: this is not a run folder (it has no config.yaml).")
    config = OmegaConf.load(trained.config_file)
    assert isinstance(config, DictConfig)
    config.backbone.weights = str(trained.path.resolve())  # what it began with may be gone
    allow, asked = allowed_and_rest(overrides)
    for text in asked:
        if text.lstrip("+").partition("=")[0].partition("/")[0].partition(".")[0] not in ("data", "trainer"):
            raise UserError(f"{text}: only data and trainer can be other ones than in the training.")
    of_data = [text for text in asked if not text.lstrip("+").startswith("trainer")]
    is_chosen = any("." not in text.partition("=")[0] for text in of_data)  # data=OPTION
    for text in asked:
        if not is_chosen or text not in of_data:
            _change(config, text)
    if not is_chosen:
        return checked_record(config, trained.config_file, allow)
    chosen = compose_checked([*of_data, f"allow=[{','.join(allow)}]"]).config.data
    two_domains = config.data.get("target") is not None and chosen.target is None
    # a strategy may have needed a target to train with; to be evaluated it does not
    config.data = OmegaConf.merge(chosen, {"target": chosen.source}) if two_domains else chosen
    config = checked_record(config, trained.config_file, allow)
    config.data = chosen
    return config


def _change(config: DictConfig, text: str) -> None:
    parsed = OverridesParser.create().parse_override(text)
    key, value = parsed.key_or_group, parsed.value()
    if OmegaConf.select(config, key.rpartition(".")[0]) is None:
        raise UserError(f"{text}: there is no {key.rpartition('.')[0]} in this run's config.")
    before = OmegaConf.select(config, key)
    OmegaConf.update(config, key, value, force_add=True)
    if key == "data.root" and before:
        _move(config.data, str(before), str(value))


def _move(node: DictConfig, before: str, after: str) -> None:
    """Put `after` where paths in a config begin with `before`, as `${data.root}` in the files would."""
    for key, value in node.items():
        if isinstance(value, DictConfig):
            _move(value, before, after)
        elif isinstance(value, str) and (value == before or value.startswith(f"{before}/")):
            node[key] = after + value[len(before) :]
