"""Readers: each fault of a file is one sentence with path, fault and fix."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from transferlab.run import reading
from transferlab.run.reading import UnreadableFile, read_arrays, read_config, read_csv, read_json, read_yaml
from transferlab.run.record_shapes import EnvironmentRecord, ResultRecord
from transferlab.run.run_folder import Run

READERS = {
    "JSON": lambda file: read_json(file),
    "YAML": lambda file: read_yaml(file),
    "config": lambda file: read_config(file),
    "CSV": lambda file: read_csv(file, ["epoch"]),
    "safetensors": lambda file: read_arrays(file),
}
DAMAGED = {
    "empty": b"",
    "random": bytes(range(256)),
    "cut": b'{"a": [1, 2',
    "another type": b"[1, 2]",
    "deep": b"[" * 100_000,
    "zero bytes": b"a: \0\n",
    "twice": b"a: 1\na: 2\nb: {a: 1, a: 2",
    "tag": b"!!python/object:os.system {}",
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_every_fault_is_one_sentence(read, content):
    file = Path("x")
    file.write_bytes(content)
    with pytest.raises(UnreadableFile) as caught:
        read(file)
    text = str(caught.value)
    assert text.startswith("x: ")
    assert text.endswith(f". Fix: {reading.COPY_AGAIN}.")
    assert len(text.splitlines()) == 1
    assert len(text) < 320


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_a_folder_in_the_place_of_a_file(read):
    Path("x").mkdir()
    with pytest.raises(UnreadableFile, match=r"^x: cannot be read \(Is a directory\)\. Fix: "):
        read(Path("x"))
    with pytest.raises(UnreadableFile, match=r"^y: cannot be read \(No such file or directory\)\. Fix: "):
        read(Path("y"))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_marks_of_editors(encoding):
    Path("x").write_bytes('{"é": 1}\r\n'.encode(encoding))
    assert read_json(Path("x")) == {"é": 1}
    assert read_yaml(Path("x")) == {"é": 1}


def test_a_config_follows_the_rules_of_configs():
    Path("x").write_text("base: 1e-3\n")
    assert read_config(Path("x")).base == 0.001
    Path("x").write_text("seed: 1\nseed: 2\n")
    with pytest.raises(UnreadableFile, match="duplicate key seed"):
        read_config(Path("x"))


def test_arrays():
    Path("x").write_bytes(save({"a": np.arange(3)}))
    assert read_arrays(Path("x"))["a"].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ({"status": "done"}, "`status`: input should be 'running', 'finished', 'failed' or 'interrupted'"),
        ({"test": 3}, "`test`: input should be a valid dictionary"),
        ({"test": {"accuracy": "high"}}, "`test.accuracy`: input should be a valid number"),
        ({"warnings": "none"}, "`warnings`: input should be a valid list"),
        (
            {"selection": {"target": {"last": 3}}},
            "`selection.target.last`: input should be a valid dictionary",
        ),
        ([], "input should be a valid dictionary"),
        (None, "input should be a valid dictionary"),
    ],
)
def test_shapes(content, fault):
    Path("result.json").write_text(json.dumps(content))
    with pytest.raises(UnreadableFile) as caught:
        read_json(Path("result.json"), ResultRecord)
    assert str(caught.value) == f"result.json: {fault}. Fix: {reading.COPY_AGAIN}."


def test_further_keys_and_undefined_numbers_are_fine():
    content = {
        "status": "finished",
        "test": {"accuracy": 1, "auroc": float("nan"), "loss": None},
        "mine": [1],
    }
    Path("result.json").write_text(json.dumps(content))
    found = Run(".").result
    assert json.dumps(found) == json.dumps(content)
    Path("environment.json").write_text(json.dumps({"threads": "2"}))
    with pytest.raises(UnreadableFile, match=r"^environment\.json: `threads`: input should be"):
        read_json(Path("environment.json"), EnvironmentRecord)
