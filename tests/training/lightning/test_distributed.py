"""Two processes for one run: same gradients on both, every sample counted once, files written once."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import pytorch_lightning as pl
import torch

from tests.training.processes import command, in_child
from tests.training.ranks import on_ranks, train_on_ranks
from tests.training.test_resume import TINY
from transferlab.backbone.freezing import freeze_all_but_last
from transferlab.config.compose import compose_checked
from transferlab.data.batches import Batches
from transferlab.run.errors import UserError
from transferlab.run.run_folder import Run
from transferlab.training import runs
from transferlab.training.build import build
from transferlab.training.lightning import module
from transferlab.training.lightning.checkpoint_content import load_checkpoint
from transferlab.training.lightning.lightning_fit import _predict
from transferlab.training.lightning.loaders import Loaders
from transferlab.training.lightning.module import TransferModule
from transferlab.training.recorded_config import recorded_config
from transferlab.training.terminal import quiet_libraries

PROGRESSIVE = [
    *(*TINY, "backbone.name=test_resnet", "strategy=progressive_unfreezing", "trainer.max_epochs=4"),
    *("strategy.bn=mixed", "strategy.learning_rates.warmup_epochs=0"),
]


def observe_gradients(freeze_early: bool) -> Callable[[], Callable[[], Any]]:
    """Record each step's gradients, by epoch, step and parameter; None where there is none."""

    def prepare() -> Callable[[], Any]:
        seen: dict[tuple[int, int, str], torch.Tensor | None] = {}

        def before_step(self: TransferModule, optimizer: torch.optim.Optimizer) -> None:
            for name, parameter in self.network.named_parameters():
                gradient = parameter.grad if parameter.requires_grad else None
                place = self.current_epoch, self.global_step, name
                seen[place] = None if gradient is None else gradient.clone()

        TransferModule.on_before_optimizer_step = before_step
        if freeze_early:  # as callbacks do that freeze before the network is wrapped
            TransferModule.setup = lambda self, stage: freeze_all_but_last(self.network.backbone, 0)
            module.wrap_again = lambda trainer: None
        return lambda: seen

    return prepare


