from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from tests.data.catalog.mnist_like import write_photos

from transferlab.data.catalog.photo_folder import find_photos, read_photo
from transferlab.data.data_error import DataError


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
    with pytest.raises(DataError, match=r"broken\.jpg: not an image .* move it out of the folder"):
        read_photo(broken, short_side_px=None, patch_px=28)
