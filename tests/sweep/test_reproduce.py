"""What has changed since a run began, from a folder that says what it has read; nothing is trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.sweep.test_job_inputs import photos
from transferlab.config.compose import compose_checked
from transferlab.data.batches import Batches
from transferlab.data.image.preprocessing import Preprocessing
from transferlab.data.splits import arrange
from transferlab.run.run_folder import Run
from transferlab.sweep.reproduce import changes_since
from transferlab.training.build import make_data
from transferlab.training.run_record import current_inputs, describe_data, record_inputs, recorded_inputs


@pytest.fixture
def run() -> Run:
    """A run that has read its images and weights."""
    config = compose_checked([*photos(), "data/augmentation=none"]).config
    made, settings = Run("run"), make_data(config)
    batches = Batches(arrange(settings), settings, Preprocessing(image_size=8), seed=0)
    made.write_config(config)
    record_inputs(current_inputs(config.backbone, batches.splits), made)
    describe_data(batches, made)
    return made


def test_nothing(run):
    assert changes_since(run) == []


def test_contents_of_images(run):
    Image.fromarray(np.full((8, 8, 3), 99, np.uint8)).save("photos/a/0.png")
    assert changes_since(run) == ["data: the contents of images have changed."]


def test_images_that_come_and_go(run):
    Path("photos/a/0.png").rename("photos/a/9.png")
    told = changes_since(run)
    assert told[:2] == ["data: 1 images are gone: a/0.png.", "data: 1 images are new: a/9.png."]


def test_weights(run):
    run.write_json("inputs.json", {**recorded_inputs(run), "backbone.weights": "others"})
    assert changes_since(run) == ["backbone.weights: not the same weights as then."]


def test_a_run_that_does_not_say_what_it_has_read(run):
    (run.path / "inputs.json").unlink()
    (told,) = changes_since(run)
    assert told.startswith("run does not say what it has read (no inputs.json)")


def test_members_of_its_group_that_are_deleted(run):
    Path("other").mkdir()
    run.write_json("group.json", {"members": ["run", "other", "gone"]})
    assert changes_since(run) == [
        "1 of the runs that it trained with are deleted: without them its last bits may differ."
    ]
