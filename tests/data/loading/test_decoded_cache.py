from __future__ import annotations

import os
import pickle
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from transferlab.data.augmentation.pipeline import Augmentation
from transferlab.data.batches import Batches
from transferlab.data.catalog.folder import Folder
from transferlab.data.image.preprocessing import Preprocessing
from transferlab.data.loading import decoded_cache
from transferlab.data.loading.decoded_cache import DecodedReader, decoded

PREPARED = Preprocessing(image_size=8)


@pytest.fixture
def catalog(image_folder):
    return Folder(str(image_folder({"a": 4, "b": 4}))).load()


def stores(own_cache):
    return sorted(path.parent.name for path in (own_cache / "decoded").glob("*/index.npz"))


def test_small_images_are_stored_as_they_are(catalog, own_cache):
    reader = decoded([catalog], PREPARED, most_gib=1.0)
    assert isinstance(reader, DecodedReader)
    assert reader.in_memory
    for sample in catalog.samples:
        np.testing.assert_array_equal(reader(sample), catalog.reader(sample))
    assert len(stores(own_cache)) == 1


def test_large_images_are_shrunk_as_evaluation_shrinks_them(catalog, monkeypatch):
    monkeypatch.setattr(decoded_cache, "SHORT_SIDE_PX", 9)
    prepared = Preprocessing(image_size=8, crop_pct=0.875)  # short side 9
    reader = decoded([catalog], prepared, most_gib=1.0)
    transform = prepared.evaluated
    for sample in catalog.samples:
        assert reader(sample).shape == (9, 10, 3)  # of 10 x 12
        one, other = (
            transform(torch.from_numpy(read(sample)).permute(2, 0, 1)) for read in (reader, catalog.reader)
        )
        assert torch.equal(one, other)


def test_a_second_use_decodes_nothing(catalog):
    decoded([catalog], PREPARED, most_gib=1.0)
    unreadable = replace(catalog, reader=replace(catalog.reader, root=Path("gone")))
    assert isinstance(decoded([unreadable], PREPARED, most_gib=1.0), DecodedReader)


def test_changed_contents_make_another_store(catalog, own_cache, image_folder):
    decoded([catalog], PREPARED, most_gib=1.0)
    path = catalog.reader.path(catalog.samples[0])
    path.write_bytes(catalog.reader.path(catalog.samples[1]).read_bytes())
    changed = Folder(str(catalog.reader.root)).load()
    reader = decoded([changed], PREPARED, most_gib=1.0)
    np.testing.assert_array_equal(reader(changed.samples[0]), reader(changed.samples[1]))
    assert len(stores(own_cache)) == 2


def test_the_least_recently_used_store_goes(catalog, own_cache):
    names = []
    for age, rows in enumerate(([0, 1], [0, 2], [0, 3])):
        part = catalog.select(np.isin(range(8), rows))
        decoded([part], PREPARED, most_gib=1.0)
        (name,) = set(stores(own_cache)) - set(names)
        names.append(name)
        for file in (own_cache / "decoded" / name).iterdir():
            os.utime(file, (age, age))
    decoded([catalog.select(np.isin(range(8), [0, 1]))], PREPARED, most_gib=1.0)  # used again
    size = sum(file.stat().st_size for file in (own_cache / "decoded" / names[0]).iterdir())
    assert size > 2 * 10 * 12 * 3  # two images and their index
    decoded([catalog.select(np.isin(range(8), [0, 4]))], PREPARED, most_gib=3.1 * size / 2**30)
    left = stores(own_cache)
    assert names[0] in left
    assert names[1] not in left
    assert names[2] in left
    assert len(left) == 3


def test_too_small_a_cache_is_said(catalog, own_cache, make_batches):
    reason = decoded([catalog], PREPARED, most_gib=1e-7)
    assert reason == "data.cache_gib=1e-07 holds none of the decoded images"
    data = make_batches(source=Folder(str(catalog.reader.root)), cache="decoded", cache_gib=1e-7)
    assert any("data.cache=decoded has no effect" in note for note in data.splits.notes)


