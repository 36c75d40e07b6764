"""Whole runs on a device: `make gpu` runs them on CUDA; the CPU goes through the same tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.heads.problem import features, job, order
from tests.training.test_resume import assert_same
from transferlab.backbone.boundary_search import find_boundary
from transferlab.config.compose import compose_checked
from transferlab.feature.extraction import Views, extracted, least_cosine
from transferlab.run.run_folder import Run
from transferlab.training import runs
from transferlab.training.build import build
from transferlab.training.heads.alone import AloneLearner
from transferlab.training.heads.head_job import LabelledFeatures
from transferlab.training.heads.stacked import StackedLearner

GPU = pytest.param("gpu", marks=pytest.mark.gpu)
TINY = (
    *("backbone=timm", "backbone.name=test_resnet", "backbone.weights=random", "data=digits"),
    *("data.shots_per_class=4", "data.val_fraction=0.03", "data.test_fraction=0.03", "data.batch_size=8"),
    *("trainer.max_epochs=2", "trainer.enable_progress_bar=false", "strategy/head=linear"),
)
DETERMINISTIC = ("trainer.deterministic=true", "fit.checkpoint_every_steps=2")


@pytest.fixture(autouse=True)
def _repeatable():
    """Flags that a deterministic run sets for its whole process."""
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    yield
    torch.use_deterministic_algorithms(before[0])
    torch.backends.cudnn.benchmark = before[1]


def train(folder: str, device: str, *overrides: str) -> Run:
    place = [f"trainer={device}", "trainer.precision=32-true", f"hydra.run.dir={folder}"]
    return runs.train([*TINY, *place, *overrides])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("device", "precision"),
    [
        ("cpu", "32-true"),
        ("cpu", "bf16-mixed"),
        *(pytest.param("gpu", each, marks=pytest.mark.gpu) for each in ("32-true", "bf16-mixed", "16-mixed")),
    ],
)
def test_a_run_in_each_precision(device, precision):
    run = train("run", device, f"trainer.precision={precision}", "strategy=fine_tune")
    assert run.status == "finished"
    assert np.isfinite(run.history[["train/loss", "val/loss"]].to_numpy()).all()
    assert run.predictions().filter(like="p(").sum(axis=1).to_numpy() == pytest.approx(1.0, abs=1e-4)


@pytest.mark.gpu
@pytest.mark.parametrize("strategy", ["fine_tune", "partial", "progressive_unfreezing", "feature_extraction"])
def test_a_gpu_learns_what_the_cpu_learns(strategy):
    """First epoch alone: differences of rounding grow from step to step."""
    one, other = (
        train(device, device, f"strategy={strategy}", "trainer.max_epochs=1") for device in ("cpu", "gpu")
    )
    for column in ("train/loss", "val/loss"):
        assert other.history[column].to_numpy() == pytest.approx(one.history[column].to_numpy(), rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("device", ["cpu", GPU])
@pytest.mark.parametrize("strategy", ["fine_tune", "mdd"])
def test_killed_and_resumed_bit_identically(device, strategy):
    """By SIGKILL, each in a process of its own, for CUDA does not survive a fork."""
    data = ["data=digits_domains"] if strategy == "mdd" else []
    settings = [*TINY, f"trainer={device}", *DETERMINISTIC, f"strategy={strategy}", *data]

    def start(*arguments: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-m", "transferlab", *arguments], env={**os.environ})

    assert start("train", *settings, "hydra.run.dir=alone").wait() == 0
    killed = start("train", *settings, "hydra.run.dir=killed")
    deadline = time.monotonic() + 300
    while not Run("killed").last_checkpoint.is_file() and time.monotonic() < deadline:
        time.sleep(0.005)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    assert start("resume", "killed").wait() == 0
    assert_same("killed", "alone")


@pytest.mark.slow
@pytest.mark.parametrize("device", ["cpu", GPU])
@pytest.mark.parametrize("strategy", ["partial", "progressive_unfreezing"])
def test_kept_activations_are_those_of_the_frozen_layers(device, strategy):
    own = [f"strategy={strategy}", *DETERMINISTIC]
    kept, never = (train(cache, device, *own, f"features.cache={cache}") for cache in ("auto", "off"))
    for column in ("train/loss", "val/loss"):
        assert kept.history[column].to_numpy() == pytest.approx(never.history[column].to_numpy(), rel=1e-4)
    one, other = (run.predictions().filter(like="p(").to_numpy() for run in (kept, never))
    assert np.abs(one - other).max() < 1e-4


@pytest.mark.parametrize("device", ["cpu", GPU])
def test_heads_together_on_a_device(device):
    """The loop itself; runs keep their features on the CPU, where it is as fast for heads of this size."""
    place = "cuda" if device == "gpu" else "cpu"
    made = features()
    train_on = LabelledFeatures(made.features_ND.to(place), made.labels_N.to(place))
    jobs = [job(seed, base=rate) for seed, rate in ((0, 1e-3), (1, 3e-3), (2, 1e-2))]
    together = StackedLearner(jobs, train_on, order, 2)
    alone = [AloneLearner(each, train_on, order, 2) for each in jobs]
    for epoch in range(2):
        losses_KJ = together.train_epoch(epoch).loss
        assert losses_KJ.device.type == place
        for number, single in enumerate(alone):
            expected = single.train_epoch(epoch).loss[:, 0]
            torch.testing.assert_close(losses_KJ[:, number], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("device", ["cpu", GPU])
def test_extraction_in_bfloat16(device):
    place = torch.device("cuda" if device == "gpu" else "cpu")
    config = compose_checked([*TINY, f"trainer={device}", "strategy=feature_extraction"]).config
    experiment = build(config)
    backbone, views = experiment.network.backbone.to(place), Views(experiment.batches, "val")
    boundary = find_boundary(backbone, len(backbone.stages))

    def made(dtype: torch.dtype) -> torch.Tensor:
        how = {"device": place, "compute": dtype, "storage": torch.float32}
        return torch.cat([part for _, part in extracted(backbone, boundary, views, range(20), **how)])

    exact, rounded = made(torch.float32), made(torch.bfloat16)
    assert exact.shape == rounded.shape == (20, *boundary.shape)
    assert 0.999 < least_cosine(exact, rounded) < 1.0


@pytest.mark.slow
@pytest.mark.parametrize("device", ["cpu", GPU])
def test_ddp_on_one_device_is_training_on_one_device(device):
    accelerator = f"trainer.accelerator={device}"
    own = [*DETERMINISTIC, "strategy=progressive_unfreezing", "trainer.precision=32-true"]
    ddp = runs.train([*TINY, "trainer=ddp", accelerator, "trainer.devices=1", *own, "hydra.run.dir=ddp"])
    plain = train("plain", device, *own)
    one, other = (run.history[["train/loss", "val/loss"]].to_numpy() for run in (ddp, plain))
    assert one == pytest.approx(other, rel=1e-5)
    assert Path("ddp/model.safetensors").is_file()
