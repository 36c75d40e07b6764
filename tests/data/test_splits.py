"""Two folders as two domains: classes in one of them only, sizes that differ, images in both."""

from __future__ import annotations

import shutil

import pytest
from tests.data.conftest import write_image

from transferlab.data.catalog.folder import Folder
from transferlab.data.errors import DataError


@pytest.fixture
def domains(tmp_path):
    """`domains({"a": 5}, {"a": 7})` makes two folders with so many pictures a class, all different."""

    def make(source: dict[str, int], target: dict[str, int]) -> dict[str, Folder]:
        seed = 0
        for root, counts in (("source", source), ("target", target)):
            for name, num in counts.items():
                for _ in range(num):
                    seed += 1
                    write_image(tmp_path / root / name / f"{seed:04d}.png", seed)
        return {root: Folder(str(tmp_path / root)) for root in ("source", "target")}

    return make


def test_unequal_sizes(domains, make_batches):
    """A step takes as many of each domain as it should, whichever is the larger; an epoch is the source's."""
    for source, target in ((60, 10), (10, 60)):
        folders = domains({"a": source, "b": source}, {"a": target, "b": target})
        data = make_batches(**folders, batch_size=6, target_batch_size=4)
        batches = list(data.train())
        assert len(batches) == len(data.splits["train"]) // 6
        for batch in batches:
            assert batch["image"].shape[0] == batch["label"].shape[0] == 6
            assert batch["target_image"].shape[0] == 4
        for folder in folders.values():
            shutil.rmtree(folder.root)


def test_a_small_target_comes_again_and_again_and_evenly(domains, make_batches):
    data = make_batches(**domains({"a": 60, "b": 60}, {"a": 5, "b": 5}), batch_size=6, target_batch_size=4)
    assert len(data.splits["target_train"]) == 6
    seen = [batch["target_image"].flatten(1) for batch in data.train()]
    images = [image.numpy().tobytes() for batch in seen for image in batch]
    counts = {image: images.count(image) for image in images}
    assert len(counts) == 6
    assert set(counts.values()) <= {len(images) // 6, len(images) // 6 + 1}


def test_steps_an_epoch_are_what_one_asks_for(domains, make_batches):
    folders = domains({"a": 10, "b": 10}, {"a": 30, "b": 30})
    data = make_batches(**folders, batch_size=4, steps_per_epoch=9)
    assert len(list(data.train())) == 9


def test_classes_of_the_source_alone_are_told(domains, make_batches):
    data = make_batches(**domains({"a": 5, "b": 5, "c": 5}, {"a": 5, "c": 5}))
    assert data.splits.classes == ("a", "b", "c")
    assert data.splits["test"].catalog.class_counts.tolist() == [1, 0, 1]
    assert "The target has no images of b: the source alone has these classes." in data.splits.notices
    assert not [
        notice
        for notice in make_batches(**domains({"a": 5, "b": 5}, {"a": 5, "b": 5})).splits.notices
        if "target" in notice
    ]


def test_classes_of_the_target_alone_are_refused(domains, make_batches):
    folders = domains({"a": 5, "b": 5}, {"a": 5, "b": 5, "c": 5, "d": 5})
    with pytest.raises(DataError, match=r"classes that the source lacks: c, d\. The source has a, b"):
        make_batches(**folders)


def test_a_domain_is_not_adapted_to_itself(domains, make_batches):
    source = domains({"a": 5, "b": 5}, {})["source"]
    with pytest.raises(DataError, match="All 10 images of the target are images of the source, too"):
        make_batches(source=source, target=source)
