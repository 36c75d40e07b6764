"""Reads an offline W&B run back from its `.wandb` file: LevelDB log blocks of protobuf records."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_BLOCK, _HEADER = 32768, 7  # bytes; a record never crosses a block, it is cut in parts
_FULL, _LAST = 1, 4  # kinds of parts that end a record


@dataclass
class WandbRun:
    """What a run has told W&B."""

    run_id: str = ""
    project: str = ""
    group: str = ""
    tags: list[str] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    exit_code: int | None = None  # None: it was not finished


def read_wandb(folder: Path, *, wait_s: float = 20.0) -> WandbRun:
    """The one offline run in a run folder; W&B's own process writes the end of its file a little later."""
    (file,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    give_up = time.monotonic() + wait_s
    while (run := _read(file)).exit_code is None and time.monotonic() < give_up:
        time.sleep(0.1)
    return run


def _read(file: Path) -> WandbRun:
    from wandb.proto import wandb_internal_pb2 as protocol

    run = WandbRun()
    for content in _records(file.read_bytes()):
        record = protocol.Record()
        record.ParseFromString(content)
        kind = record.WhichOneof("record_type")
        if kind == "run":
            run.run_id, run.project, run.group = record.run.run_id, record.run.project, record.run.run_group
            run.tags = list(record.run.tags)
            run.config |= _items(record.run.config.update)
        elif kind == "config":
            run.config |= _items(record.config.update)
        elif kind == "history":
            run.history.append(_items(record.history.item))
        elif kind == "summary":
            run.summary |= _items(record.summary.update)
        elif kind == "exit":
            run.exit_code = record.exit.exit_code
    return run


def _records(data: bytes) -> Iterator[bytes]:
    position, parts = _HEADER, []
    while position + _HEADER <= len(data):
        left = _BLOCK - position % _BLOCK
        if left < _HEADER:
            position += left
            continue
        _, length, kind = struct.unpack("<IHB", data[position : position + _HEADER])
        if kind == 0:
            position += left
            continue
        if position + _HEADER + length > len(data):
            return  # still being written
        parts.append(data[position + _HEADER : position + _HEADER + length])
        position += _HEADER + length
        if kind in (_FULL, _LAST):
            yield b"".join(parts)
            parts = []


def _items(items: Any) -> dict[str, Any]:
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}
