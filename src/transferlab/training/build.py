"""From a checked config to objects: data, network, strategy."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf

from transferlab.backbone.network import Backbone
from transferlab.backbone.timm_network import require_weights
from transferlab.config.classes import sees_plain_images
from transferlab.config.instantiation import find_own_modules, make
from transferlab.data.augmentation.pipeline import Augmentation
from transferlab.data.batches import Batches
from transferlab.data.data_settings import DataSettings
from transferlab.data.image.preprocessing import Preprocessing
from transferlab.data.splits import arrange
from transferlab.evaluation.predictions import Predictions
from transferlab.feature.feature_settings import FeatureSettings
from transferlab.model.classifier import Classifier, make_bottleneck
from transferlab.model.model import Model
from transferlab.model.trained_head import TrainedHead
from transferlab.model.warm_start import warm_start
from transferlab.run.randomness import derived_seed
from transferlab.strategy.parts import Facts
from transferlab.strategy.strategy import Strategy
from transferlab.training.fit_settings import USUAL_STEPS, FitSettings, usual_epochs


@dataclass(frozen=True)
class Experiment:
    """Everything that a config builds."""

    config: DictConfig
    batches: Batches
    network: Classifier
    strategy: Strategy
    fit: FitSettings
    features: FeatureSettings
    seed: int
    start: TrainedHead | None = None  # what the head goes on from; None: from fresh weights
    notes: tuple[str, ...] = ()  # what the user should know of that


@dataclass(frozen=True)
class Fitted:
    """Outcome of a fit; the experiment's network then holds the selected weights."""

    history: list[dict[str, float]]  # an entry for each epoch
    predictions: dict[str, Predictions]  # by split
    seconds: float  # wall time from the first image read to the fitted model
    selected: dict[str, Any] = field(default_factory=dict)  # what else was selected, and how, for the record
    # what the strategy's parts have concluded, by name
    memory: dict[str, torch.Tensor] = field(default_factory=dict)


def build(config: DictConfig, *, load_weights: bool = True, needs_labels: bool = True) -> Experiment:
    """Read the catalogs, then make the network and the strategy.

    Args:
        config: checked and resolved.
        needs_labels: False where domains are only compared, and may have no classes.
        load_weights: False where a checkpoint follows, so that no weights need to be fetched again.

    Raises:
        UserError: data or weights that cannot be used.
    """
    settings = make_data(config)
    if sees_plain_images(config):
        settings = replace(settings, augmentation=Augmentation())
    strategy: Strategy = make(config.strategy)
    loads = load_weights and strategy.start_from != "random"
    if loads and "network" not in config.backbone:
        require_weights(config.backbone.name, config.backbone.weights)  # before minutes of decoding
    splits = arrange(settings, needs_labels=needs_labels)
    seed = int(config.seed)
    torch.manual_seed(derived_seed("initialisation", seed))
    backbone: Backbone = make(
        config.backbone,
        load_weights=loads,
        recursive=False,  # an own network is made by its backbone
    )
    features: FeatureSettings = make(config.features)
    batches = Batches(
        splits,
        settings,
        Preprocessing(**backbone.preprocessing),
        seed=seed,
        views=features.views if isinstance(features.views, int) else None,
        uses_target=strategy.objective.uses_target,
    )
    fit: FitSettings = make(config.fit)
    if fit.channels_last is True or (fit.channels_last == "auto" and backbone.has_depthwise):
        backbone.use_channels_last()
    if fit.compile:
        backbone.network.compile()
    start = None
    if strategy.start_from == "model" and strategy.solver == "gradient":
        start = TrainedHead.load(config.backbone.weights, config.get("allow") or ())
    network, notes = _network(backbone, strategy, batches, seed, start)
    config, few = _with_epochs(config, batches, seed)
    notes += few if strategy.solver == "gradient" else ()
    return Experiment(config, batches, network, strategy, fit, features, seed, start, notes)


def build_like(first: Experiment, config: DictConfig) -> Experiment:
    """An experiment on the same data and the same backbone, with a head and a strategy of its own.

    Its config differs from the first one's in the strategy and the seed alone, and its backbone stays frozen.
    """
    strategy: Strategy = make(config.strategy)
    seed = int(config.seed)
    network, notes = _network(first.network.backbone, strategy, first.batches, seed, first.start)
    config, _ = _with_epochs(config, first.batches, seed)
    return replace(first, config=config, network=network, strategy=strategy, seed=seed, notes=notes)


def _with_epochs(config: DictConfig, batches: Batches, seed: int) -> tuple[DictConfig, tuple[str, ...]]:
    """The config with a number for `trainer.max_epochs=auto`, and a note where that is too few steps."""
    if config.trainer.get("max_epochs") != "auto":
        return config, ()
    if config.trainer.get("max_steps", -1) != -1:  # which ends it
        return cast("DictConfig", OmegaConf.merge(config, {"trainer": {"max_epochs": -1}})), ()
    steps = max(1, math.ceil(len(batches.order(seed)) / config.trainer.accumulate_grad_batches))
    epochs = usual_epochs(steps)
    notes: tuple[str, ...] = ()
    if steps * epochs < USUAL_STEPS:
        num_images = len(batches.splits["train"])
        notes = (
            f"{num_images} training images: {epochs} epochs, the most of trainer.max_epochs=auto, are "
            f"{steps * epochs} steps. Fix: a smaller data.batch_size, or strategy=feature_extraction, which "
            "fits few images best.",
        )
    return cast("DictConfig", OmegaConf.merge(config, {"trainer": {"max_epochs": epochs}})), notes


def _network(
    backbone: Backbone, strategy: Strategy, batches: Batches, seed: int, start: TrainedHead | None
) -> tuple[Classifier, tuple[str, ...]]:
    """The backbone with a head, fresh or from `start`, and what to know of that; prepares the strategy."""
    torch.manual_seed(derived_seed("head", seed))
    units, num_features = strategy.bottleneck_units, strategy.bottleneck_units or backbone.num_features
    bottleneck = None if units is None else make_bottleneck(backbone.num_features, units)
    splits = batches.splits
    head = strategy.head.build(num_features, splits.num_classes)
    network = Classifier(backbone, head, head_dropout=strategy.head_dropout, bottleneck=bottleneck)
    notes = backbone.notes
    if start is not None:
        notes += warm_start(network, start, splits.classes, partial(strategy.head.build, num_features))
    balanced = batches.settings.sampling == "balanced"  # then the objective sees every class equally often
    counts_C = np.ones_like(splits.class_counts) if balanced else splits.class_counts
    strategy.begin(network, Facts(num_features, torch.as_tensor(counts_C), strategy.bn))
    return network, notes


def make_data(config: DictConfig) -> DataSettings:
    """The data section of a config; nothing is read yet."""
    find_own_modules(config.get("allow"))
    return make(config.data)


def device_of(trainer: DictConfig) -> torch.device:
    """The device of what runs without Lightning, by the flags of its Trainer."""
    wants_gpu = trainer.accelerator in ("auto", "gpu", "cuda")
    return torch.device("cuda" if wants_gpu and torch.cuda.is_available() else "cpu")


def model_of(experiment: Experiment) -> Model:
    """The trained model of an experiment, as a thing of its own."""
    strategy, network = experiment.strategy, experiment.network
    by_target = strategy.bn == "domain_specific" and strategy.objective.uses_target
    head: Any = OmegaConf.to_container(experiment.config.strategy.head)
    return Model(
        network,
        classes=experiment.batches.splits.classes,
        preprocessing=Preprocessing(**network.backbone.preprocessing),
        head=head,
        domain="target" if by_target else None,
    )
