"""Epochs selected on the target: without labels while the fit goes on, scored with them afterwards."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from tests.training.test_resume import (
    STEPS_AN_EPOCH,
    assert_same,
    overrides,
    resume,
    train_killed,
)
from transferlab.config.compose import compose_checked
from transferlab.data.splits import arrange
from transferlab.evaluation.predictions import Predictions
from transferlab.evaluation.selection.criteria import CRITERIA
from transferlab.evaluation.selection.scores import mutual_information
from transferlab.run.errors import UserError
from transferlab.run.run_folder import Run
from transferlab.training.build import build, make_data
from transferlab.training.lightning.loaders import Loaders
from transferlab.training.lightning.module import TransferModule
from transferlab.training.lightning.target_epochs import (
    TargetWatch,
    read_epoch,
    selected_by_each,
    watched_splits,
)


def built(*settings: str):
    return build(compose_checked(overrides("dann", "test_resnet", *settings)).config)


def test_a_fit_is_shown_no_label_of_the_target():
    """Of whatever the trainer asks for while it fits, only the source's batches hold labels."""
    batches = built().batches
    assert batches.splits["target_val"].labelled
    assert batches.splits["test"].labelled
    loaders = Loaders(batches, watched=watched_splits(batches.splits, "snd"))
    loaders._position = lambda num_batches: None
    loaders.trainer = type("Trainer", (), {"global_rank": 0, "world_size": 1})()
    source, *target = loaders.val_dataloader()
    assert "label" in next(iter(source))
    assert len(target) == 2
    for loader in target:
        for batch in loader:
            assert set(batch) == {"image", "index"}


@pytest.mark.parametrize(
    "selection",
    [
        "dev",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("entropy", "information_maximisation", "snd", "oracle", "last")
        ),
    ],
)
def test_the_kept_epoch_is_the_best_by_its_criterion(selection, trained):
    run = Run(trained(*overrides("dann", "test_resnet", f"strategy.selection={selection}")))
    record, table = run.result["selection"], pd.read_csv(run.path / "selection.csv")
    assert record["rule"] == selection
    assert table["epoch"].tolist() == [0, 1, 2]
    best = table["epoch"][CRITERIA[selection].best(table[selection].to_list())]
    assert record["epoch"] == record["target"][selection]["epoch"] == best
    assert record["target"]["last"]["epoch"] == 2
    # the model that was kept is the one whose predictions were recorded in that epoch
    assert run.result["test"]["accuracy"] == record["target"][selection]["accuracy"]
    kept = Predictions.read(run.path / "predictions/test.csv").probabilities_NC
    recorded, rows = read_epoch(run.epoch_predictions, best)["test"]
    np.testing.assert_array_equal(rows, np.arange(len(kept)))
    np.testing.assert_allclose(recorded, kept, atol=1e-6)
    if selection in ("entropy", "information_maximisation", "snd"):
        history = run.history[f"selection/{selection}"]  # from doubles; the record holds single precision
        np.testing.assert_allclose(history, table[selection], rtol=1e-4, atol=1e-5)
    oracle = table.loc[table["oracle"].idxmax()]
    figures = record["target"]["oracle"]
    assert figures.pop("epoch") == oracle["epoch"]
    names = ("accuracy", "balanced_accuracy", "macro_f1", "auroc", "loss")
    assert figures == pytest.approx({name: oracle[f"test/{name}"] for name in names}, rel=1e-12)


def test_the_baseline_is_scored_alike_and_keeps_its_own_rule(trained):
    run = Run(trained(*overrides("source_only", "test_resnet", "strategy.selection=val_loss")))
    assert set(run.result["selection"]["target"]) == set(CRITERIA) - {"dev"}
    assert run.result["selection"]["epoch"] == run.history["val/loss"].idxmin()
    probabilities, _ = read_epoch(run.epoch_predictions, 1)["target_val"]
    table = pd.read_csv(run.path / "selection.csv")
    assert table["information_maximisation"][1] == pytest.approx(mutual_information(probabilities))
    labels = pd.read_csv(run.path / "split.csv").query("domain == 'target' and split == 'val'")["label"]
    names = sorted(labels.unique())
    accuracy = np.mean(
        [names[code] == name for code, name in zip(probabilities.argmax(1), labels, strict=True)]
    )
    assert table["oracle"][1] == pytest.approx(accuracy)


