"""Settings that contradict each other, and settings that cannot have an effect.

Each rule is a function on the plain, resolved config: no class is imported. What a class states of itself is
read from its source (`facts`); bounds of a single value stand in the annotations of its class.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from transferlab.config.classes import fact, opens_nothing
from transferlab.config.overrides import did_you_mean
from transferlab.config.rules.domain_rules import domain_contradictions, idle_with_domains
from transferlab.config.rules.feature_rules import idle_with_plain_images
from transferlab.config.rules.head_rules import (
    idle_with_logistic,
    is_logistic,
    logistic_contradictions,
    probe_contradictions,
)
from transferlab.config.rules.logger_rules import logger_contradictions
from transferlab.config.rules.step_rules import idle_steps, step_contradictions
from transferlab.config.rules.trainer_rules import trainer_contradictions
from transferlab.config.schema import KINDS, MOST_EPOCHS
from transferlab.run.errors import UserError
from transferlab.run.reading import read_json

_WEIGHTS = ("hub", "package", "random", "shipped")
_EPOCHS, _WARMUP = "trainer.max_epochs", "strategy.learning_rates.warmup_epochs"

MOVING = "data.on_bad_image"  # the key by which files of the user's may be moved


def moves_files(config: Any) -> bool:
    """True if a plain config asks for broken files to be moved away."""
    data = config.get("data") if isinstance(config, dict) else None
    return isinstance(data, dict) and data.get("on_bad_image") == "quarantine"


def contradictions(config: dict[str, Any]) -> list[str]:
    """One sentence for each rule that a config breaks; it cannot be run then."""
    rules = (
        _wrong_run,
        _wrong_weights,
        _wrong_model,
        domain_contradictions,
        _missing_folders,
        _wrong_data,
        logistic_contradictions,
        probe_contradictions,
        step_contradictions,
        trainer_contradictions,
        logger_contradictions,
    )
    return [problem for rule in rules for problem in rule(config)]


def warnings_about(config: DictConfig, given: Collection[str] = ()) -> list[str]:
    """One sentence for each setting that has no effect, or an unlikely one.

    `given` are the keys and groups of the command line: some settings are worth a word only there.
    """
    plain: Any = OmegaConf.to_container(config, resolve=True)
    rules = (idle_with_domains, _unlikely, _idle, idle_steps)
    of_command_line = (idle_with_logistic, idle_with_plain_images)
    return [
        *(text for rule in rules for text in rule(plain)),
        *(text for rule in of_command_line for text in rule(plain, given)),
    ]


def _wrong_run(config: dict[str, Any]) -> Iterator[str]:
    if config["kind"] not in KINDS:
        close = did_you_mean(config["kind"], list(KINDS))
        yield f"kind={config['kind']}: must be {' or '.join(KINDS)}.{close}"
    if not config["name"].strip():
        yield "name has no value, and the run folder is called after it. Set it: name=..., or leave it out."
    trainer = config["trainer"]
    bounds = [trainer.get("max_epochs"), trainer.get("max_time")]
    if bounds == [None, None] and trainer.get("max_steps") == -1:
        yield (
            "trainer.max_epochs=null: the training would never end. "
            "Set it, or trainer.max_steps, or trainer.max_time."
        )


def _wrong_weights(config: dict[str, Any]) -> Iterator[str]:
    backbone = config["backbone"]
    name, weights = (backbone.get(key) for key in ("name", "weights"))
    if "network" in backbone:
        if "_target_" not in backbone["network"]:
            yield (
                f"backbone.network={backbone['network']}: no class or function is named. "
                "Fix: 'backbone.network={_target_: my_nets.build}' 'allow=[my_nets]'"
            )
        if weights in ("hub", "package", "shipped"):
            yield f"backbone.weights={weights}: has none of your own network. Fix: backbone.weights=random"
    elif name is None and weights in ("hub", "random"):
        yield (
            "backbone.name has no value, and backbone.weights names no file that would tell it. "
            "Set it: backbone.name=resnet18 (any timm name), or choose a preset: backbone=resnet18."
        )
    if isinstance(weights, str) and weights not in _WEIGHTS and not _exists(weights):
        yield (
            f"backbone.weights={weights}: there is no such file or folder. "
            f"It takes {', '.join(_WEIGHTS)}, a .safetensors file, a run folder or a folder of the hub."
        )
    if config["strategy"].get("start_from") == "random" and weights not in _WEIGHTS:
        yield (
            f"backbone.weights={weights} would not be used: strategy.start_from=random trains from scratch. "
            "Leave one of the two out."
        )


def _wrong_model(config: dict[str, Any]) -> Iterator[str]:
    """Needs of `strategy.start_from=model`: a trained model, with the bottleneck that the strategy has."""
    weights, units = str(config["backbone"].get("weights")), config["strategy"].get("bottleneck_units")
    if config["strategy"].get("start_from") != "model":
        return
    if weights not in _WEIGHTS and not _exists(weights):
        return  # reported as such
    folder = Path(weights).expanduser()
    file = folder / "model.json"
    if weights in _WEIGHTS or (folder.exists() and not file.is_file()):
        yield (
            f"backbone.weights={weights}: strategy.start_from=model goes on with backbone and head of a "
            "trained model. Fix: backbone.weights=FOLDER, a finished run or a folder with its "
            "model.safetensors and model.json."
        )
        return
    # what is wrong with the file, its reader says
    with contextlib.suppress(UserError, LookupError):
        trained = read_json(file)["bottleneck_units"]
        if trained != units:
            yield (
                f"strategy.bottleneck_units={'null' if units is None else units}: the model in {weights} has "
                f"{'no bottleneck' if trained is None else f'one of {trained} units'}. Fix: "
                f"strategy.bottleneck_units={'null' if trained is None else trained}; or "
                "strategy.start_from=weights, which takes its backbone alone."
            )


def _missing_folders(config: dict[str, Any]) -> Iterator[str]:
    data = config["data"]
    places = {"data.root": data.get("root")}
    for domain in ("source", "target"):
        if isinstance(data.get(domain), dict):
            places[f"data.{domain}.root"] = data[domain].get("root")
    seen = set()
    for key, value in places.items():
        if isinstance(value, str) and value not in seen and not _exists(value):
            seen.add(value)
            yield f"{key}={value}: there is no such folder."


def _wrong_data(config: dict[str, Any]) -> Iterator[str]:
    val, test, fold, folds = (
        _number(config, f"data.{key}") for key in ("val_fraction", "test_fraction", "fold", "num_folds")
    )
    if val is not None and test is not None and val + test >= 1:
        yield (
            f"data.val_fraction={val} and data.test_fraction={test} leave nothing to train on. "
            "Together they must stay below 1."
        )
    if fold is not None and folds is not None and fold >= folds:
        yield f"data.fold={fold}: must be one of 0 to {folds - 1} (data.num_folds={folds})."
    data = config["data"]
    fraction, shots = data.get("fraction"), data.get("shots_per_class")
    if fraction is not None and shots is not None:
        yield (
            f"data.fraction={fraction} and data.shots_per_class={shots} both limit the training images. "
            "Set one of them to null."
        )
    if data.get("on_bad_image", "error") != "error" and data.get("check_images") is False:
        yield (
            f"data.on_bad_image={data['on_bad_image']}: needs data.check_images=true, as broken images must "
            "be known before the data is split."
        )
    for domain in ("source", "target"):
        lowest, highest = (_number(config, f"data.{domain}.{end}_contrast") for end in ("min", "max"))
        if lowest is not None and highest is not None and lowest > highest:
            yield (
                f"data.{domain}.min_contrast={lowest}: must be at most data.{domain}.max_contrast={highest}."
            )


def _unlikely(config: dict[str, Any]) -> Iterator[str]:
    strategy = config["strategy"]
    if fact(strategy.get("unfreezing"), "searches_depth") and strategy.get("selection") == "last":
        yield (
            "strategy.selection=last: the depth that validates best is found but not used. Fix: "
            "strategy.selection=val_loss"
        )
    is_random = config["backbone"].get("weights") == "random" and "network" not in config["backbone"]
    if strategy.get("start_from") == "weights" and is_random:
        yield (
            "backbone.weights=random: nothing is transferred, though the strategy expects pretrained "
            "weights. Is strategy=from_scratch meant?"
        )


def _idle(config: dict[str, Any]) -> Iterator[str]:
    strategy, epochs = config["strategy"], _number(config, _EPOCHS) or 0
    limit = f"{_EPOCHS}={epochs}"
    if config["trainer"].get("max_epochs") == "auto":
        epochs, limit = MOST_EPOCHS, f"{_EPOCHS}=auto (at most {MOST_EPOCHS})"
    patience, warmup = _number(config, "fit.early_stopping_patience"), _number(config, _WARMUP)
    if patience is not None and 0 < epochs <= patience:
        yield (f"fit.early_stopping_patience={patience} has no effect: training ends after {limit} anyway.")
    elif patience and strategy.get("selection") == "last" and not is_logistic(config):
        yield (
            f"strategy.selection=last: the weights where fit.early_stopping_patience={patience} ends the "
            "training are those of so many epochs after the best. Fix: strategy.selection=val_loss"
        )
    if opens_nothing(strategy.get("unfreezing")):
        for decay in ("strategy.learning_rates.stage_decay", "strategy.learning_rates.layer_decay"):
            if _number(config, decay) not in (None, 1):
                yield f"{decay} has no effect: no stage of the backbone is trained."
        if "l2_sp" in (strategy.get("penalty") or {}):
            yield "strategy.penalty.l2_sp.strength has no effect: no stage of the backbone is trained."
    every = _number(config, "strategy.unfreezing.every_epochs")
    if every is not None and 0 < epochs <= every:
        yield (f"strategy.unfreezing.every_epochs={every} has no effect: no stage opens within {limit}.")
    if warmup is not None and 0 < epochs < warmup:
        yield (f"{_WARMUP}={warmup}: the full learning rate is never reached within {limit}.")


def _exists(path: str) -> bool:
    try:
        return Path(path).expanduser().exists()
    except (OSError, ValueError, RuntimeError):  # too long, a zero byte, no such user's home
        return False


def _number(config: dict[str, Any], path: str) -> Any:
    """The number at a path; None where there is none."""
    node: Any = config
    for key in path.split("."):
        node = node.get(key) if isinstance(node, dict) else None
    return node if isinstance(node, int | float) else None
