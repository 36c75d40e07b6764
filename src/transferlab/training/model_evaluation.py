"""Evaluate a trained model: on the splits of its own run again, or on other images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from transferlab.config.instantiation import make
from transferlab.data.catalog.catalog import Catalog
from transferlab.data.catalog.names import class_name
from transferlab.data.evaluation_data import evaluation_loader, other_splits
from transferlab.data.splits import arrange
from transferlab.evaluation.metrics import metrics_in_order
from transferlab.evaluation.predictions import Predictions
from transferlab.model.model import Model
from transferlab.report.run_tables import show_metrics
from transferlab.run import environment
from transferlab.run.errors import UserError
from transferlab.run.reading import read_config
from transferlab.run.run_folder import Run
from transferlab.training.build import make_data
from transferlab.training.lightning.outputs import Outputs
from transferlab.training.run_record import evaluation_record, recorded_inputs
from transferlab.training.terminal import quiet_libraries, say

# One device is enough, whatever the training had
# nothing is trained, so `auto` epochs are no matter
_FLAGS = {"devices": 1, "num_nodes": 1, "strategy": "auto", "max_epochs": 1, "enable_progress_bar": False}


def evaluate(run: Run, config: DictConfig, into: Run) -> dict[str, Any]:
    """Evaluate a model, write the results into a folder, and show them.

    Args:
        run: a finished run, or a folder that holds its model alone.
        config: `data` and `trainer`, checked; where the data is not the run's own, the model is evaluated on
            all of it.
        into: a new folder: config.yaml, environment.json, result.json and predictions/.

    Returns:
        What its result.json says: the metrics as in the run's, `warnings`, and `of`, the run.

    Raises:
        UserError: no model, data that cannot be used, or classes that the model does not have.
    """
    quiet_libraries()
    into.create()
    with into.locked():
        model = Model.load(run.path, config.get("allow") or ())
        splits, notes = _splits(run, config, model)
        predictions = {name: predicted(model, config, catalog, into) for name, catalog in splits.items()}
        labelled = {name: table for name, table in predictions.items() if (table.labels_N >= 0).any()}
        notes += [
            f"{name}: no image has a label, so there are predictions alone."
            for name in splits
            if name not in labelled
        ]
        result = {
            "status": "finished",
            "of": str(run.path.resolve()),
            "metrics": run.result.get("metrics") or metrics_in_order(splits["test"].class_counts),
            **evaluation_record(
                labelled, {name: catalog.table["group"].tolist() for name, catalog in splits.items()}
            ),
            "warnings": notes,
        }
        into.write_config(config)
        into.write_json("environment.json", environment.describe())
        for name, table in predictions.items():
            table.write(into.path / "predictions" / f"{name}.csv")
        into.write_json("result.json", result)
    for text in notes:
        say(f"note: {text}")
    if labelled:
        show_metrics(result)
    return result


def _splits(run: Run, config: DictConfig, model: Model) -> tuple[dict[str, Catalog], list[str]]:
    """The catalogs of the splits to evaluate on, and notes for the user."""
    settings = make_data(config)
    if _is_other_data(run, config):
        catalogs, notes = other_splits(settings, model.classes)
        of_source = ["source_test"] if settings.target is not None else []
    else:
        splits = arrange(settings)
        if splits.classes != tuple(map(class_name, model.classes)):
            raise UserError(
                f"The data of {run.path} has other classes now: {', '.join(splits.classes)}; the model has "
                f"{', '.join(model.classes)}."
            )
        catalogs, notes = {name: splits[name].catalog for name in splits.reported}, []
        of_source = [name for name in catalogs if splits[name].domain == "source"]
        before = recorded_inputs(run).get("data")
        if before is not None and before != splits.fingerprint():
            notes.append("the run's data has changed since it was trained: other images, labels or splits.")
    if model.domain == "target":
        notes += [
            f"{name}: left out; with strategy.bn=domain_specific the model is the target's."
            for name in of_source
        ]
        catalogs = {name: catalog for name, catalog in catalogs.items() if name not in of_source}
    return catalogs, notes


def _is_other_data(run: Run, config: DictConfig) -> bool:
    """True if the config has other data than the run was trained on; a model alone was trained on none."""
    if not run.config_file.is_file():
        return True
    recorded = read_config(run.config_file).get("data")
    return any(recorded.get(name) != config.data.get(name) for name in ("source", "target"))


def predicted(model: Model, config: DictConfig, catalog: Catalog, into: Run) -> Predictions:
    """The model's predictions for every sample, computed as at the end of a training.

    Args:
        model: on the CPU; it may be on another device afterwards.
        config: `data` and `trainer`.
        catalog: the samples.
        into: where Lightning may write.
    """
    loader = evaluation_loader(
        catalog, model.preprocessing, batch_size=config.data.batch_size, num_workers=config.data.num_workers
    )
    predictor, flags = _Predictor(model), OmegaConf.merge(config.trainer, _FLAGS)
    assert isinstance(flags, DictConfig)
    try:
        trainer: pl.Trainer = make(
            flags,
            default_root_dir=str(into.path),
        )
        trainer.test(predictor, loader, verbose=False)
    except MisconfigurationException as error:
        raise UserError(f"trainer: {error}") from error
    probabilities_NC, _, _ = predictor.outputs.gathered()
    return Predictions(catalog.samples, catalog.codes, probabilities_NC, model.classes)


class _Predictor(pl.LightningModule):
    """Collects a model's predictions; batches are normalised on the device."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.network, self.temperature = model.network, model.temperature
        self.preprocessing = model.preprocessing
        self.outputs = Outputs()

    def on_after_batch_transfer(self, batch: dict[str, torch.Tensor], dataloader_idx: int) -> Any:
        prepared = {**batch, "input": self.preprocessing.normalised(batch["image"])}
        return self.trainer.precision_plugin.convert_input(prepared)

    def test_step(self, batch: Mapping[str, torch.Tensor], batch_idx: int) -> None:
        features_ND = self.network.features(batch["input"])
        logits_NC = self.network.classify(features_ND)
        self.outputs.add(features_ND, logits_NC / self.temperature if self.temperature else logits_NC, batch)