@pytest.mark.slow
def test_killed_with_a_selection_of_its_own(trained):
    arguments = overrides("dann", "test_resnet", "strategy.selection=snd")
    alone = trained(*arguments)
    train_killed("killed", arguments, TransferModule, "training_step", STEPS_AN_EPOCH + 4)
    resume("killed")
    assert_same("killed", alone)
    assert Path("killed/selection.csv").read_bytes() == Path(alone, "selection.csv").read_bytes()


@pytest.mark.slow
def test_frozen_layers_are_kept_for_the_target_too(trained):
    """The same epochs and figures from kept features as from images."""
    frozen = overrides("source_only", "test_resnet", "strategy/unfreezing=none", "strategy.selection=snd")
    runs = (trained(*frozen), trained(*frozen, "features.cache=off"))
    kept, images = (pd.read_csv(f"{run}/selection.csv") for run in runs)
    np.testing.assert_allclose(kept, images, rtol=1e-4)


def test_selection_without_labels_works_where_the_target_has_none(tmp_path):
    settings = make_data(compose_checked(overrides("dann", "test_resnet")).config)
    unlabelled = replace(settings.target.load(), classes=()).without_labels()
    splits = arrange(replace(settings, target=SimpleNamespace(load=lambda: unlabelled)))
    assert watched_splits(splits, "entropy") == ["target_train"]
    assert watched_splits(splits, "last") == []
    with pytest.raises(UserError, match="oracle: the target has no labelled validation split"):
        TargetWatch(splits, "oracle", tmp_path)


def test_a_diverged_epoch_is_never_selected():
    table = pd.DataFrame(
        {
            "epoch": [0, 1],
            "entropy": [float("nan"), 2.0],
            "snd": [float("nan")] * 2,
            **{f"test/{name}": [0.1, 0.2] for name in ("accuracy", "balanced_accuracy", "macro_f1", "loss")},
            "test/auroc": [None, None],
        }
    )
    selected = selected_by_each(table)
    assert selected == {
        "entropy": {"epoch": 1, "accuracy": 0.2, "balanced_accuracy": 0.2, "macro_f1": 0.2, "loss": 0.2}
    }


@pytest.fixture(scope="module")
def with_bottleneck(trained) -> Run:
    """A run by DANN on eight features."""
    return Run(trained(*overrides("dann", "test_resnet", "strategy.bottleneck_units=8")))


def test_gradients_are_measured_and_reach_every_part(with_bottleneck):
    for part in ("backbone", "bottleneck", "head", "objective"):
        norms = with_bottleneck.history[f"train/gradient_norm/{part}"]
        assert (norms > 0).all()
        assert np.isfinite(norms).all()


def test_a_norm_is_that_of_all_gradients_of_a_part():
    from transferlab.training.lightning.outputs import gradient_norms

    head, critic, frozen = (torch.nn.Parameter(torch.zeros(2)) for _ in range(3))
    head.grad, critic.grad = torch.tensor([3.0, 4.0]), torch.tensor([0.0, 2.0])
    groups = [
        {"params": [head], "name": "head", "stage": 0},
        {"params": [critic], "name": "objective/no_decay", "stage": -1},
        {"params": [frozen], "name": "layer4", "stage": 1},
    ]
    norms = gradient_norms(torch.optim.SGD(groups, lr=0.1))
    assert {name: norm.item() for name, norm in norms.items()} == {
        "gradient_norm/head": 5.0,
        "gradient_norm/objective": 2.0,
    }


def test_a_bottleneck_is_what_the_critic_sees_and_is_saved(with_bottleneck):
    import json

    from safetensors.torch import load_file

    experiment = built("strategy.bottleneck_units=8")
    network = experiment.network
    features = network.features(torch.zeros(2, 3, 32, 32))
    assert features.shape == (2, 8)
    assert network.classify(features).shape == (2, 10)
    saved = with_bottleneck.path
    assert json.loads((saved / "model.json").read_text())["bottleneck_units"] == 8
    assert load_file(saved / "model.safetensors")["bottleneck.0.weight"].shape[0] == 8
