"""What a run has read is written down, and a checkpoint is never continued with anything else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from transferlab.backbone.weights import SHIPPED
from transferlab.backbone.weights_file import WeightsError
from transferlab.run.errors import UserError
from transferlab.run.run_folder import Run
from transferlab.training.run_record import record_inputs, recorded_inputs, weights_hash

ONE, TWO = {"data": "1", "backbone.weights": "random"}, {"data": "2", "backbone.weights": "random"}


@pytest.fixture
def run() -> Run:
    Path("run").mkdir()
    return Run("run")


def test_they_are_recorded(run):
    assert recorded_inputs(run) == {}
    assert record_inputs(ONE, run) == []
    assert record_inputs(ONE, run) == []
    assert recorded_inputs(run) == ONE


def test_a_run_that_starts_over_is_told(run):
    record_inputs(ONE, run)
    (told,) = record_inputs(TWO, run)
    assert told == "data: not the same files as when this run began; it starts over with these."
    assert recorded_inputs(run) == TWO


def test_a_checkpoint_is_not_continued_with_others(run):
    record_inputs(ONE, run)
    run.last_checkpoint.parent.mkdir()
    run.last_checkpoint.touch()
    assert record_inputs(ONE, run) == []
    with pytest.raises(UserError, match="run: data: not the same files as when this run began"):
        record_inputs(TWO, run)
    assert recorded_inputs(run) == ONE


def test_weights_are_known_by_what_is_in_the_file():
    shutil.copy(SHIPPED, "a.safetensors")
    shutil.copy(SHIPPED.with_suffix(".json"), "a.json")
    shipped = weights_hash({"name": None, "weights": "shipped"})
    assert weights_hash({"name": None, "weights": "a.safetensors"}) == shipped
    content = bytearray(Path("a.safetensors").read_bytes())
    content[-1] ^= 1
    Path("a.safetensors").write_bytes(content)
    other = weights_hash({"name": None, "weights": "a.safetensors"})
    assert other != shipped
    about = json.loads(Path("a.json").read_text())
    Path("a.json").write_text(json.dumps({**about, "mean": [0.1, 0.1, 0.1]}))
    assert weights_hash({"name": None, "weights": "a.safetensors"}) not in (shipped, other)


def test_weights_without_a_file():
    assert weights_hash({"name": "resnet18", "weights": "random"}) == "random"
    assert weights_hash({"name": "resnet18", "weights": "hub"}) == "hub timm/resnet18.a1_in1k"
    assert weights_hash({"name": "resnet18.tv_in1k", "weights": "hub"}) == "hub timm/resnet18.tv_in1k"
    with pytest.raises(WeightsError, match="gone"):
        weights_hash({"name": "resnet18", "weights": "gone.safetensors"})
