"""`transferlab evaluate`: the metrics of a trained model, on its own test split or on other images."""

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
from transferlab.run.run_folder import Run

HELP = """\
transferlab evaluate RUN
transferlab evaluate RUN data=folder data.root=DIR
transferlab evaluate RUN data.root=DIR trainer.accelerator=cpu
transferlab evaluate FOLDER data=OPTION

The metrics of a trained model: on the run's own validation and test split again, or on other images. Their
classes are matched by name, and the model must have them. Of data that comes with a test split that split is
taken, else all images. FOLDER, instead of a run, may hold its model.safetensors and model.json alone.

  --out DIR         where result.json and predictions/ go (default: FOLDER/evaluations/<date>_<time>)
  data=OPTION       other data, with data.KEY=VALUE as in a training; data.KEY=VALUE alone changes the run's
  trainer.KEY=VALUE another device or precision than in the training
  allow=[MODULE]    your own modules that the run's config names
"""

_PLACES = ("data=", "data/", "data.root", "data.source", "data.target")


def run(arguments: Sequence[str]) -> int:
    """Evaluate a model."""
    out, given = out_and_rest(arguments, verb="evaluate")
    folders, overrides = folders_and_overrides(given)
    trained = Run(only_folder(folders, verb="evaluate"))
    out = out or dated(trained.path / "evaluations")
    config = evaluated_config(trained, overrides)

    from transferlab.training.model_evaluation import evaluate
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
    own; with `data.root` goes every path below it. Of a folder that holds a model alone, `data` and `trainer`
    as the command line and the defaults say.

    Raises:
        UserError: no model, an override of something else, or a config that does not fit the code.
    """
    if not trained.model_file.is_file():
        raise UserError(
            f"{trained.path}: there is no model.safetensors in it. Fix: give the folder of a run whose "
            "training has finished, or one that holds its model.safetensors and model.json."
        )
    allow, asked = allowed_and_rest(overrides)
    for text in asked:
        if text.lstrip("+").partition("=")[0].partition("/")[0].partition(".")[0] not in ("data", "trainer"):
            raise UserError(f"{text}: only data and trainer can be other ones than in the training.")
    of_data = [text for text in asked if not text.lstrip("+").startswith("trainer")]
    is_chosen = any(text.lstrip("+").startswith("data=") for text in of_data)
    allowing = f"allow=[{','.join(allow)}]"
    if trained.config_file.is_file():
        chosen = compose_checked([*of_data, allowing]).config.data if is_chosen else None
        changes = [text for text in asked if chosen is None or text not in of_data]
        return _config_of_run(trained, changes, chosen, allow)
    if not is_chosen:
        raise UserError(
            f"{trained.path}: a model without the config.yaml of its run does not say which data to evaluate "
            "it on. Fix: add data=OPTION, e.g. data=folder data.root=DIR."
        )
    return OmegaConf.masked_copy(compose_checked([*asked, allowing]).config, ["data", "trainer", "allow"])


def _config_of_run(
    trained: Run, changes: Sequence[str], data: DictConfig | None, allow: Sequence[str]
) -> DictConfig:
    """The config of a run with these changes, and other data where some is given."""
    from transferlab.training.runs import checked_record

    config = OmegaConf.load(trained.config_file)
    assert isinstance(config, DictConfig)
    # what it began with may be gone; now it begins with what it became
    config.backbone.weights, config.strategy.start_from = str(trained.path.resolve()), "model"
    for text in changes:
        _change(config, text)
    if data is None:
        return checked_record(config, trained.config_file, allow)
    two_domains = config.data.get("target") is not None and data.target is None
    # a strategy may have needed a target to train with; to be evaluated it does not
    config.data = OmegaConf.merge(data, {"target": data.source}) if two_domains else data
    config = checked_record(config, trained.config_file, allow)
    config.data = data
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
