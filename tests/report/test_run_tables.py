"""What a run prints when it has finished."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from transferlab.backbone.timm_network import timm_backbone
from transferlab.report.run_tables import show_metrics, show_result, summary, unsuited_size

RESULT = {
    "metrics": ["balanced_accuracy", "accuracy", "auroc"],
    "val": {"accuracy": 0.9, "balanced_accuracy": 0.8, "auroc": None},
    "source_test": {"accuracy": 0.7, "balanced_accuracy": 0.65, "auroc": 0.99},
    "selection": {"rule": "entropy", "epoch": 4, "trainable_stages": 2},
    "cost": {"epochs": 10, "parameters": 12345, "trainable_parameters": 678, "fit_seconds": 3.21},
}


def printed(capsys) -> list[list[str]]:
    return [line.split() for line in capsys.readouterr().out.splitlines()]


def test_metrics_of_each_split(capsys):
    show_metrics(RESULT)
    assert printed(capsys) == [
        ["balanced", "accuracy", "accuracy", "auroc"],
        ["val", "0.800", "0.900", "-"],
        ["source", "test", "0.650", "0.700", "0.990"],
    ]


def test_an_interval_says_what_it_covers(capsys):
    covers = {"covers": "other images, not other seeds", "balanced_accuracy": [0.6, 0.7]}
    show_metrics({**RESULT, "intervals": {"source_test": covers}})
    assert printed(capsys) == [
        ["balanced", "accuracy", "95", "%", "interval", "accuracy", "auroc"],
        ["val", "0.800", "0.900", "-"],
        ["source", "test", "0.650", "0.600", "to", "0.700", "0.700", "0.990"],
        ["The", "interval", "covers", "other", "images,", "not", "other", "seeds"],
    ]


def test_how_the_model_was_selected(capsys):
    target = {
        "entropy": {"epoch": 4, "accuracy": 0.5, "balanced_accuracy": 0.4},
        "oracle": {"epoch": 6, "accuracy": 0.6, "balanced_accuracy": 0.55},
    }
    show_result({**RESULT, "selection": {**RESULT["selection"], "target": target}})
    lines = [" ".join(line) for line in printed(capsys)]
    assert lines[3:] == [
        "epoch selected by epoch test balanced accuracy test accuracy",
        "entropy (selected) 5 0.400 0.500",
        "oracle, on target validation labels 7 0.550 0.600",
        "selected epoch 5 of 10 (entropy, 2 stages open); 678 of 12,345 parameters trained; 3.2 s",
    ]


def splits_of(height: int, width: int) -> SimpleNamespace:
    """As much of `Splits` as a line about them needs: pictures of one size."""
    samples = [str(number) for number in range(40)]
    catalog = CountingCatalog(samples, np.zeros((height, width, 3), np.uint8))
    train = SimpleNamespace(catalog=catalog)
    return SimpleNamespace(trained_on=[train], num_classes=3, counts=lambda: {"train": 40})


class CountingCatalog:
    """Counts the images that are looked at."""

    def __init__(self, samples: list[str], image: np.ndarray) -> None:
        self.samples, self.image, self.num_read = samples, image, 0

    def __len__(self) -> int:
        return len(self.samples)

    def reader(self, sample: str) -> np.ndarray:
        self.num_read += 1
        return self.image


_LETTERS = {"name": "resnet10t", "weights": "shipped", "load_weights": True}


def small_backbone(image_size: int = 32):
    kwargs = {"channels": [8, 8, 16, 16], "stem_width": 8}
    return timm_backbone(name="resnet10t", weights="random", image_size=image_size, kwargs=kwargs)


def test_the_line_names_network_weights_and_data():
    line = summary(small_backbone(), splits_of(9, 9), "Folder photos")
    assert line.startswith("resnet10t (weights: random) at 32 px, ")
    assert line.endswith("stages; data: Folder photos, 3 classes; samples: train 40")


@pytest.mark.parametrize(
    ("network_px", "height", "width", "warns"),
    [
        (32, 375, 500, True),
        (32, 64, 64, True),
        (32, 63, 500, False),
        (64, 375, 500, True),
        (96, 375, 500, False),
    ],
)
def test_a_network_for_small_pictures_is_warned_of_photos(network_px, height, width, warns):
    splits = splits_of(height, width)
    warning = unsuited_size(small_backbone(network_px), splits)
    assert (warning is not None) == warns
    assert splits.trained_on[0].catalog.num_read <= 20
    if warning:
        assert warning.startswith(f"WARNING: resnet10t takes {network_px} px")
        assert f"{width}x{height}" in warning
        assert warning.endswith("Fix: data.image_size=176")  # what timm's resnet10t was trained with


def test_the_network_of_letters_is_no_network_for_photos():
    backbone = timm_backbone(**_LETTERS)
    warning = unsuited_size(backbone, splits_of(375, 500))
    assert "its weights have seen rendered letters alone" in warning
    assert warning.endswith("Fix: a network pretrained on photos, backbone=efficientnet_lite0")


@pytest.mark.parametrize(("height", "width", "warns"), [(28, 28, True), (20, 32, True), (28, 33, False)])
def test_a_network_for_photos_is_warned_of_tiny_pictures(height, width, warns):
    warning = unsuited_size(small_backbone(96), splits_of(height, width))
    assert (warning is not None) == warns
    if warning:
        assert f"about {width}x{height} px are enlarged to 96 px" in warning
        assert warning.endswith("Fix: data.image_size=64")
