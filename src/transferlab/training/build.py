"""From a checked config to objects: data, network, strategy."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig

from transferlab.backbone.classifier import Classifier, make_bottleneck
from transferlab.backbone.network import Backbone
from transferlab.data.batches import Batches
from transferlab.data.preprocessing import Preprocessing
from transferlab.data.settings import DataSettings
from transferlab.data.splits import arrange
from transferlab.evaluation.predictions import Predictions
from transferlab.feature.settings import FeatureSettings
from transferlab.run.errors import UserError
from transferlab.run.randomness import derived_seed
from transferlab.strategy.parts import Facts
from transferlab.strategy.strategy import Strategy
from transferlab.training.settings import FitSettings


@dataclass(frozen=True)
class Experiment:
    """What a config builds."""

    config: DictConfig
    batches: Batches
    network: Classifier
    strategy: Strategy
    fit: FitSettings
    features: FeatureSettings
    seed: int


@dataclass(frozen=True)
class Fitted:
    """What a fit leaves; the experiment's network then holds the selected weights.

    Attributes:
        history: an entry for each epoch.
        predictions: by split.
        seconds: wall time from the first image read to the fitted model.
        selected: what else was selected, and how, for the record.
        memory: what the strategy's parts have concluded, by name.
    """

    history: list[dict[str, float]]
    predictions: dict[str, Predictions]
    seconds: float
    selected: dict[str, Any] = field(default_factory=dict)
    memory: dict[str, torch.Tensor] = field(default_factory=dict)


def build(config: DictConfig, *, load_weights: bool = True) -> Experiment:
    """Read the catalogs, then make the network and the strategy.

    Args:
        config: checked and resolved.
        load_weights: False where a checkpoint follows, so that no weights need to be fetched again.

    Raises:
        UserError: data or weights that cannot be used.
    """
    settings = make_data(config)
    splits = arrange(settings)
    strategy: Strategy = make(config.strategy)
    if strategy.objective.uses_target and not splits.has_target:
        raise UserError(
            f"strategy.objective: {type(strategy.objective).__name__} needs an unlabelled target domain, "
            "and this data has none. Choose data with two domains, e.g. data=digits_domains."
        )
    seed = int(config.seed)
    torch.manual_seed(derived_seed("initialisation", seed))
    backbone = make(config.backbone, load_weights=load_weights and strategy.start_from == "weights")
    features: FeatureSettings = make(config.features)
    batches = Batches(
        splits,
        settings,
        Preprocessing(**backbone.preprocessing),
        seed=seed,
        views=features.views,
        uses_target=strategy.objective.uses_target,
    )
    fit: FitSettings = make(config.fit)
    if fit.channels_last:
        backbone.network.to(memory_format=torch.channels_last)
    if fit.compile:
        backbone.network.compile()
    network = _network(backbone, strategy, batches, seed)
    return Experiment(config, batches, network, strategy, fit, features, seed)


def build_like(first: Experiment, config: DictConfig) -> Experiment:
    """An experiment on the same data and the same backbone, with a head and a strategy of its own.

    Its config differs from the first one's in the strategy and the seed alone, and its backbone stays frozen.
    """
    strategy: Strategy = make(config.strategy)
    seed = int(config.seed)
    network = _network(first.network.backbone, strategy, first.batches, seed)
    return replace(first, config=config, network=network, strategy=strategy, seed=seed)


def _network(backbone: Backbone, strategy: Strategy, batches: Batches, seed: int) -> Classifier:
    """The backbone with a fresh head; the strategy's parts learn of both."""
    torch.manual_seed(derived_seed("head", seed))
    units, num_features = strategy.bottleneck_units, strategy.bottleneck_units or backbone.num_features
    bottleneck = None if units is None else make_bottleneck(backbone.num_features, units)
    splits = batches.splits
    head = strategy.head.build(num_features, splits.num_classes)
    network = Classifier(backbone, head, head_dropout=strategy.head_dropout, bottleneck=bottleneck)
    balanced = batches.settings.sampling == "balanced"  # then the objective sees every class equally often
    counts_C = np.ones_like(splits.class_counts) if balanced else splits.class_counts
    strategy.begin(network, Facts(num_features, torch.as_tensor(counts_C), strategy.bn))
    return network


def make_data(config: DictConfig) -> DataSettings:
    """The data section of a config; nothing is read yet."""
    here = str(Path.cwd())
    if config.get("allow") and here not in sys.path:
        sys.path.insert(0, here)  # where a user's own modules stand
    return make(config.data)


def make(config: DictConfig, **further: Any) -> Any:
    """Instantiate a config node; a user's mistake comes out as what it is, not wrapped by Hydra."""
    try:
        return instantiate(config, _convert_="all", **further)
    except InstantiationException as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, UserError):
            deepest, cause = cause, cause.__cause__
        if cause is not None:
            raise cause from None
        target = str(config.get("_target_", ""))
        if not target.startswith("transferlab."):  # a library's class, or one of the user's own
            raise UserError(f"{target}: {type(deepest).__name__}: {deepest}") from error
        raise
