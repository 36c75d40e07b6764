"""Trained networks to average: read from the folders of their runs, and refused where they do not fit."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch

from transferlab.backbone.weights import read_model
from transferlab.evaluation.predictions import Predictions
from transferlab.model.model import Model
from transferlab.model.trained_head import checked
from transferlab.run.errors import UserError
from transferlab.run.reading import unreadable
from transferlab.run.run_folder import Run
from transferlab.training.build import build, model_of
from transferlab.training.heads.probe_start import start_by_probe, starts_by_probe
from transferlab.training.recorded_config import recorded_config, require_config
from transferlab.training.recorder import Recorder
from transferlab.training.run_record import recorded_inputs, weights_hash
from transferlab.training.runs import in_its_folder

# of a model.json: what networks have in common that can be averaged; heads are compared as modules
_ALIKE = (
    *("architecture", "model_kwargs", "network", "num_features", "bottleneck_units", "label_kind", "classes"),
    *("temperature", "input_size", "mean", "std", "interpolation", "crop_pct", "crop_mode"),
)


@dataclass(frozen=True)
class Ingredient:
    """The trained network of a finished run; `allow` names the user's own modules that it may come from."""

    run: Run
    allow: Sequence[str] = ()

    @cached_property
    def about(self) -> dict[str, object]:
        """The content of its model.json, complete."""
        return dict(checked(read_model(self.run.path)))

    def model(self) -> Model:
        """Its network, with weights that are finite numbers."""
        model = Model.load(self.run.path, self.allow)
        for name, tensor in model.network.state_dict().items():
            if tensor.is_floating_point() and not torch.isfinite(tensor).all():
                raise unreadable(self.run.model_file, f"{name} holds values that are not finite")
        return model

    def validation(self, samples: Sequence[str], classes: Sequence[str]) -> Predictions:
        """Its recorded predictions for the validation split, which has these samples and classes."""
        file = self.run.path / "predictions" / "val.csv"
        table = Predictions.read(file)
        if list(table.samples) != list(samples) or table.classes != tuple(classes):
            raise unreadable(file, "its rows or classes are not those of the validation split")
        return table


def ingredients(runs: Sequence[Run], allow: Sequence[str] = ()) -> list[Ingredient]:
    """The networks of these runs, as far as their records show that they can be averaged.

    Raises:
        UserError: a run that has not finished, or whose architecture, classes or data are others.
    """
    found = [Ingredient(run, allow) for run in runs]
    for each in found:
        run = each.run
        require_config(run)
        if run.status != "finished":
            raise UserError(
                f"{run.path} has not finished ({run.status}). Fix: transferlab resume {run.path}, or "
                "leave it out."
            )
        if each.about.get("domain") == "target":
            raise UserError(
                f"{run.path}: with strategy.bn=domain_specific the model has the target's statistics alone, "
                "so it cannot be validated on the source. Fix: leave it out."
            )
        _require_alike(each, found[0])
    return found


def _require_alike(one: Ingredient, other: Ingredient) -> None:
    """Refuse networks of two kinds, and runs on two data sets; raises `UserError`."""
    for key in _ALIKE:
        mine, others = one.about.get(key), other.about.get(key)
        if mine != others:
            raise UserError(
                f"{one.run.path}: `{key}` of its model is {_short(mine)}, and that of {other.run.path} is "
                f"{_short(others)}. Only networks of one architecture, on the same classes and images, can "
                "be averaged. Fix: leave one of them out."
            )
    data = [recorded_inputs(each.run).get("data") for each in (one, other)]
    for each, named in zip((one, other), data, strict=True):
        if named is None:
            raise UserError(
                f"{each.run.path}: its inputs.json does not say which data it was trained on. Fix: give the "
                "whole folder of the run."
            )
    if data[0] != data[1]:
        raise UserError(
            f"{one.run.path}: it was trained on other data, or other splits of it, than {other.run.path}: "
            "test images of the one may be training images of the other. Fix: leave one of them out, or "
            "train with one data.split_seed and one data.shots_seed."
        )


def require_same_layers(one: Model, run: Run, other: Model, others: Run) -> None:
    """Refuse networks whose modules or tensors differ, such as those of two kinds of head.

    Raises:
        UserError: with the first that differs.
    """
    layers, expected = (
        {name: type(module).__name__ for name, module in each.network.named_modules()}
        | {name: str(list(tensor.shape)) for name, tensor in each.network.state_dict().items()}
        for each in (one, other)
    )
    for name in dict.fromkeys([*layers, *expected]):
        if layers.get(name) != expected.get(name):
            raise UserError(
                f"{run.path}: {name} of its network is {layers.get(name, 'missing')}, and that of "
                f"{others.path} is {expected.get(name, 'missing')}. Only networks of the same layers can be "
                "averaged. Fix: leave one of them out."
            )


def start_of(run: Run, allow: Sequence[str], moved: Sequence[str]) -> Model:
    """The network that a run began with: its pretrained weights, and the head as it was then.

    Raises:
        UserError: it began from random weights, or its weights cannot be had any more.
    """
    fix = f"bring them back, or name a run as the start: transferlab average --line START {run.path}"
    before = recorded_inputs(run).get("backbone.weights")
    with in_its_folder(run):
        try:
            config = recorded_config(run, allow, moved)
            if config.strategy.start_from == "random" or config.backbone.weights == "random":
                raise UserError(
                    f"{run.path}: it began from random weights, and a line from there leads through "
                    f"networks that have learned nothing. Fix: name another run as the start: transferlab "
                    f"average --line START {run.path}"
                )
            if before is None or before != weights_hash(config.backbone):
                raise UserError(
                    f"{run.path}: backbone.weights={config.backbone.weights} is not what it began with. "
                    f"Fix: {fix}"
                )
            experiment = build(config)
            if starts_by_probe(experiment):
                start_by_probe(experiment, Recorder())
            return model_of(experiment)
        except (OSError, UserError) as error:
            if "Fix: " in str(error):
                raise
            raise UserError(
                f"{run.path}: the weights that it began with cannot be had. {error} Fix: {fix}"
            ) from error


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
