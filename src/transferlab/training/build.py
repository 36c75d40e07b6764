"""From a checked config to objects: data, network, strategy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf

from transferlab.backbone.network import Backbone
from transferlab.config.instantiation import find_own_modules, make
from transferlab.data.module import DataModule
from transferlab.data.preprocessing import Preprocessing
from transferlab.feature.settings import FeatureSettings
from transferlab.model.classifier import Classifier, make_bottleneck
from transferlab.model.model import Model
from transferlab.model.trained_head import TrainedHead
from transferlab.model.warm_start import warm_start
from transferlab.run.errors import UserError
from transferlab.run.randomness import derived_seed
from transferlab.strategy.objective.domains import Domains
from transferlab.strategy.strategy import Strategy
from transferlab.training.settings import FitSettings


@dataclass(frozen=True)
class Experiment:
    """What a config builds."""

    data: DataModule
    network: Classifier
    strategy: Strategy
    fit: FitSettings
    features: FeatureSettings
    seed: int
    start: TrainedHead | None = None  # what the head goes on from; None: from fresh weights
    notices: tuple[str, ...] = ()  # what the user should know of that


def build(config: DictConfig, *, load_weights: bool = True) -> Experiment:
    """Read the catalogs, then make the network and the strategy.

    Args:
        config: checked and resolved.
        load_weights: False where a checkpoint follows, so that no weights need to be fetched again.

    Raises:
        UserError: data or weights that can not be used.
    """
    data = make_data(config)
    data.load()
    strategy: Strategy = make(config.strategy)
    if strategy.objective.uses_target and not data.has_target:
        raise UserError(
            f"strategy.objective: {type(strategy.objective).__name__} needs an unlabelled target domain, "
            "and this data has none. Choose data with two domains, e.g. data=digits_domains."
        )
    seed = int(config.seed)
    torch.manual_seed(derived_seed("initialisation", seed))
    backbone = make(config.backbone, load_weights=load_weights and strategy.start_from != "random")
    features: FeatureSettings = make(config.features)
    data.bind(
        Preprocessing(**backbone.preprocessing),
        seed,
        views=features.views,
        trains_on_target=strategy.objective.uses_target,
    )
    fit: FitSettings = make(config.fit)
    if fit.channels_last:
        backbone.use_channels_last()
    if fit.compile:
        backbone.network.compile()
    start = None
    if strategy.start_from == "model" and strategy.solver == "gradient":
        start = TrainedHead.load(config.backbone.weights, config.get("allow") or ())
    network, notices = _network(backbone, strategy, data, seed, start)
    return Experiment(data, network, strategy, fit, features, seed, start, notices)


def build_like(first: Experiment, config: DictConfig) -> Experiment:
    """An experiment on the same data and the same backbone, with a head and a strategy of its own.

    Its config differs from the first one's in the strategy and the seed alone, and its backbone stays frozen.
    """
    strategy: Strategy = make(config.strategy)
    seed = int(config.seed)
    network, notices = _network(first.network.backbone, strategy, first.data, seed, first.start)
    return replace(first, network=network, strategy=strategy, seed=seed, notices=notices)


def _network(
    backbone: Backbone, strategy: Strategy, data: DataModule, seed: int, start: TrainedHead | None
) -> tuple[Classifier, tuple[str, ...]]:
    """The backbone with a head, fresh or from `start`, and what to know of that; prepares the strategy."""
    torch.manual_seed(derived_seed("head", seed))
    units, num_features = strategy.bottleneck_units, strategy.bottleneck_units or backbone.num_features
    bottleneck = None if units is None else make_bottleneck(backbone.num_features, units)
    head = strategy.head.build(num_features, data.num_classes)
    network = Classifier(backbone, head, head_dropout=strategy.head_dropout, bottleneck=bottleneck)
    notices: tuple[str, ...] = ()
    if start is not None:
        notices = warm_start(network, start, data.classes, partial(strategy.head.build, num_features))
    balanced = data.sampling == "balanced"  # then the objective sees every class equally often
    counts_C = np.ones_like(data.class_counts) if balanced else data.class_counts
    strategy.objective.build(num_features, torch.as_tensor(counts_C))
    if strategy.objective.uses_target:
        strategy.objective.domains = Domains(network, bn=strategy.bn)
    strategy.objective.remember(network)
    for penalty in strategy.penalty.values():
        penalty.remember(network)
    return network, notices


def make_data(config: DictConfig) -> DataModule:
    """The data of a config, not read yet."""
    find_own_modules(config.get("allow"))
    return make(config.data)


def model_of(experiment: Experiment, config: DictConfig) -> Model:
    """What an experiment has trained, as a thing of its own."""
    strategy, network = experiment.strategy, experiment.network
    by_target = strategy.bn == "domain_specific" and strategy.objective.uses_target
    head: Any = OmegaConf.to_container(config.strategy.head)
    return Model(
        network,
        classes=tuple(experiment.data.classes),
        preprocessing=Preprocessing(**network.backbone.preprocessing),
        head=head,
        domain="target" if by_target else None,
    )
