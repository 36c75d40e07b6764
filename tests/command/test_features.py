"""`transferlab features`: what is listed, what is deleted, how quickly."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from transferlab.command import features
from transferlab.feature.layout import shard_name, space_key
from transferlab.run.cache import write_whole
from transferlab.run.errors import UserError

ABOUTS = [
    {"network": "resnet18", "boundary": 5, "image_size": 224, "precision": "32-true"},
    {"network": "vit_small_patch16_224", "boundary": 12, "image_size": 224, "precision": "bf16-mixed"},
    {"weights": "0f"},
]
QUICK = """\
import sys
from transferlab.cli import main
try:
    main(["features", "list"])
except SystemExit:
    print([name for name in ("torch", "numpy", "safetensors", "pandas") if name in sys.modules])
"""


@pytest.fixture
def store(tmp_path, monkeypatch):
    """Three spaces of 1, 2 and 3 MiB, the last one used last."""
    import json

    monkeypatch.setenv("TRANSFERLAB_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "cache" / "features"
    for number, about in enumerate(ABOUTS):
        space = folder / space_key(about)
        write_whole(space / "about.json", json.dumps(about).encode())
        for part in range(number + 1):
            write_whole(space / shard_name(100, part), bytes(2**20))
            used = datetime(2026, 1, 31, 12, 10 * number + part).timestamp()
            os.utime(space / shard_name(100, part), (used, 0))
    return folder


def test_the_list(store, capsys):
    assert features.run(["list"]) == 0
    keys = [space_key(about)[:8] for about in ABOUTS]
    assert capsys.readouterr().out == (
        "key       network                boundary  image  precision   rows  MiB  last used\n"
        f"{keys[2]}  -                      -         -      -            300  3.0  2026-01-31 12:22\n"
        f"{keys[1]}  vit_small_patch16_224  12        224    bf16-mixed   200  2.0  2026-01-31 12:11\n"
        f"{keys[0]}  resnet18               5         224    32-true      100  1.0  2026-01-31 12:00\n"
        f"6.0 MiB in {store}\n"
    )


def test_nothing_to_list(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TRANSFERLAB_CACHE", str(tmp_path))
    features.run(["list"])
    features.run(["clear"])
    folder = tmp_path / "features"
    assert capsys.readouterr().out == f"no features in {folder}\ndeleted 0.0 MiB from {folder}\n"
    assert not folder.exists()


def test_an_unreadable_description_is_shown_as_such(store, capsys):
    (store / space_key(ABOUTS[0]) / "about.json").write_text("[")
    features.run(["list"])
    assert capsys.readouterr().out.splitlines()[3].split()[1:5] == ["-"] * 4


def test_clear_everything(store, capsys):
    (store / "mine").mkdir()
    assert features.run(["clear"]) == 0
    assert capsys.readouterr().out == f"deleted 6.0 MiB from {store}\n"
    assert [path.name for path in store.iterdir()] == ["mine"]


def test_clear_some(store, capsys):
    keys = [space_key(about) for about in ABOUTS]
    features.run(["clear", keys[0][:8], keys[2]])
    assert capsys.readouterr().out == f"deleted 4.0 MiB from {store}\n"
    assert [path.name for path in store.iterdir()] == [keys[1]]


def test_keys_that_name_none_or_several(store):
    with pytest.raises(UserError) as caught:
        features.run(["clear", "xyz"])
    assert str(caught.value) == (
        "xyz: no stored features have this key. transferlab features list shows the keys."
    )
    for key in ("a" * 32, "a" * 31 + "b"):
        write_whole(store / key / shard_name(1, 0), b"")
    with pytest.raises(UserError, match=r"^aaaaaaaa: several begin so: a{3}[ab, ]+\. transferlab"):
        features.run(["clear", "aaaaaaaa"])
    assert len(list(store.iterdir())) == 5


@pytest.mark.skipif(os.geteuid() == 0, reason="root may delete everywhere")
def test_a_store_that_may_not_be_cleared(store):
    store.chmod(0o500)
    with pytest.raises(UserError, match="cannot be cleared: Permission denied"):
        features.run(["clear"])
    store.chmod(0o700)


@pytest.mark.parametrize(
    ("given", "told"), [([], "nothing"), (["x"], "x"), (["list", "x"], "list x"), (["clean", "a"], "clean a")]
)
def test_mistakes(given, told):
    with pytest.raises(UserError) as caught:
        features.run(given)
    assert str(caught.value) == (
        f"transferlab features takes list, or clear with keys or without, not {told}."
    )


def test_nothing_heavy_is_imported(store):
    done = subprocess.run([sys.executable, "-c", QUICK], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-2:] == [f"6.0 MiB in {Path(store)}", "[]"], done.stderr
