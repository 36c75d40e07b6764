"""Files of the feature store on disk, without reading any features (and without torch).

    <key>/about.json                     what the features of a space are of
    <key>/<rows>-<crc32>.safetensors     a shard: so many rows, and the checksum of the whole file
    <key>.lock                           while a run computes

A shard holds all there is to know of itself, so no index can be lost or contradict it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transferlab.run.cache import entry, remove, write_whole

VERSION = "features 1"  # change it when the format of shards or the meaning of keys changes
_KEY = re.compile(r"[0-9a-f]{32}")
_SHARD = re.compile(r"(\d+)-([0-9a-f]{8})\.safetensors")


def space_key(about: Mapping[str, Any]) -> str:
    """32 hex digits that any change in `about` changes; the order of its keys does not matter.

    Raises:
        TypeError: it holds something that JSON has no notation for.
        ValueError: it holds a NaN or an infinity.
    """
    text = json.dumps(about, sort_keys=True, allow_nan=False)
    return hashlib.blake2b(f"{VERSION}\n{text}".encode(), digest_size=16).hexdigest()


def write_about(space: Path, about: Mapping[str, Any]) -> None:
    """Describe the space in its folder, unless that was done."""
    if _read_about(space) is None:
        write_whole(space / "about.json", f"{json.dumps(about, indent=2)}\n".encode())


def _read_about(space: Path) -> dict[str, Any] | None:
    try:
        about = json.loads((space / "about.json").read_bytes())
    except (OSError, ValueError):
        return None
    return about if isinstance(about, dict) else None


@dataclass(frozen=True)
class ShardFile:
    """A shard by what its name says."""

    path: Path
    num_rows: int
    checksum: int


def shard_name(num_rows: int, checksum: int) -> str:
    return f"{num_rows}-{checksum:08x}.safetensors"


def shard_files(space: Path) -> list[ShardFile]:
    """A space's shards in the order of their names; other files are none of ours."""
    try:
        paths = sorted(space.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    named = [(path, _SHARD.fullmatch(path.name)) for path in paths]
    return [ShardFile(path, int(match[1]), int(match[2], 16)) for path, match in named if match is not None]


def spaces(store: Path) -> Iterator[Path]:
    """The folders of a store's spaces."""
    if store.is_dir():
        yield from (path for path in sorted(store.iterdir()) if _KEY.fullmatch(path.name) and path.is_dir())


@dataclass(frozen=True)
class Listed:
    """A space as the list shows it: a row per image; `used_s` is in seconds since the epoch.

    `about` is empty where it cannot be read.
    """

    key: str
    about: Mapping[str, Any]
    num_rows: int
    num_bytes: int
    used_s: float


def listed(store: Path) -> list[Listed]:
    """The spaces that hold something, the most recently used first."""
    found = []
    for space in spaces(store):
        shards = [(shard, entry(shard.path)) for shard in shard_files(space)]
        there = [(shard, facts) for shard, facts in shards if facts is not None]
        if there:
            found.append(
                Listed(
                    space.name,
                    _read_about(space) or {},
                    sum(shard.num_rows for shard, _ in there),
                    sum(facts.num_bytes for _, facts in there),
                    max(facts.used_s for _, facts in there),
                )
            )
    return sorted(found, key=lambda space: space.used_s, reverse=True)


def clear(store: Path, keys: list[str] | None = None) -> int:
    """Delete spaces by key, or all; runs that use them go on. Returns the number of bytes that shards took.

    Raises:
        OSError: a folder may not be deleted.
    """
    num_bytes = 0
    for space in spaces(store):
        if keys is None or space.name in keys:
            facts = entry(space)
            num_bytes += facts.num_bytes if facts is not None else 0
            remove(space)
    return num_bytes
