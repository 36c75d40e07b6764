from __future__ import annotations

import numpy as np
import pytest
from tests.data.catalog.mnist_like import digit_arrays, write_npz

from transferlab.data.catalog.digits import Digits
from transferlab.data.catalog.mnist import MNIST
from transferlab.data.image.reader import content_hash


def test_catalog(tmp_path):
    arrays = digit_arrays()
    catalog = MNIST(str(write_npz(tmp_path / "mnist.npz"))).load()
    assert len(catalog) == 60
    assert catalog.classes == tuple("0123456789") == Digits().load().classes
    assert catalog.table["split"].tolist() == ["train"] * 40 + ["test"] * 20
    assert catalog.codes.tolist() == [*arrays["y_train"], *arrays["y_test"]]
    image = catalog.reader("test/00003")
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, np.repeat(arrays["x_test"][3][..., None], 3, axis=2))
    assert catalog.table["content"][43] == content_hash(arrays["x_test"][3].tobytes())
    assert catalog.notices == (
        f"data.root={tmp_path / 'mnist.npz'} holds 40 train and 20 test images, where MNIST has 60,000 "
        "train and 10,000 test.",
    )


def test_construction_reads_nothing():
    MNIST("nowhere")


def test_fingerprint_is_of_the_digits(tmp_path):
    one = MNIST(str(write_npz(tmp_path / "one.npz"))).load()
    same = MNIST(str(write_npz(tmp_path / "same.npz"))).load()
    changed = digit_arrays()["x_test"]
    changed[5, 0, 0] ^= 1
    other = MNIST(str(write_npz(tmp_path / "other.npz", x_test=changed))).load()
    assert one.fingerprint() == same.fingerprint() != other.fingerprint()


def test_validation_is_carved_from_its_training_part(make_batches, tmp_path):
    data = make_batches(source=MNIST(str(write_npz(tmp_path / "mnist.npz"))), val_fraction=0.25)
    assert data.splits.counts() == {"train": 30, "val": 10, "test": 20}
    assert {name.split("/")[0] for name in data.splits["val"].catalog.samples} == {"train"}


def test_fraction_makes_a_quick_trial(make_batches, tmp_path):
    root = str(write_npz(tmp_path / "mnist.npz"))
    data = make_batches(source=MNIST(root), target=Digits(), val_fraction=0.25, fraction=1 / 3)
    assert len(data.splits["train"]) == 10
    assert len(data.splits["target_train"]) > 700


@pytest.mark.data
def test_no_image_is_in_both_parts(shared_data):
    catalog = MNIST(str(shared_data / "digits" / "mnist.npz")).load()
    assert catalog.notices == ()
    assert catalog.class_counts.tolist() == [6903, 7877, 6990, 7141, 6824, 6313, 6876, 7293, 6825, 6958]
    assert catalog.table["content"].is_unique
