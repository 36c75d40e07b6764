from __future__ import annotations

import gzip

import numpy as np
import pytest
from tests.data.catalog.mnist_like import digit_arrays, idx_bytes, write_idx, write_npz

from transferlab.data.catalog.digits import Digits
from transferlab.data.catalog.mnist import MNIST, read_idx, read_mnist
from transferlab.data.data_error import DataError
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
    assert catalog.notes == (
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
    assert catalog.notes == ()
    assert catalog.class_counts.tolist() == [6903, 7877, 6990, 7141, 6824, 6313, 6876, 7293, 6825, 6958]
    assert catalog.table["content"].is_unique


def assert_read(root):
    arrays, parts = digit_arrays(), read_mnist(str(root))
    assert list(parts) == ["train", "test"]
    for name, part in parts.items():
        np.testing.assert_array_equal(part.images, arrays[f"x_{name}"])
        np.testing.assert_array_equal(part.labels, arrays[f"y_{name}"])
        assert part.images.dtype == np.uint8
        assert part.labels.dtype == np.int64


def test_npz(tmp_path):
    assert_read(write_npz(tmp_path / "any name.npz"))
    write_npz(tmp_path / "mnist.npz")
    assert_read(tmp_path)


@pytest.mark.parametrize("place", ["", "raw", "MNIST/raw"])
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("separator", ["-", "."])
def test_idx(place, compressed, separator, tmp_path):
    write_idx(tmp_path / place, compressed=compressed, separator=separator)
    assert_read(tmp_path)


def test_wider_integers_are_taken(tmp_path):
    arrays = digit_arrays()
    wider = {key: array.astype(np.int32) for key, array in arrays.items()}
    assert_read(write_npz(tmp_path / "wide.npz", **wider))


def test_both_domains_share_the_arrays_and_a_new_file_counts(tmp_path):
    file = write_npz(tmp_path / "mnist.npz")
    first = read_mnist(str(file))
    assert read_mnist(str(file))["train"].images is first["train"].images
    write_npz(file, x_train=np.full((40, 28, 28), 7, np.uint8))
    file.touch()
    assert (read_mnist(str(file))["train"].images == 7).all()


FLOATS = digit_arrays()["x_train"] / 255
WRONG_ARRAYS = {
    "flat": ({"x_train": digit_arrays()["x_train"].reshape(40, 784)}, r"x_train has the shape \(40, 784\)"),
    "empty": ({"x_test": np.zeros((0, 28, 28), np.uint8)}, r"x_test has the shape \(0, 28, 28\)"),
    "scaled": ({"x_train": FLOATS}, "x_train holds float64 from 0.0 to 1.0: it must hold whole numbers"),
    "binary": ({"x_train": FLOATS.round().astype(np.uint8)}, "x_train holds no value above 1"),
    "negative": ({"x_test": digit_arrays()["x_test"].astype(int) - 1}, "x_test holds int64 from -1 to 254"),
    "labels from 1": (
        {"y_train": digit_arrays()["y_train"] + 1},
        "labels of train go up to 10: digits have 0 to 9",
    ),
    "one-hot": ({"y_test": np.eye(20)}, r"y_test has the shape \(20, 20\): it must be \(20,\)"),
    "too few": ({"y_train": np.zeros(39, np.uint8)}, r"y_train has the shape \(39,\): it must be \(40,\)"),
    "objects": ({"x_train": np.array([{}, 1], dtype=object)}, "cannot be read as .npz .*Download it again"),
}


@pytest.mark.parametrize(("changed", "says"), WRONG_ARRAYS.values(), ids=WRONG_ARRAYS)
def test_wrong_arrays(changed, says, tmp_path):
    file = write_npz(tmp_path / "mnist.npz", **changed)
    with pytest.raises(DataError, match=says) as error:
        read_mnist(str(file))
    assert str(file) in str(error.value)


def test_wrong_files(tmp_path):
    file = tmp_path / "mnist.npz"
    whole = write_npz(tmp_path / "whole.npz").read_bytes()
    file.write_bytes(whole[:-900])
    with pytest.raises(DataError, match=r"mnist\.npz is no \.npz file, or its end is missing"):
        read_mnist(str(file))
    file.write_bytes(whole[:5000] + b"scratched" + whole[5009:])
    with pytest.raises(DataError, match=r"mnist\.npz cannot be read as \.npz"):
        read_mnist(str(file))
    np.savez(file, train_images=1, x_test=1, images=1)
    with pytest.raises(DataError, match=r"lacks the array x_train, y_train, y_test. It holds train_images"):
        read_mnist(str(file))
    np.savez(file, x_val=1, x_train=1, x_valid=1, y_train=1)
    with pytest.raises(DataError, match=r"x_val and x_valid could each be the val split"):
        read_mnist(str(file))


def arrays_of(num: dict[str, int], shape: tuple[int, ...], labels: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Noise in this shape for each split, with these labels in turn."""
    rng, arrays = np.random.default_rng(0), {}
    for split, count in num.items():
        arrays[f"x_{split}"] = rng.integers(0, 256, (count, *shape), dtype=np.uint8)
        arrays[f"y_{split}"] = np.resize(np.array(labels, np.uint8), count)
    return arrays


def test_another_data_set_is_read_as_it_is(tmp_path, make_batches):
    """Two classes, a validation split, labels in a column (as in MedMNIST), colour, another size."""
    arrays = arrays_of({"train": 8, "val": 4, "test": 6}, (20, 30, 3), (3, 7))
    arrays["y_val"] = arrays["y_val"][:, None]
    np.savez(tmp_path / "x.npz", **arrays)
    catalog = MNIST(str(tmp_path / "x.npz")).load()
    assert catalog.classes == ("3", "7")
    assert catalog.table["split"].value_counts().to_dict() == {"train": 8, "test": 6, "val": 4}
    np.testing.assert_array_equal(catalog.reader("val/00001"), arrays["x_val"][1])
    assert "images of 30x20 pixels; they are scaled to data.image_size" in catalog.notes[1]
    splits = make_batches(source=MNIST(str(tmp_path / "x.npz"))).splits
    assert splits.counts() == {"train": 8, "val": 4, "test": 6}
    assert not any("held out of train" in note for note in splits.notes)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"y_train": np.zeros(8, np.uint8), "y_test": np.zeros(6, np.uint8)}, "has label 0 only"),
        ({"x_test": np.full((6, 9, 9), 9, np.uint8)}, "images of its splits have different shapes"),
        (
            {"y_train": np.array(["cat", "dog"] * 4)},
            "y_train holds <U3: it must hold whole numbers",
        ),
        ({"y_train": np.eye(8)}, r"y_train has the shape \(8, 8\): it must be \(8,\)"),
        ({"x_train": np.full((8, 5, 5, 4), 9, np.uint8)}, r"must be \(N, H, W\) or, in RGB, \(N, H, W, 3\)"),
    ],
)
def test_another_data_set_is_refused(changed, says, tmp_path):
    np.savez(tmp_path / "x.npz", **{**arrays_of({"train": 8, "test": 6}, (5, 5), (0, 1)), **changed})
    with pytest.raises(DataError, match=says):
        MNIST(str(tmp_path / "x.npz")).load().usable()


@pytest.mark.data
def test_pneumonia(shared_data):
    catalog = MNIST(str(shared_data / "sets" / "pneumoniamnist" / "pneumoniamnist.npz")).load().usable()
    assert catalog.classes == ("0", "1")
    assert catalog.table["split"].value_counts().to_dict() == {"train": 4682, "val": 524, "test": 624}


def test_nothing_there(tmp_path):
    with pytest.raises(DataError, match=r"data\.root has no value"):
        read_mnist(None)
    with pytest.raises(DataError, match=r"gone does not exist \(looked for"):
        read_mnist("gone")
    with pytest.raises(DataError, match=r"holds neither mnist.npz nor .*train-images-idx3-ubyte"):
        read_mnist(str(tmp_path))
    write_idx(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match=r"lacks t10k-labels-idx1-ubyte \(or the same with \.gz\)"):
        read_mnist(str(tmp_path))


VALUES = idx_bytes(np.arange(6, dtype=np.uint8).reshape(1, 2, 3))
BROKEN = {
    "a web page": (b"<html>", r"is no idx file of bytes \(it begins with b'<htm'\)"),
    "of floats": (b"\0\0\x0d" + VALUES[3:], "is no idx file of bytes"),
    "empty": (b"", r"is no idx file of bytes \(it begins with b''\)"),
    "half a header": (VALUES[:9], "is broken"),
    "cut off": (VALUES[:-1], r"should hold 6 values, of shape \(1, 2, 3\), but holds 5\. Download it again"),
    "too long": (VALUES + b"1", r"should hold 6 values, of shape \(1, 2, 3\), but holds more"),
    "enormous": (VALUES[:4] + b"\xff" * 12, r"of shape \(4294967295, 4294967295, 4294967295\), but holds 0"),
}


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(("content", "says"), BROKEN.values(), ids=BROKEN)
def test_broken_idx(content, says, compressed, tmp_path):
    file = tmp_path / ("x.gz" if compressed else "x")
    file.write_bytes(gzip.compress(content) if compressed else content)
    with pytest.raises(DataError, match=says) as error:
        read_idx(file)
    assert str(file) in str(error.value)


def test_broken_compression(tmp_path):
    file = tmp_path / "x.gz"
    file.write_bytes(gzip.compress(VALUES)[:-9])
    with pytest.raises(DataError, match="is broken"):
        read_idx(file)
    file.write_bytes(VALUES)
    with pytest.raises(DataError, match="is broken"):
        read_idx(file)


@pytest.mark.data
def test_the_real_one(shared_data):
    """The mean and standard deviation that everyone knows."""
    train, test = read_mnist(str(shared_data / "digits" / "mnist.npz")).values()
    assert train.images.shape == (60000, 28, 28)
    assert test.images.shape == (10000, 28, 28)
    assert train.images.mean() / 255 == pytest.approx(0.1307, abs=5e-5)
    assert train.images.std() / 255 == pytest.approx(0.3081, abs=5e-5)
    assert train.labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert test.labels[:5].tolist() == [7, 2, 1, 0, 4]
