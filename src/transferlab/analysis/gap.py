"""Gap between the two domains of a config in a backbone's features; for a run, before and after it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from omegaconf import DictConfig

from transferlab.backbone.network import Backbone
from transferlab.data.splits import UNLABELLED
from transferlab.evaluation.gap.domain_gap import DomainGap, domain_gap
from transferlab.feature.extractor import Extractor
from transferlab.model.model import Model
from transferlab.report.gap_plot import Panel, draw_gap
from transferlab.run.errors import UserError
from transferlab.run.run_folder import Run
from transferlab.training.build import Experiment, build
from transferlab.training.terminal import say, tracked

_FEWEST = 4  # samples of a domain that can be compared


@dataclass(frozen=True)
class Measured:
    """The gap between two domains as one network sees them."""

    title: str
    gap: DomainGap
    panel: Panel


@dataclass(frozen=True)
class MeasuredGap:
    """The gap by one network, or before and after its training."""

    measured: tuple[Measured, ...]  # the measures, each with what to draw
    classes: tuple[str, ...]  # names of the classes
    seed: int  # of the picture


def measure_gap(config: DictConfig, *, run: Run | None = None) -> MeasuredGap:
    """The gap between source and target training images by the features of the config's backbone.

    Folders without classes are compared as they are.

    Args:
        config: checked and resolved, with two domains.
        run: a finished run of this config: also by its backbone, after the training.

    Raises:
        UserError: no second domain, or too few images.
    """
    experiment = build(config, needs_labels=run is not None)
    splits, backbone = experiment.batches.splits, experiment.network.backbone
    if not splits.has_target:
        raise UserError(
            "transferlab gap compares two domains, and this data has one. Choose data with two, e.g. "
            "data=domains data.source.root=DIR data.target.root=DIR."
        )
    for split in splits.trained_on:
        if len(split) < _FEWEST:
            raise UserError(
                f"transferlab gap needs {_FEWEST} images of each domain at least, and "
                f"{split.name.replace('_', ' ')} has {len(split)}."
            )
    before = "before the training" if run is not None else "source and target"
    measured = [_Sees(experiment, backbone).gap(f"{before}: {backbone.name}, {backbone.weights}")]
    if run is not None:
        trained = Model.load(run.path, config.get("allow") or ())
        measured.append(_Sees(experiment, trained.network.backbone).gap("after it"))
    return MeasuredGap(tuple(measured), splits.classes, experiment.seed)


class _Sees:
    """Gap between the two domains of an experiment in one backbone."""

    def __init__(self, experiment: Experiment, backbone: Backbone) -> None:
        self._seed, self._splits = experiment.seed, experiment.batches.splits
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._extractor = Extractor(
            backbone=backbone.to(device),
            batches=experiment.batches,
            settings=experiment.features,
            trainer_precision="32-true",
            device=device,
            note=say,
            track=tracked,
        )

    def gap(self, title: str) -> Measured:
        source_ND, target_MD = (
            self._extractor.features(split.name).all().numpy() for split in self._splits.trained_on
        )
        gap = domain_gap(source_ND, target_MD, seed=self._seed)
        named = self._splits.classes != (UNLABELLED,)
        labels_N = self._splits["train"].catalog.codes if named else None
        return Measured(title, gap, Panel(title, source_ND, target_MD, source_labels_N=labels_N, gap=gap))


def write_gap(gap: MeasuredGap, folder: Path) -> Path:
    """Write gap.json and gap.png into a folder; return the picture's path."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {entry.title: asdict(entry.gap) for entry in gap.measured}
    (folder / "gap.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    picture = folder / "gap.png"
    draw_gap(picture, [entry.panel for entry in gap.measured], classes=gap.classes, seed=gap.seed)
    return picture
