from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.data.catalog.mnist_like import digit_arrays, write_npz, write_photos

from transferlab.data.catalog.mnist import MNIST
from transferlab.data.catalog.mnist_m import MNISTM, blend, find_photos, patch_places, read_photo
from transferlab.data.data_error import DataError


@pytest.fixture
def made_of(tmp_path):
    """MNIST's file and a folder of photos."""
    photos = write_photos(tmp_path / "photos", [(40, 30), (30, 50), (28, 28)])
    return {"root": str(write_npz(tmp_path / "mnist.npz")), "photos": str(photos)}


def images(catalog):
    return np.stack([catalog.reader(sample) for sample in catalog.samples])


def test_an_image_is_the_difference_of_a_patch_and_a_digit():
    digits = np.array([[[0, 255], [10, 200]]], np.uint8)
    photo = np.array([[[9, 9, 9], [1, 2, 3], [4, 5, 6]], [[9, 9, 9], [7, 8, 9], [100, 210, 255]]], np.uint8)
    made = blend(digits, photo, np.array([[0.0, 0.999]]))  # the second of two places to the right
    np.testing.assert_array_equal(made, [[[[1, 2, 3], [251, 250, 249]], [[3, 2, 1], [100, 10, 55]]]])
    assert made.dtype == np.uint8


def test_patches_are_cut_wherever_they_fit():
    photo = np.arange(30 * 31 * 3, dtype=np.uint16).reshape(30, 31, 3).astype(np.uint8)
    places = np.random.default_rng(0).random((200, 2))
    made = blend(np.zeros((200, 28, 28), np.uint8), photo, places)
    corners = {(int(top), int(left)) for top, left in places * (3, 4)}
    assert corners == {(top, left) for top in range(3) for left in range(4)}
    for patch, (top, left) in zip(made, (places * (3, 4)).astype(int), strict=True):
        np.testing.assert_array_equal(patch, photo[top : top + 28, left : left + 28])


def test_every_image_shows_its_digit_on_one_of_the_photos(made_of):
    catalog = MNISTM(**made_of).load()
    digits = np.concatenate([digit_arrays()["x_train"], digit_arrays()["x_test"]])
    (number,) = np.flatnonzero([file.name == "02.png" for file in photos_of(made_of)])
    places = np.concatenate([patch_places(40, "train", 0), patch_places(20, "test", 0)])
    rows = np.flatnonzero((places[:, 0] * 3).astype(int) == number)  # of 28x28 px: one patch fits
    assert 10 < len(rows) < 30
    photo = np.asarray(Image.open(photos_of(made_of)[number])).astype(int)
    made = images(catalog)
    for row in rows:
        np.testing.assert_array_equal(made[row], np.abs(photo - digits[row][..., None]))


def photos_of(made_of):
    return sorted(Path(made_of["photos"]).rglob("*.png"))


def test_both_domains_name_and_split_digits_alike(made_of, make_batches):
    data = make_batches(source=MNIST(made_of["root"]), target=MNISTM(**made_of), val_fraction=0.25)
    assert data.splits["test"].catalog.samples == data.splits["source_test"].catalog.samples
    split = data.splits.table().pivot(index="sample", columns="domain", values="split")
    assert (split["source"] == split["target"]).all()
    assert data.splits["test"].catalog.codes.tolist() == data.splits["source_test"].catalog.codes.tolist()


def test_a_sample_is_the_same_however_many_there_are():
    places = patch_places(1000, "train", 0)
    np.testing.assert_array_equal(patch_places(10, "train", 0), places[:10])
    assert not np.array_equal(patch_places(10, "test", 0), places[:10])
    assert not np.array_equal(patch_places(10, "train", 1), places[:10])
    assert (places >= 0).all()
    assert (places < 1).all()
    np.testing.assert_allclose(places.mean(0), 0.5, atol=0.05)


@pytest.mark.slow
def test_another_process_makes_the_same(made_of):
    catalog = MNISTM(**made_of).load()
    pixel = catalog.reader("test/00007")[3, 4]
    here = f"{catalog.fingerprint()} {images(catalog).astype(np.int64).sum()} {pixel}"
    code = (
        "from transferlab.data.catalog.mnist_m import MNISTM\n"
        f"catalog = MNISTM(**{made_of!r}).load()\n"
        "total = sum(int(catalog.reader(sample).sum()) for sample in catalog.samples)\n"
        "print(catalog.fingerprint(), total, catalog.reader('test/00007')[3, 4])"
    )
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert there.stdout.strip() == here


def test_workers_change_nothing(made_of, make_batches):
    options = {"source": MNIST(made_of["root"]), "target": MNISTM(**made_of), "val_fraction": 0.25}
    batches = [
        list(make_batches(28, **options, batch_size=8, num_workers=workers).train()) for workers in (0, 2)
    ]
    assert len(batches[0]) == len(batches[1]) == 3
    for one, other in zip(*batches, strict=True):
        assert (one["target_image"] == other["target_image"]).all()


def contents(**options):
    return MNISTM(**options).load().table["content"]


def test_contents_tell_images_apart(made_of, tmp_path):
    usual = contents(**made_of)
    assert usual.is_unique
    assert usual.equals(contents(**made_of))
    assert not set(usual) & set(MNIST(made_of["root"]).load().table["content"])
    for change in ({"patch_seed": 1}, {"num_photos": 2}, {"photo_px": 29}):
        assert not set(usual) & set(contents(**made_of, **change)), change
    moved = shutil.copytree(made_of["photos"], tmp_path / "elsewhere")
    assert usual.equals(contents(root=made_of["root"], photos=str(moved)))
    (moved / "0" / "00.png").write_bytes((moved / "0" / "02.png").read_bytes())
    assert not set(usual) & set(contents(root=made_of["root"], photos=str(moved)))
    changed = digit_arrays()["x_train"]
    changed[3, 0, 0] ^= 1
    write_npz(tmp_path / "other.npz", x_train=changed)
    differ = usual != contents(root=str(tmp_path / "other.npz"), photos=made_of["photos"])
    assert differ[differ].index.tolist() == [3]


