"""Damaged checkpoints are refused in a sentence, be it one bit or a value deep within."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.test_resume import overrides
from transferlab.config.compose import compose_checked
from transferlab.run.reading import UnreadableFile
from transferlab.training.build import build
from transferlab.training.fit import fit
from transferlab.training.lightning.checkpoint_content import load_checkpoint

TUNE = overrides("fine_tune", "test_resnet", "fit.checkpoint_every_steps=null")
FURTHER = [*TUNE, "trainer.max_epochs=9"]  # so that there is something left to train


@pytest.fixture
def checkpoint(trained) -> Path:
    folder = Path("run/checkpoints")
    folder.mkdir(parents=True)
    return Path(shutil.copy(Path(trained(*TUNE), "checkpoints/last.ckpt"), folder))


def test_one_bit(checkpoint):
    content = bytearray(checkpoint.read_bytes())
    content[len(content) // 2] ^= 1
    checkpoint.write_bytes(content)
    with pytest.raises(UnreadableFile, match=r"this is not readable checkpoint \(.* is damaged\)"):
        load_checkpoint(checkpoint)


def put(content: Any, path: str, value: Any) -> None:
    *parents, last = [int(key) if key.isdigit() else key for key in path.split("/")]
    for key in parents:
        content = content[key]
    if value is ...:
        del content[last]
    else:
        content[last] = value


DAMAGE = {
    "pytorch-lightning_version": ...,
    "callbacks": "x",
    "transferlab/means": [],
    "loops/fit_loop": {},
    "loops/fit_loop/epoch_progress/total": torch.tensor(0.0),
    "loops/fit_loop/epoch_loop.batch_progress/current/ready": None,
    "loops/fit_loop/epoch_loop.batch_progress/current/completed": 1e308,
    "state_dict/network.head.bias": "1",
    "state_dict/network.head.weight": torch.zeros(3),
    "optimizer_states/0/state": [],
    "optimizer_states": [],
    "optimizer_states/0/state/3": {},
    "optimizer_states/0/state/3/step": ...,
    "optimizer_states/0/state/2/exp_avg": -1,
    "optimizer_states/0/state/2/exp_avg_sq": torch.zeros(2, 7),
    "optimizer_states/0/state/999": {},
    "optimizer_states/0/param_groups": [{}],
    "optimizer_states/0/param_groups/0/params": [torch.zeros(2)],
    "optimizer_states/0/param_groups/0/betas": None,
}


@pytest.fixture(scope="module")
def experiment():
    return build(compose_checked(FURTHER).config)


@pytest.mark.parametrize("path", DAMAGE)
def test_values_deep_within(path, checkpoint, experiment):
    content = torch.load(checkpoint, weights_only=True)
    put(content, path, DAMAGE[path])
    torch.save(content, checkpoint)
    with pytest.raises(UnreadableFile, match=r"^run.*Fix: delete .*last\.ckpt; then transferlab"):
        fit(experiment, checkpoint=checkpoint)
