from __future__ import annotations

import pytest
import torch

from transferlab.data.mixing.batch import Mixing

IMAGES = torch.rand(6, 3, 16, 16, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 2, 0, 1, 2])


def test_mixup_blends_images_and_labels_alike():
    images, probabilities = Mixing(mixup_alpha=1.0).mixed(IMAGES, LABELS, num_classes=3, seed=5)
    share = probabilities[1, 1].item()  # sample 1 is mixed with sample 0
    assert 0 < share < 1
    assert probabilities[1].tolist() == pytest.approx([1 - share, share, 0])
    torch.testing.assert_close(images[1], share * IMAGES[1] + (1 - share) * IMAGES[0])
    torch.testing.assert_close(probabilities.sum(1), torch.ones(6))


def test_cutmix_shares_labels_by_area():
    images, probabilities = Mixing(cutmix_alpha=1.0).mixed(IMAGES, LABELS, num_classes=3, seed=3)
    own = (images[1] == IMAGES[1]).all(0)
    other = (images[1] == IMAGES[0]).all(0)
    assert (own ^ other).all()
    assert probabilities[1, 1].item() == pytest.approx(own.float().mean().item())


def test_it_is_a_function_of_the_seed_and_leaves_the_generator_alone():
    mixing = Mixing(mixup_alpha=0.4, cutmix_alpha=1.0)
    before = torch.get_rng_state()
    once, again = (mixing.mixed(IMAGES, LABELS, num_classes=3, seed=7) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(once[0], again[0])
    assert torch.equal(once[1], again[1])
    kinds = {
        bool((mixing.mixed(IMAGES, LABELS, num_classes=3, seed=s)[0] == IMAGES).any()) for s in range(20)
    }
    assert kinds == {True, False}  # CutMix keeps pixels, mixup none


def test_a_batch_of_one():
    images, probabilities = Mixing(mixup_alpha=1.0).mixed(IMAGES[:1], LABELS[:1], num_classes=3, seed=0)
    torch.testing.assert_close(images, IMAGES[:1])
    torch.testing.assert_close(probabilities, torch.tensor([[1.0, 0, 0]]))


def test_training_batches_only(make_batches):
    data = make_batches(mixing=Mixing(mixup_alpha=0.2))
    batches = [data.prepared(batch) for batch in data.train()]
    again = [data.prepared(batch) for batch in data.train()]
    assert set(batches[0]) == {"input", "image", "label", "label_probabilities"}
    assert batches[0]["image"] is batches[0]["input"]
    assert batches[0]["label"].dtype == torch.int64
    assert batches[0]["label_probabilities"].shape == (64, 10)
    assert all(torch.equal(one["image"], other["image"]) for one, other in zip(batches, again, strict=True))
    shares = [batch["label_probabilities"] for batch in batches]
    assert len({float(share[share > 0].min()) for share in shares}) > len(batches) / 2
    test = data.prepared(next(iter(data.evaluation("test"))))
    assert set(test) == {"input", "image", "label", "index"}