def differing(ranks: list[Any]) -> set[tuple[int, str]]:
    """Epochs and parameters whose gradients are not the same bits on both ranks."""
    one, other = ranks
    assert one.keys() == other.keys()
    return {
        (epoch, name)
        for (epoch, step, name), gradient in one.items()
        if gradient is not None and not torch.equal(gradient, other[epoch, step, name])
    }


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of two processes, and the gradients that each has seen."""
    folder = str(tmp_path_factory.mktemp("ddp") / "run")
    return Run(folder), train_on_ranks(
        folder, [*PROGRESSIVE, "features.cache=off"], prepare=observe_gradients(freeze_early=False)
    )


def test_gradients_are_the_same_on_all_ranks_in_every_phase(trained):
    run, ranks = trained
    assert run.history["trainable_stages"].tolist() == [0, 1, 2, 3]
    assert not differing(ranks)
    opened = opened_in_each_epoch(ranks[0])
    assert all(some < more for some, more in pairwise(opened))
    for epoch, names in enumerate(opened):
        for name in names:
            gradients = [g for (at, _, which), g in ranks[0].items() if (at, which) == (epoch, name)]
            assert any(gradient.abs().max() > 0 for gradient in gradients), (epoch, name)


def opened_in_each_epoch(seen: Any) -> list[set[str]]:
    """The names of the parameters that have gradients, epoch by epoch."""
    return [
        {name for (at, _, name), gradient in seen.items() if at == epoch and gradient is not None}
        for epoch in sorted({at for at, _, _ in seen})
    ]


def test_a_run_of_two_processes_is_recorded_once(trained):
    run, _ = trained
    assert run.status == "finished"
    assert run.history["epoch"].tolist() == [0, 1, 2, 3]
    split = pd.read_csv(run.path / "split.csv", dtype=str)
    for part in ("val", "test"):
        predicted = run.predictions(part)["sample"]
        assert predicted.is_unique
        assert sorted(predicted) == sorted(split["sample"][split["split"] == part])


def test_one_process_evaluates_the_same_weights_to_the_same(trained):
    run, _ = trained

    def evaluate() -> None:
        quiet_libraries()
        experiment = build(recorded_config(run))
        trained = TransferModule(experiment.network, experiment.strategy, experiment.fit, seed=0)
        trained.load_state_dict(load_checkpoint(run.last_checkpoint)["state_dict"])
        for part in ("val", "test"):
            alone = _predict(trainer(devices=1), trained, Loaders(experiment.batches), part)
            alone.write(Path("alone", "predictions", f"{part}.csv"))

    assert in_child(evaluate) == 0
    for part in ("val", "test"):
        alone = Run("alone").predictions(part)
        pd.testing.assert_frame_equal(alone, run.predictions(part), rtol=0, atol=1e-6)


@pytest.mark.slow
def test_gradients_are_the_same_where_the_outputs_of_frozen_layers_are_kept():
    ranks = train_on_ranks("run", PROGRESSIVE, prepare=observe_gradients(freeze_early=False))
    assert not differing(ranks)
    assert len(opened_in_each_epoch(ranks[0])) == 4


@pytest.mark.slow
def test_gradients_would_differ_if_stages_were_frozen_before_wrapping():
    """What the test above guards against is there to be seen: nothing says so, and ranks drift apart."""
    ranks = train_on_ranks(
        "run", [*PROGRESSIVE, "features.cache=off"], prepare=observe_gradients(freeze_early=True)
    )
    assert {epoch for epoch, _ in differing(ranks)} == {1, 2, 3}


def observe_randomness() -> Callable[[], Any]:
    """Record what dropout leaves of a vector of ones in each step, and each training image by its visit."""
    from transferlab.data.loading.dataset import TrainingSet

    masks: list[torch.Tensor] = []
    images: dict[Any, torch.Tensor] = {}
    step, item = TransferModule.training_step, TrainingSet.__getitems__

    def training_step(self, batch, batch_idx):
        with torch.random.fork_rng(devices=[]):
            masks.append(self.network.dropout(torch.ones(64)))
        return step(self, batch, batch_idx)

    def getitem(self, keys):
        batch = item(self, keys)
        images.update({tuple(key): image for key, image in zip(keys, batch["image"], strict=True)})
        return batch

    TransferModule.training_step, TrainingSet.__getitems__ = training_step, getitem
    return lambda: (masks, images)


@pytest.mark.slow
def test_ranks_differ_in_dropout_and_augmentation():
    """A sample that comes several times in an epoch, to whichever rank, looks different each time."""
    several = ["data.shots_per_class=1", "data.steps_per_epoch=8", "data.batch_size=5"]
    further = ["strategy=fine_tune", "strategy.head_dropout=0.5", "data/augmentation=standard"]
    (masks, images), (other_masks, other_images) = train_on_ranks(
        "run",
        [*TINY, "backbone.name=test_resnet", "trainer.max_epochs=1", *several, *further],
        prepare=observe_randomness,
    )
    everything = [*masks, *other_masks]
    assert len(everything) == 16
    assert len({mask.numpy().tobytes() for mask in everything}) == 16
    assert not images.keys() & other_images.keys()
    rows = [key[1] for key in (*images, *other_images)]
    shared = {key[1] for key in images} & {key[1] for key in other_images}
    assert len(shared) >= 5
    assert len(rows) == 80
    pixels = [image.numpy().tobytes() for image in (*images.values(), *other_images.values())]
    assert len(set(zip(rows, pixels, strict=True))) == 80


def trainer(devices: int) -> pl.Trainer:
    """One step of training, or a test, that leaves nothing behind."""
    return pl.Trainer(
        accelerator="cpu",
        devices=devices,
        strategy="ddp_find_unused_parameters_true" if devices > 1 else "auto",
        max_steps=1,
        limit_train_batches=1,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def evaluations(rank: int, numbers: Sequence[int]) -> dict[int, Any]:
    """By number of samples: the validation's indices after a step of training, and what testing predicts."""
    quiet_libraries()
    overrides = [*TINY, "backbone.name=test_resnet", "data.batch_size=4", "seed=1"]
    experiment = build(compose_checked(overrides).config)
    splits = experiment.batches.splits
    whole = splits["test"].catalog
    found = {}
    for number in numbers:
        few = whole.select(np.arange(len(whole)) < number)
        evaluated = [replace(splits[name], catalog=few) for name in ("val", "test")]
        fewer = replace(splits, splits=(splits["train"], *evaluated))
        trained = TransferModule(experiment.network, experiment.strategy, experiment.fit, seed=0)
        of_both = trainer(devices=2)
        old = experiment.batches
        loaders = Loaders(Batches(fewer, old.settings, old.preprocessing, seed=old.seed))
        of_both.fit(trained, datamodule=loaders)
        _, _, indices = trained.outputs["val"].gathered()
        tested = _predict(of_both, trained, loaders, "test") if number in (1, 17) else None
        found[number] = indices, tested
    return found


