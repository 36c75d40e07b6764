"""The pairs of domains that configs offer, each built from its command line."""

from __future__ import annotations

import pytest
from tests.data.catalog.mnist_like import write_npz, write_photos
from tests.data.conftest import write_image
from tests.training.processes import in_child

from transferlab.config.compose import compose_checked
from transferlab.data.batches import Batches
from transferlab.data.data_settings import DataSettings
from transferlab.data.image.preprocessing import Preprocessing
from transferlab.data.splits import arrange
from transferlab.run.run_folder import Run
from transferlab.training import runs
from transferlab.training.build import make_data

MNIST_M = ("data.root=mnist.npz", "data.target.photos=photos", "data.val_fraction=0.25")
PAIRS = {
    "data=mnist": ("data.root=mnist.npz", "data.val_fraction=0.25"),
    "data=mnist_to_mnist_m": MNIST_M,
    "data=mnist_to_digits": ("data.root=mnist.npz", "data.val_fraction=0.25"),
    "data=office31": ("data.root=office31", "data.source.domain=amazon", "data.target.domain=webcam"),
    "data=domains": ("data.source.root=office31/amazon/images", "data.target.root=office31/webcam/images"),
}
SIZES = {  # train, test, target_train
    "data=mnist": (30, 20, None),
    "data=mnist_to_mnist_m": (30, 20, 30),
    "data=mnist_to_digits": (30, 359, 988),
    "data=office31": (6, 2, 2),
    "data=domains": (6, 2, 2),
}


@pytest.fixture(autouse=True)
def files(tmp_path):
    """Small files in the places that the command lines name."""
    write_npz(tmp_path / "mnist.npz")
    write_photos(tmp_path / "photos", [(40, 30)] * 3)
    seed = 0
    for domain, num in (("amazon", 5), ("webcam", 3)):
        for name in ("back_pack", "bike"):
            for _ in range(num):
                seed += 1
                write_image(tmp_path / "office31" / domain / "images" / name / f"{seed:03d}.png", seed)


def settings_of(*overrides: str) -> DataSettings:
    return make_data(compose_checked(list(overrides)).config)


@pytest.mark.parametrize("pair", PAIRS)
def test_pair(pair):
    settings = settings_of(pair, *PAIRS[pair], "data.batch_size=3")
    splits = arrange(settings)
    train, test, target = SIZES[pair]
    assert len(splits["train"]) == train
    assert len(splits["test"]) == test
    assert splits.counts().get("target_train") == target
    for size in {settings.image_size or 40, 32}:
        batch = next(iter(Batches(splits, settings, Preprocessing(image_size=size), seed=0).train()))
        assert {key: tuple(value.shape) for key, value in batch.items()} == {
            "image": (3, 3, size, size),
            "label": (3,),
            **({} if target is None else {"target_image": (3, 3, size, size)}),
        }


def test_digits_have_mnists_size_unless_told_otherwise():
    assert settings_of("data=mnist_to_mnist_m", *MNIST_M).image_size == 28
    assert settings_of("data=mnist_to_mnist_m", *MNIST_M, "data.image_size=32").image_size == 32


def test_a_misspelt_domain():
    with pytest.raises(ValueError, match="Did you mean webcam"):
        arrange(settings_of("data=office31", *PAIRS["data=office31"][:2], "data.target.domain=webcan"))


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["source_only", "dann"])
@pytest.mark.parametrize("experiment", ["mnist_to_mnist_m", "mnist_to_digits"])
def test_experiment(experiment, strategy):
    arguments = [
        f"experiment={experiment}",
        f"strategy={strategy}",
        *PAIRS[f"data={experiment}"],
        *("data.batch_size=10", "data.steps_per_epoch=3"),
        *("trainer.max_epochs=1", "trainer.enable_progress_bar=false"),
        "hydra.run.dir=run",
    ]
    assert in_child(lambda: runs.train(arguments)) == 0
    run = Run("run")
    assert run.status == "finished"
    assert len(run.predictions("test")) == SIZES[f"data={experiment}"][1]
    assert run.result["cost"]["parameters"] == 40_880 + 768 * 100 + 100 + 100 * 100 + 100 + 1_010
