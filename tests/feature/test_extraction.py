"""Features as the store gets them: the network's, in any company; in bfloat16 where that is close."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from transferlab.backbone.boundary_search import find_boundary
from transferlab.backbone.network import Backbone
from transferlab.backbone.timm_network import timm_backbone
from transferlab.data.augmentation.pipeline import Augmentation
from transferlab.data.batches import Batches
from transferlab.data.catalog.digits import Digits
from transferlab.data.catalog.folder import Folder
from transferlab.data.data_settings import DataSettings
from transferlab.data.image.preprocessing import Preprocessing
from transferlab.data.mixing.batch import Mixing
from transferlab.data.splits import arrange
from transferlab.feature.extraction import (
    LEAST_COSINE,
    Views,
    batch_size,
    compute_dtype,
    extracted,
    has_bfloat16,
    least_cosine,
)
from transferlab.feature.extractor import Extractor
from transferlab.feature.feature_settings import FeatureSettings

CPU = torch.device("cpu")


def batches_of(source: object, backbone: Backbone) -> Batches:
    settings = DataSettings(
        root=None, source=source, target=None, augmentation=Augmentation(), mixing=Mixing(), num_workers=0
    )
    return Batches(arrange(settings), settings, Preprocessing(**backbone.preprocessing), seed=0)


def features(backbone: Backbone, data: Batches, positions, dtype=torch.float32) -> Iterator[torch.Tensor]:
    """One feature vector after the other."""
    boundary, views = find_boundary(backbone, len(backbone.stages)), Views(data, "val")
    batches = extracted(
        backbone,
        boundary,
        views,
        positions,
        device=CPU,
        compute=dtype,
        storage=torch.float32,
    )
    for at, made in batches:
        assert len(at) == len(made)
        yield from made


def test_equal_to_the_network_and_in_any_company():
    backbone = timm_backbone(name=None, weights="shipped")
    backbone.train()
    data = batches_of(Digits(), backbone)
    size = batch_size(CPU)
    many = list(features(backbone, data, range(2 * size + 3)))
    assert backbone.training
    images = data.images("val")
    batch = data.prepared({"image": images.rows(range(len(many)))})
    expected = backbone.eval()(batch["input"])
    torch.testing.assert_close(torch.stack(many), expected, rtol=0, atol=1e-5)
    alone = [next(features(backbone, data, [position])) for position in (0, size, 2 * size + 2)]
    for one, among in zip(alone, (many[0], many[size], many[2 * size + 2]), strict=True):
        assert torch.equal(one, among)


def chosen(backbone: Backbone, data: Batches, notes: list[str]) -> torch.dtype:
    """What `features.precision=auto` computes in."""
    extractor = Extractor(
        backbone=backbone,
        batches=data,
        settings=FeatureSettings(precision="auto"),
        trainer_precision="32-true",
        device=CPU,
        note=notes.append,
        track=lambda text, number, batches: batches,
    )
    return extractor._type(find_boundary(backbone, len(backbone.stages)))


@pytest.mark.skipif(not has_bfloat16(CPU), reason="no bfloat16 here")
def test_auto_takes_bfloat16_where_it_changes_next_to_nothing():
    notes: list[str] = []
    torch.manual_seed(0)
    backbone = timm_backbone(name="test_resnet", weights="random", image_size=32)
    data = batches_of(Digits(), backbone)
    assert chosen(backbone, data, notes) == torch.bfloat16
    assert not notes
    exact, fast = (
        torch.stack(list(features(backbone, data, range(64), dtype)))
        for dtype in (torch.float32, torch.bfloat16)
    )
    assert not torch.equal(exact, fast)
    assert least_cosine(exact, fast) >= LEAST_COSINE


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.skipif(not has_bfloat16(CPU), reason="no bfloat16 here")
def test_auto_leaves_bfloat16_where_it_does_not(shared_data):
    """These weights were quantised to eight bits: in bfloat16 their features turn by up to ten degrees."""
    notes: list[str] = []
    weights = f"{shared_data}/weights/mobilenetv2_100.coral_tf2ptq_in1k.safetensors"
    backbone = timm_backbone(name=None, weights=weights, image_size=128)
    data = batches_of(Folder(f"{shared_data}/flowers"), backbone)
    assert chosen(backbone, data, notes) == torch.float32
    assert "cosine 0.9" in notes[0]


def test_least_cosine():
    one, other = torch.eye(3), torch.tensor([[2.0, 0, 0], [0, 1, 1], [0, 0, 5]])
    assert least_cosine(one, other) == pytest.approx(2**-0.5)


@pytest.mark.parametrize(
    ("asked", "trainer", "expected"),
    [
        ("float32", "32-true", torch.float32),
        ("bfloat16", "32-true", torch.bfloat16),
        ("float32", "bf16-mixed", torch.bfloat16),
        ("auto", "16-mixed", torch.float16),
        ("auto", "32-true", torch.bfloat16 if has_bfloat16(CPU) else torch.float32),
    ],
)
def test_precision(asked, trainer, expected):
    assert compute_dtype(asked, trainer, CPU) == expected
