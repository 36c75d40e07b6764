"""Evaluate a trained model: on the splits of its own run again, or on other images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.utilities.exceptions import MisconfigurationException
from torch.utils.data import DataLoader

from transferlab.config.instantiation import make
from transferlab.data.catalog.catalog import Catalog
from transferlab.data.evaluation_data import evaluation_loader, other_splits
from transferlab.data.image.preprocessing import Preprocessing
from transferlab.data.splits import arrange
from transferlab.evaluation.metrics import metrics_in_order
from transferlab.evaluation.predictions import Predictions
from transferlab.model.model import Model
from transferlab.report.run_tables import show_metrics
from transferlab.run import environment
from transferlab.run.errors import UserError
from transferlab.run.run_folder import Run
from transferlab.training.build import make_data
from transferlab.training.lightning.outputs import Outputs
from transferlab.training.run_record import evaluation_record, recorded_inputs
from transferlab.training.terminal import quiet_libraries, say

# One device is enough, whatever the training had; and every sample counts
_FLAGS = {"devices": 1, "num_nodes": 1, "strategy": "auto", "limit_test_batches": None, "fast_dev_run": False}


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
        parts, notices = _parts(run, config, model)
        predictions = {part: _predicted(model, config, parts[part], into) for part in parts}
        labelled = {part: table for part, table in predictions.items() if (table.labels_N >= 0).any()}
        notices += [
            f"{part}: no image has a label, so there are predictions alone."
            for part in parts
            if part not in labelled
        ]
        result = {
            "status": "finished",
            "of": str(run.path.resolve()),
            "metrics": run.result.get("metrics") or metrics_in_order(parts["test"].class_counts),
            **evaluation_record(labelled),
            "warnings": notices,
        }
        into.write_config(config)
        into.write_json("environment.json", environment.describe())
        for part, table in predictions.items():
            table.write(into.path / "predictions" / f"{part}.csv")
        into.write_json("result.json", result)
    for text in notices:
        say(f"note: {text}")
    if labelled:
        show_metrics(result)
    return result


def _parts(run: Run, config: DictConfig, model: Model) -> tuple[dict[str, Catalog], list[str]]:
    """The catalogs to evaluate on, and what the user should know."""
    settings = make_data(config)
    if _is_other_data(run, config):
        parts, notices = other_splits(settings, model.classes)
        of_source = ["source_test"] if settings.target is not None else []
    else:
        splits = arrange(settings)
        if splits.classes != model.classes:
            raise UserError(
                f"The data of {run.path} has other classes now: {', '.join(splits.classes)}; the model has "
                f"{', '.join(model.classes)}."
            )
        parts, notices = {name: splits[name].catalog for name in splits.reported}, []
        of_source = [name for name in parts if splits[name].domain == "source"]
        before = recorded_inputs(run).get("data")
        if before is not None and before != splits.fingerprint():
            notices.append("the run's data has changed since it was trained: other images, labels or parts.")
    if model.domain == "target":
        notices += [
            f"{part}: left out; with strategy.bn=domain_specific the model is the target's."
            for part in of_source
        ]
        parts = {part: catalog for part, catalog in parts.items() if part not in of_source}
    return parts, notices


def _is_other_data(run: Run, config: DictConfig) -> bool:
    """Whether the config has other data than the run was trained on; a model alone was trained on none."""
    if not run.config_file.is_file():
        return True
    recorded = OmegaConf.load(run.config_file)
    return any(recorded.data.get(name) != config.data.get(name) for name in ("source", "target"))


def _predicted(model: Model, config: DictConfig, catalog: Catalog, into: Run) -> Predictions:
    """What the model says of every sample, computed as at the end of a training."""
    loader = evaluation_loader(
        catalog, model.preprocessing, batch_size=config.data.batch_size, num_workers=config.data.num_workers
    )
    predictor, flags = _Predictor(model), OmegaConf.merge(config.trainer, _FLAGS)
    assert isinstance(flags, DictConfig)
    try:
        trainer: pl.Trainer = make(
            flags,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            use_distributed_sampler=False,
            default_root_dir=str(into.path),
        )
        trainer.test(predictor, datamodule=_Batches(loader, model.preprocessing), verbose=False)
    except MisconfigurationException as error:
        raise UserError(f"trainer: {error}") from error
    probabilities_NC, _, _ = predictor.outputs.gathered()
    return Predictions(catalog.samples, catalog.codes, probabilities_NC, model.classes)


class _Predictor(pl.LightningModule):
    """Collects a model's predictions."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.network, self.temperature = model.network, model.temperature
        self.outputs = Outputs()

    def test_step(self, batch: Mapping[str, torch.Tensor], batch_idx: int) -> None:
        features_ND = self.network.features(batch["input"])
        logits_NC = self.network.classify(features_ND)
        self.outputs.add(features_ND, logits_NC / self.temperature if self.temperature else logits_NC, batch)


class _Batches(pl.LightningDataModule):
    """The batches of a loader, normalised on the device."""

    def __init__(self, loader: DataLoader[Any], preprocessing: Preprocessing) -> None:
        super().__init__()
        self.loader, self.preprocessing = loader, preprocessing

    def test_dataloader(self) -> DataLoader[Any]:
        return self.loader

    def on_after_batch_transfer(self, batch: dict[str, torch.Tensor], dataloader_idx: int) -> Any:
        image = self.preprocessing.normalised(batch["image"])
        return {**batch, "input": image, "image": image}
