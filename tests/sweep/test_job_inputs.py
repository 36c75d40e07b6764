"""What a job reads is part of what it is: images, labels, parts and weights, each hashed once."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image

from transferlab.config.compose import compose_checked
from transferlab.data.catalog.folder import Folder
from transferlab.run.errors import UserError
from transferlab.sweep import job_inputs
from transferlab.sweep.job_inputs import inputs_of, short_hash


@pytest.fixture(autouse=True)
def _as_in_a_new_process(monkeypatch):
    monkeypatch.setattr(job_inputs, "_known", {})


def photos(root: str = "photos") -> list[str]:
    """Overrides for a folder of three images of each of two classes, which it makes."""
    for number in range(6):
        file = Path(root) / ("a" if number < 3 else "b") / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8, 3), number, np.uint8)).save(file)
    return ["data=folder", f"data.root={root}", "backbone=letters_resnet"]


def again(overrides: list[str]) -> dict[str, str]:
    """What a process that begins now would find."""
    job_inputs._known.clear()
    return inputs_of(compose_checked(overrides).config)


def test_they_change_with_what_is_in_the_files():
    overrides = photos()
    first = again(overrides)
    assert sorted(first) == ["backbone.weights", "data.source"]
    assert again(overrides) == first
    assert again([*overrides, "seed=3", "data.batch_size=2", "data.split_seed=4"]) == first
    Path("photos/a/0.png").touch()
    assert again(overrides) == first  # a date is no content
    Image.fromarray(np.full((8, 8, 3), 99, np.uint8)).save("photos/a/0.png")
    pixels = again(overrides)
    assert pixels["data.source"] != first["data.source"]
    assert pixels["backbone.weights"] == first["backbone.weights"]
    Path("photos/a/0.png").rename("photos/b/0.png")
    label = again(overrides)
    assert label["data.source"] not in (first["data.source"], pixels["data.source"])


def test_they_change_with_parts_and_groups_of_a_table():
    photos()
    rows = [f"photos/{'a' if n < 3 else 'b'}/{n}.png,{'a' if n < 3 else 'b'}" for n in range(6)]
    table = [
        *("data=table", "data.source.table=table.csv", "data.source.group_column=group"),
        *("data.source.path_column=image", "data.source.label_column=label"),
    ]
    found = []
    for groups in (["p", "q"] * 3, ["p", "p", "q"] * 2):
        lines = [f"{row},{group}" for row, group in zip(rows, groups, strict=True)]
        Path("table.csv").write_text("\n".join(["image,label,group", *lines]) + "\n")
        found.append(again(table)["data.source"])
    assert found[0] != found[1]


def test_a_catalog_is_read_once_for_all_jobs(monkeypatch):
    overrides, read = photos(), []
    original = Folder.load
    monkeypatch.setattr(Folder, "load", lambda self: (read.append(self.root), original(self))[1])
    for seed in range(5):
        inputs_of(compose_checked([*overrides, f"seed={seed}", f"data.batch_size={seed + 1}"]).config)
    assert read == ["photos"]
    photos("others")
    inputs_of(compose_checked([*overrides, "data.root=others"]).config)
    assert read == ["photos", "others"]


def test_what_can_not_be_read_is_an_error():
    config = compose_checked(photos()).config
    Path("photos").rename("gone")
    with pytest.raises(UserError, match=r"data\.root=photos does not exist"):
        inputs_of(config)


def test_the_target_counts_too():
    config = compose_checked(["data=digits_domains", "strategy=dann"]).config
    found = inputs_of(config)
    assert found["data.target"] != found["data.source"]
    other = OmegaConf.merge(config, {"data": {"target": {"max_contrast": 0.5}}})
    assert inputs_of(other)["data.target"] != found["data.target"]
    assert inputs_of(other)["data.source"] == found["data.source"]


def test_short_hash():
    assert re.fullmatch("[0-9a-f]{6}", short_hash({"a": "1"}))
    assert short_hash({"a": "1", "b": "2"}) == short_hash({"b": "2", "a": "1"})
    assert short_hash({"a": "1"}) != short_hash({"a": "2"})
