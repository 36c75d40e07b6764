"""Teacher scores in the feature store, which ride along in training batches beside the views they are of."""

from __future__ import annotations

import torch

from transferlab.data.augmentation.pipeline import Augmentation
from transferlab.data.batches import Batches
from transferlab.data.catalog.digits import Digits
from transferlab.data.data_settings import DataSettings
from transferlab.data.image.preprocessing import Preprocessing
from transferlab.data.loading.sampler import Position, Share
from transferlab.data.mixing.batch import Mixing
from transferlab.data.splits import arrange
from transferlab.feature.extraction import Views
from transferlab.feature.store import FeatureSpace


def teacher(images: torch.Tensor) -> torch.Tensor:
    """Scores (N, 2) that depend on every pixel of uint8 images."""
    places = torch.arange(images[0].numel()).reshape(images[0].shape).cos()
    flat = (images.float() * places).flatten(1)
    return torch.stack([flat.sum(1), flat.square().sum(1)], 1)


def test_scores_are_of_the_views_that_training_shows(tmp_path):
    settings = DataSettings(
        root=None,
        source=Digits(),
        target=None,
        augmentation=Augmentation(min_crop_area=0.5, horizontal_flip=0.5),
        mixing=Mixing(),
        num_workers=0,
        batch_size=16,
        shots_per_class=10,
    )
    plain = Batches(arrange(settings), settings, Preprocessing(image_size=8), seed=3, views=2)
    stored = {}
    for split in ("train", "val"):
        views = Views(plain, split)

        def compute(positions, views=views):
            for batch in views.loader(positions, batch_size=50):
                yield batch["position"].tolist(), teacher(batch["image"])

        about = {"teacher": 1, "pixels": views.depends_on}
        space = FeatureSpace(about, most_gib=1.0, store=tmp_path / "store")
        stored[split] = space.rows(views.keys, compute)
    assert {split: len(rows) for split, rows in stored.items()} == {"train": 200, "val": 359}
    batches = plain.with_columns({"teacher": stored})
    seen = []
    for epoch in range(3):
        for batch in batches.train(Share(lambda num_batches, epoch=epoch: Position(epoch))):
            assert torch.equal(batch["teacher"], teacher(batch["image"]))
            seen += [(epoch % 2, *row) for row in batch["teacher"].tolist()]
    assert len(set(seen)) > 150  # of 200 views: the scores of both views of a sample differ
    for batch in batches.evaluation("val"):
        assert torch.equal(batch["teacher"], teacher(batch["image"]))
    assert "teacher" not in next(iter(batches.evaluation("train")))  # no view is what an evaluation shows