@pytest.mark.parametrize(
    "numbers",
    [(1, 8, 9, 17), pytest.param(range(1, 18), marks=pytest.mark.slow)],
    ids=["about a whole step", "all"],
)
def test_each_sample_counts_once_whatever_their_number(numbers):
    for found in on_ranks(lambda rank: evaluations(rank, numbers)):
        for number, (indices, tested) in found.items():
            assert indices.tolist() == list(range(number))
            assert tested is None or len(tested.samples) == len(tested.probabilities_NC) == number


def test_processes_that_are_started_together_need_a_common_folder(monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match=r"hydra\.run\.dir=DIR"):
        runs.train(PROGRESSIVE)


@pytest.mark.slow
def test_torchrun_starts_the_processes_of_a_run():
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    ddp = ["trainer=ddp_multi_node", "trainer.num_nodes=1", "trainer.devices=2", "trainer.accelerator=cpu"]
    finished = subprocess.run(
        [*launcher, "-m", "transferlab", "train", *PROGRESSIVE, *ddp, "hydra.run.dir=run"],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.splitlines().count("run") == 1
    assert Run("run").status == "finished"


@pytest.mark.slow
def test_a_sweep_runs_each_job_once_in_one_folder():
    arguments = [*TINY, "backbone.name=test_resnet", "trainer.max_epochs=1", "seed=0,1"]
    ddp = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "features.cache=off"]
    code, shown, said = command(["train", "-m", *arguments, *ddp])
    assert code == 0, said
    (sweep,) = Path("sweeps").glob("*/*")
    assert shown.splitlines()[-1] == str(sweep)
    assert not Path("runs").exists()
    runs = [Run(config.parent) for config in sweep.glob("*/config.yaml")]
    assert sorted(run.result["seed"] for run in runs) == [0, 1]
    assert [run.status for run in runs] == ["finished"] * 2
    assert len([path for path in sweep.iterdir() if path.is_dir()]) == 2
    assert len((sweep / "jobs.jsonl").read_text().splitlines()) == 2


@pytest.mark.slow
def test_two_processes_run_frozen_layers_once():
    def run(folder: str, *further: str) -> Run:
        command = [
            *(sys.executable, "-m", "transferlab", "train", "trainer=ddp", "trainer.accelerator=cpu"),
            *("trainer.devices=2", "strategy=partial", "data.shots_per_class=4", "data.batch_size=4"),
            *(
                "trainer.max_epochs=2",
                "backbone=timm",
                "backbone.name=test_resnet",
                "backbone.weights=random",
            ),
        ]
        finished = subprocess.run(
            [*command, f"hydra.run.dir={folder}", *further],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert finished.returncode == 0, finished.stderr
        return Run(folder)

    kept, whole = run("kept"), run("whole", "features.cache=off")
    assert list(Path("cache/features").glob("*/*.safetensors"))
    for part in ("val", "test"):
        probabilities = [left.predictions(part).filter(like="p(").to_numpy() for left in (kept, whole)]
        np.testing.assert_allclose(*probabilities, atol=2e-5)


@pytest.mark.slow
def test_two_processes_train_and_evaluate_each_sample_once():
    command = [
        *(
            sys.executable,
            "-m",
            "transferlab",
            "train",
            "trainer=ddp",
            "trainer.accelerator=cpu",
            "trainer.devices=2",
        ),
        *(
            "strategy=progressive_unfreezing",
            "data.shots_per_class=4",
            "data.batch_size=4",
            "trainer.max_epochs=3",
        ),
        *("backbone=timm", "backbone.name=test_resnet", "backbone.weights=random", "hydra.run.dir=run"),
    ]
    finished = subprocess.run(
        command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.splitlines()[-1] == "run"
    assert finished.stdout.count("epoch   3/3") == 1
    run = Run("run")
    assert run.status == "finished"
    split = np.genfromtxt("run/split.csv", delimiter=",", dtype=str, skip_header=1)
    for part in ("val", "test"):
        predicted = run.predictions(part)["sample"]
        assert predicted.is_unique
        assert len(predicted) == (split == part).any(axis=1).sum()
    assert not list(Path().glob("lightning_logs"))