def test_settings_change_the_images(made_of):
    usual = images(MNISTM(**made_of).load())
    for change in ({"patch_seed": 1}, {"num_photos": 1}, {"photo_px": 29}):
        assert not np.array_equal(images(MNISTM(**made_of, **change).load()), usual), change


def test_refusals(made_of):
    with pytest.raises(DataError, match=r"data\.target\.photos=gone is no folder"):
        MNISTM(made_of["root"], photos="gone").load()
    (photos_of(made_of)[0]).write_bytes(b"no photo")
    broken = MNISTM(**made_of).load()
    with pytest.raises(DataError, match=r"00\.png: not an image"):
        broken.reader("train/00000")


@pytest.mark.data
@pytest.mark.slow
def test_the_real_one(shared_data):
    """In colour, and where there is ink, as bright as the ground is dark."""
    root, photos = str(shared_data / "digits" / "mnist.npz"), str(shared_data / "flowers")
    catalog = MNISTM(root, photos=photos).load()
    assert len(catalog) == 70000
    assert catalog.table["content"].is_unique
    made = np.stack([catalog.reader(f"test/{row:05d}") for row in range(10000)])
    digits = MNIST(root).load()
    ink = np.stack([digits.reader(f"test/{row:05d}") for row in range(10000)])[..., :1] / 255
    ground = made.mean(where=np.broadcast_to(ink == 0, made.shape))
    stroke = made.mean(where=np.broadcast_to(ink == 1, made.shape))
    assert stroke == pytest.approx(255 - ground, abs=5)
    assert (made.max(-1).astype(int) - made.min(-1)).mean() > 20


def test_photos_are_found_at_any_depth_in_the_order_of_their_paths(tmp_path):
    photos = write_photos(tmp_path / "photos", [(30, 30)] * 5)
    (photos / "LICENSE.txt").write_text("no photo")
    (photos / ".hidden.png").write_bytes((photos / "0" / "00.png").read_bytes())
    names = [str(file.relative_to(photos)) for file in find_photos(str(photos), most=None, seed=0)]
    assert names == ["0/00.png", "0/02.png", "0/04.png", "1/01.png", "1/03.png"]


def test_a_choice_depends_on_the_seed_and_the_paths_alone(tmp_path):
    sizes = [(30, 30)] * 12
    here = write_photos(tmp_path / "here", sizes)
    there = write_photos(tmp_path / "there", sizes)

    def chosen(root, seed=0, most=4):
        return [str(file.relative_to(root)) for file in find_photos(str(root), most=most, seed=seed)]

    assert len(chosen(here)) == 4
    assert chosen(here) == chosen(there) == sorted(chosen(here))
    assert chosen(here) != chosen(here, seed=1)
    assert set(chosen(here)) < set(chosen(here, most=8))
    assert len(chosen(here, most=100)) == 12


@pytest.mark.parametrize(
    ("size", "short_side_px", "becomes"),
    [
        ((80, 60), 30, (40, 30)),
        ((60, 80), 30, (30, 40)),
        ((80, 60), 60, (80, 60)),
        ((80, 60), 100, (80, 60)),
        ((80, 60), None, (80, 60)),
        ((1000, 41), 40, (976, 40)),
    ],
)
def test_large_photos_are_reduced_and_none_enlarged(size, short_side_px, becomes, tmp_path):
    (file,) = find_photos(str(write_photos(tmp_path, [size])), most=None, seed=0)
    photo = read_photo(file, short_side_px=short_side_px, patch_px=28)
    assert photo.shape == (becomes[1], becomes[0], 3)
    assert photo.dtype == np.uint8
    if becomes == size:
        np.testing.assert_array_equal(photo, np.asarray(Image.open(file)))


def test_reduction_is_a_mean(tmp_path):
    halves = np.zeros((60, 60, 3), np.uint8)
    halves[:, ::2] = 200
    Image.fromarray(halves).save(tmp_path / "stripes.png")
    photo = read_photo(tmp_path / "stripes.png", short_side_px=30, patch_px=28)
    np.testing.assert_allclose(photo[:, 2:-2], 100, atol=1)


def test_nothing_there(tmp_path):
    with pytest.raises(DataError, match=r"data\.target\.photos has no value"):
        find_photos(None, most=None, seed=0)
    with pytest.raises(DataError, match=r"data\.target\.photos=gone is no folder \(looked for"):
        find_photos("gone", most=None, seed=0)
    (tmp_path / "notes.txt").write_text("no photo")
    with pytest.raises(DataError, match="holds no images, at any depth"):
        find_photos(str(tmp_path), most=None, seed=0)


def test_unusable_photos_are_named(tmp_path):
    small = tmp_path / "small.png"
    Image.fromarray(np.zeros((27, 40, 3), np.uint8)).save(small)
    with pytest.raises(DataError, match=r"small\.png has 40x27 pixels, but patches have 28x28"):
        read_photo(small, short_side_px=None, patch_px=28)
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no photo")
    with pytest.raises(DataError, match=r"broken\.jpg: not an image.* move it out of the folder"):
        read_photo(broken, short_side_px=None, patch_px=28)