def test_what_does_not_fit_is_decoded_to_the_same_pixels(catalog, own_cache, monkeypatch):
    monkeypatch.setattr(decoded_cache, "SHORT_SIDE_PX", 9)  # of 10
    whole = decoded([catalog], PREPARED, most_gib=1.0)
    assert whole.is_whole
    expected = {sample: np.array(whole(sample)) for sample in catalog.samples}
    for folder in (own_cache / "decoded").iterdir():
        decoded_cache.evict([folder], 0)
    part = decoded([catalog], PREPARED, most_gib=(2048 + 8 * 49 + 3 * 9 * 10 * 3 + 100) / 2**30)
    assert (len(part), part.num_samples, part.is_whole, part.in_memory) == (3, 8, False, False)
    for sample, pixels in expected.items():
        np.testing.assert_array_equal(part(sample), pixels)
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(part))(sample), pixels)
    assert decoded([catalog], PREPARED, most_gib=1.0).is_whole  # made anew, now that it fits


def test_batches_are_the_same_where_a_part_fits(image_folder, make_batches, own_cache):
    options = {"source": Folder(str(image_folder({"a": 12, "b": 12}))), "batch_size": 4}
    plain = make_batches(**options)
    cached = make_batches(**options, cache="decoded", cache_gib=7000 / 2**30)
    (note,) = [note for note in cached.splits.notes if note.startswith("data.cache=decoded: ")]
    assert "of 24 images of the source fit into data.cache_gib" in note
    assert 0 < len(cached.splits["train"].catalog.reader) < 24
    for one, other in zip(plain.train(), cached.train(), strict=True):
        assert all(torch.equal(one[key], other[key]) for key in one)


def test_pixels_lie_in_shards_of_bounded_size(catalog, own_cache, monkeypatch):
    monkeypatch.setattr(decoded_cache, "SHARD_BYTES", 1000)  # two images of 360 bytes
    reader = decoded([catalog], PREPARED, most_gib=1.0)
    sizes = [file.stat().st_size for file in sorted((own_cache / "decoded").glob("*/pixels_*.bin"))]
    assert sizes == [720] * 4
    for sample in catalog.samples:
        np.testing.assert_array_equal(reader(sample), catalog.reader(sample))


@pytest.mark.parametrize("file", ["index.npz", "pixels_00000.bin"])
@pytest.mark.parametrize("damage", [b"PK cut", b""])
def test_a_damaged_store_is_made_anew(catalog, own_cache, file, damage):
    decoded([catalog], PREPARED, most_gib=1.0)
    (path,) = (own_cache / "decoded").glob(f"*/{file}")
    path.write_bytes(damage)
    reader = decoded([catalog], PREPARED, most_gib=1.0)
    for sample in catalog.samples:
        np.testing.assert_array_equal(reader(sample), catalog.reader(sample))


def test_a_killed_maker_leaves_no_half_store(catalog, own_cache, monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(decoded_cache.np, "savez", interrupted)
        with pytest.raises(KeyboardInterrupt):
            decoded([catalog], PREPARED, most_gib=1.0)
    assert stores(own_cache) == []
    assert isinstance(decoded([catalog], PREPARED, most_gib=1.0), DecodedReader)


def _pixels(root: str) -> int:
    catalog = Folder(root).load()
    reader = decoded([catalog], PREPARED, most_gib=1.0)
    return int(sum(reader(sample).sum(dtype=np.int64) for sample in catalog.samples))


def test_jobs_of_a_sweep_share_one_store(catalog, own_cache):
    import multiprocessing

    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
        sums = list(pool.map(_pixels, [str(catalog.reader.root)] * 4))
    assert len(set(sums)) == 1
    assert len(stores(own_cache)) == 1


@pytest.mark.parametrize("num_workers", [0, 2])
def test_batches_are_the_same_with_and_without(image_folder, make_batches, num_workers):
    options = {
        "source": Folder(str(image_folder({"a": 12, "b": 12}))),
        "augmentation": Augmentation(min_crop_area=0.5, horizontal_flip=0.5),
        "batch_size": 4,
        "num_workers": num_workers,
    }
    plain, cached = make_batches(**options), make_batches(**options, cache="decoded")
    for loaders in (Batches.train, lambda data: data.evaluation("test")):
        for one, other in zip(loaders(plain), loaders(cached), strict=True):
            assert all(torch.equal(one[key], other[key]) for key in one)
    assert isinstance(cached.splits["train"].catalog.reader, DecodedReader)


def test_the_choice_of_workers_is_said(image_folder, make_batches):
    root = str(image_folder({"a": 4, "b": 4}))
    said = {
        cache: make_batches(source=Folder(root), num_workers="auto", cache=cache).splits.notes[-1]
        for cache in ("none", "decoded")
    }
    assert said["decoded"] == "data.num_workers=auto: 0, for the images are in memory."
    assert "images are decoded while training" in said["none"]
