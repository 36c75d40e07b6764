"""The feature store: computed once, verified, bounded, shared by processes."""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.feature.processes import children, in_child
from transferlab.feature import shard as shard_module
from transferlab.feature import store as store_module
from transferlab.feature.layout import listed, shard_files
from transferlab.feature.rows import Rows
from transferlab.feature.store import FeatureSpace, FeatureStore, StoreFull, StoreUnusable
from transferlab.run import cache

ABOUT = {
    "network": "resnet18",
    "weights": "0f",
    "boundary": 5,
    "image_size": 224,
    "precision": "32-true",
    "transform": {"mean": [0.5, 0.5, 0.5], "interpolation": "bicubic"},
    "dtype": "float32",
    "versions": {"torch": "2.5", "timm": "1.0.20"},
}
WIDTH = 8
ROW_GIB = WIDTH * 4 / 2**30
FOLDER = Path("store")


def keys_of(images: range | list[int]) -> list[str]:
    return [f"{image:04x}/0" for image in images]


def true_features(keys: list[str], dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """What the network makes of the images: any function of the key alone."""
    images = torch.tensor([int(key.split("/")[0], 16) for key in keys])
    return (images[:, None] * 1.5 + torch.arange(WIDTH) / 8).to(dtype)


class Network:
    """Computes features in chunks and remembers which; in a file too, for other processes."""

    def __init__(self, keys: list[str], chunk: int = 4, dtype: torch.dtype = torch.float32) -> None:
        self.keys, self.chunk, self.dtype = keys, chunk, dtype
        self.computed: list[str] = []

    def __call__(self, positions: list[int]) -> Iterator[tuple[list[int], torch.Tensor]]:
        assert positions == sorted(positions)
        for start in range(0, len(positions), self.chunk):
            part = positions[start : start + self.chunk]
            names = [self.keys[position] for position in part]
            self.computed += names
            with Path("computed.txt").open("a") as file:
                file.write("".join(f"{name}\n" for name in names))
            yield part, true_features(names, self.dtype)


def forbidden(positions: list[int]) -> Iterator[tuple[list[int], torch.Tensor]]:
    raise AssertionError(f"computed {positions}")
    yield


def space(most_gib: float = 1.0, **changes: object) -> FeatureSpace:
    return FeatureStore(most_gib=most_gib, folder=FOLDER).space({**ABOUT, **changes})


def fill(images: range | list[int], **changes: object) -> Rows:
    keys = keys_of(images)
    return space(**changes).rows(keys, Network(keys))


@pytest.fixture
def small_shards(monkeypatch):
    """Shards of four rows."""
    monkeypatch.setattr(shard_module, "MOST_BYTES", 4 * WIDTH * 4)


def test_computed_once_and_read_back():
    keys = keys_of(range(10))
    network = Network(keys)
    rows = space().rows(keys, network)
    assert torch.equal(rows.all(), true_features(keys))
    assert (rows.shape, rows.dtype, len(rows), rows.notices) == ((10, WIDTH), torch.float32, 10, ())
    assert network.computed == keys
    again = space().rows(keys[::-1], forbidden)
    assert torch.equal(again.all(), true_features(keys[::-1]))
    assert torch.equal(again.take([9, 0, 0]), true_features([keys[0], keys[9], keys[9]]))
    assert torch.equal(again.take(torch.tensor([3])), true_features([keys[6]]))


def test_only_what_is_missing_is_computed_and_no_key_twice():
    fill(range(3, 6))
    keys = keys_of([5, 9, 1, 9, 4, 1])
    assert space().missing(keys) == 2
    network = Network(keys)
    rows = space().rows(keys, network)
    assert network.computed == keys_of([9, 1])
    assert torch.equal(rows.all(), true_features(keys))
    assert space().missing(keys) == 0
    assert space(weights="other").missing(keys) == 4


@pytest.mark.parametrize("shape", [(), (3,), (2, 3, 4)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_shapes_and_types(shape, dtype, small_shards):
    values = torch.randn(11, *shape).to(dtype)
    keys = keys_of(range(11))

    def compute(positions):
        yield positions[:5], values[:5].requires_grad_()
        yield positions[:4:-1], values.flip(0)[:6]  # another order, not contiguous

    for source in (compute, forbidden):
        rows = space(dtype=str(dtype)).rows(keys, source)
        assert rows.dtype == dtype
        assert rows.shape == (11, *shape)
        assert torch.equal(rows.all(), values)
        assert torch.equal(rows.take([10, 2]), values[[10, 2]])
        assert not rows.all().requires_grad


def test_a_buffer_that_compute_uses_again_is_copied():
    keys = keys_of(range(4))
    buffer = torch.empty(2, WIDTH)

    def compute(positions):
        for pair in (positions[:2], positions[2:]):
            buffer[:] = true_features([keys[position] for position in pair])
            yield pair, buffer

    assert torch.equal(space().rows(keys, compute).all(), true_features(keys))


@pytest.mark.parametrize("in_memory", [True, False])
def test_many_shards_give_the_same_rows(small_shards, monkeypatch, in_memory):
    monkeypatch.setattr("transferlab.feature.rows.IN_MEMORY_BYTES", 2**30 if in_memory else 0)
    images = [7, 3, 11, 0, 5, 3, 9, 2, 10, 1]
    fill(range(12))
    assert [file.num_rows for file in shard_files(space().folder)] == [4, 4, 4]
    rows = space().rows(keys_of(images), forbidden)
    expected = true_features(keys_of(images))
    positions = torch.randint(0, 10, (30,), generator=torch.Generator().manual_seed(0))
    assert torch.equal(rows.take(positions), expected[positions])
    assert torch.equal(rows.all(), expected)
    assert (rows.all() is rows.all()) == in_memory


def test_one_shard_is_mapped_and_not_copied():
    fill(range(100))
    rows = space().rows(keys_of(range(100)), forbidden)
    with Path("/proc/self/maps").open() as maps:
        address = rows.all().data_ptr()
        lines = [line.split() for line in maps]
    (mapped,) = [
        line[-1]
        for line in lines
        if int(line[0].split("-")[0], 16) <= address < int(line[0].split("-")[1], 16)
    ]
    assert mapped == str(shard_files(space().folder)[0].path.resolve())


def test_writing_into_features_does_not_reach_the_disk():
    fill(range(4)).all()[:] = 0
    assert torch.equal(space().rows(keys_of(range(4)), forbidden).all(), true_features(keys_of(range(4))))


@pytest.mark.parametrize(
    "changes",
    [
        {"network": "resnet50"},
        {"weights": "10"},
        {"boundary": 4},
        {"image_size": 225},
        {"precision": "16-mixed"},
        {"transform": {"mean": [0.5, 0.5, 0.4], "interpolation": "bicubic"}},
        {"transform": {"mean": [0.5, 0.5, 0.5], "interpolation": "bilinear"}},
        {"dtype": "float16"},
        {"versions": {"torch": "2.5", "timm": "1.0.21"}},
        {"boundary": "5"},
        {"boundary": None},
        {"more": 1},
    ],
)
def test_the_key_changes_with_each_part(changes):
    assert space().key == space().key == FeatureStore(most_gib=2.0).space(dict(reversed(ABOUT.items()))).key
    assert space(**changes).key != space().key


def test_a_key_of_something_else():
    with pytest.raises(TypeError, match="not JSON serializable"):
        space(weights=Path("x"))
    with pytest.raises(ValueError, match="Out of range float"):
        space(weights=float("nan"))


def flip_a_byte(path: Path, position: int = -3) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


DAMAGE = {
    "a flipped byte of a value": flip_a_byte,
    "a flipped byte of a key": lambda path: flip_a_byte(path, path.read_bytes().index(b"0001/0")),
    "a flipped byte of the length": lambda path: flip_a_byte(path, 2),
    "cut short": lambda path: os.truncate(path, path.stat().st_size - 1),
    "cut to the header": lambda path: os.truncate(path, 100),
    "empty": lambda path: os.truncate(path, 0),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "not ours": lambda path: path.write_bytes(b"foreign " * 100),
    "of other rows": lambda path: path.rename(path.with_name(path.name.replace("4-", "5-", 1))),
    "under another checksum": lambda path: path.rename(path.with_name("4-00000000.safetensors")),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_found_and_mended(damage, small_shards):
    keys = keys_of(range(8))
    fill(range(8))
    path = next(file.path for file in shard_files(space().folder) if b"0001/0" in file.path.read_bytes())
    DAMAGE[damage](path)
    again = Network(keys)
    rows = space().rows(keys, again)
    assert torch.equal(rows.all(), true_features(keys))
    assert again.computed == keys_of(range(4))
    (notice,) = rows.notices
    assert notice.startswith("Stored features were damaged and are computed again: store/")
    assert space().rows(keys, forbidden).notices == ()
    assert [file.num_rows for file in shard_files(space().folder)] == [4, 4]


def test_a_lost_shard_is_computed_again(small_shards):
    fill(range(8))
    shard_files(space().folder)[0].path.unlink()
    assert space().missing(keys_of(range(8))) == 4
    assert torch.equal(fill(range(8)).all(), true_features(keys_of(range(8))))


def test_other_files_are_left_alone():
    fill(range(4))
    for name in ("notes.txt", "4-xyz.safetensors", "model.safetensors"):
        (space().folder / name).write_text("foreign")
    (FOLDER / "mine").mkdir()
    (FOLDER / "mine" / "4-00000000.safetensors").write_text("foreign")
    (space().folder / "about.json").write_text("{")
    fill(range(6), most_gib=ROW_GIB * 100)
    assert len(list(space().folder.iterdir())) == 3 + 3
    assert (FOLDER / "mine" / "4-00000000.safetensors").exists()
    assert listed(FOLDER)[0].about == ABOUT  # written anew


def test_a_file_in_the_spaces_place():
    FOLDER.mkdir()
    space().folder.write_text("foreign")
    with pytest.raises(StoreUnusable, match=r"^The feature store store cannot be used: "):
        fill(range(4))


def test_verified_once_a_process(monkeypatch):
    sums = []
    original = shard_module.zlib.crc32
    monkeypatch.setattr(shard_module.zlib, "crc32", lambda content: sums.append(1) or original(content))
    fill(range(4))
    assert len(sums) == 2  # written, and read back
    fill(range(4))
    assert len(sums) == 2
    shard_module._verified.clear()  # another process
    fill(range(4))
    assert len(sums) == 3
    fill(range(4), weights="other")
    assert len(sums) == 5


def test_many_small_requests_are_joined(monkeypatch):
    monkeypatch.setattr(store_module, "MOST_SMALL", 5)
    before = fill([0])
    for image in range(1, 20):
        fill([image])
    files = shard_files(space().folder)
    assert len(files) <= 6
    assert sum(file.num_rows for file in files) == 20
    assert torch.equal(space().rows(keys_of(range(20)), forbidden).all(), true_features(keys_of(range(20))))
    assert torch.equal(before.take([0]), true_features(keys_of([0])))


def test_full_shards_are_not_joined(small_shards, monkeypatch):
    monkeypatch.setattr(store_module, "MOST_SMALL", 1)
    fill(range(12))
    names = {file.path.name for file in shard_files(space().folder)}
    fill(range(16))
    assert names < {file.path.name for file in shard_files(space().folder)}


def test_slow_computations_are_written_as_time_passes(monkeypatch):
    monkeypatch.setattr(shard_module, "MOST_S", -1.0)
    fill(range(10))
    assert sorted(file.num_rows for file in shard_files(space().folder)) == [2, 4, 4]


# the bound


def used(name: str, age: int) -> None:
    for file in shard_files(space(network=name).folder):
        os.utime(file.path, (age, age))


def test_the_least_recently_used_go_and_what_is_in_use_stays(small_shards):
    for age, name in enumerate("abc"):
        fill(range(8), network=name)
        used(name, age)
    size = entry_size(space(network="a").folder) * 3
    rows = space(network="a").rows(keys_of(range(8)), forbidden)  # used again
    fill(range(8), network="d", most_gib=1.01 * size / 2**30)
    assert {found.about["network"] for found in listed(FOLDER)} == {"a", "c", "d"}
    assert sum(found.num_bytes for found in listed(FOLDER)) <= 1.01 * size
    assert torch.equal(rows.all(), true_features(keys_of(range(8))))


def entry_size(folder: Path) -> int:
    return sum(file.path.stat().st_size for file in shard_files(folder))


def test_other_rows_of_the_same_space_can_go(small_shards):
    fill(range(40))
    size = entry_size(space().folder)
    images = range(38, 60)
    rows = fill(images, most_gib=0.8 * size / 2**30)
    assert torch.equal(rows.all(), true_features(keys_of(images)))
    assert entry_size(space().folder) <= 0.8 * size
    assert space().missing(keys_of(images)) == 0


def test_more_than_the_store_may_hold_is_refused_at_once():
    keys = keys_of(range(100))
    network = Network(keys)
    with pytest.raises(StoreFull) as caught:
        space(most_gib=99.9 * ROW_GIB).rows(keys, network)
    assert len(network.computed) == 4
    assert caught.value.needed_gib == 100 * ROW_GIB
    assert str(caught.value) == (
        "features.cache_gib=2.97725e-06: the features asked for take 2.98e-06 GiB. "
        "Allow as much, or do without them with features.cache=off."
    )
    assert listed(FOLDER) == []


def test_a_reader_whose_space_is_deleted_keeps_working(small_shards):
    keys = keys_of(range(12))
    rows = fill(range(12))
    single = fill(range(2), network="other")

    def evicts():
        fill(range(4), network="third", most_gib=4e-7)
        assert [found.about["network"] for found in listed(FOLDER)] == ["third"]

    assert in_child(evicts) == 0
    assert torch.equal(rows.take([11, 3]), true_features([keys[11], keys[3]]))
    assert torch.equal(single.take([1]), true_features([keys[1]]))
    assert torch.equal(rows.all(), true_features(keys))


# what compute and the disk may do


def test_a_read_only_store_can_be_read(monkeypatch):
    fill(range(4))

    def refused(*arguments, **options):
        raise OSError(errno.EROFS, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "mkdir", refused)
        patch.setattr(os, "utime", refused)
        patch.setattr(cache, "_try", refused)
        assert len(space().rows(keys_of(range(4)), forbidden)) == 4
        with pytest.raises(StoreUnusable) as caught:
            space().rows(keys_of(range(5)), forbidden)
    assert str(caught.value) == (
        "The feature store store cannot be used: Read-only file system. "
        "TRANSFERLAB_CACHE=DIR in the environment puts it elsewhere."
    )


def test_a_full_disk(small_shards, monkeypatch):
    original = Path.write_bytes

    def full(self, content):
        if len(list(self.parent.glob("*.safetensors"))) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(self, content)

    keys = keys_of(range(20))
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(StoreUnusable, match="No space left on device"):
            space().rows(keys, Network(keys))
    assert space().missing(keys) == 12
    assert all(path.suffix != ".making" for path in FOLDER.rglob("*"))
    rest = Network(keys)
    assert torch.equal(space().rows(keys, rest).all(), true_features(keys))
    assert rest.computed == keys_of(range(8, 20))


def test_an_error_of_compute_is_its_own_and_keeps_what_is_done():
    keys = keys_of(range(10))

    def breaks(positions):
        yield positions[:6], true_features(keys[:6])
        raise FileNotFoundError("an image is gone")

    with pytest.raises(FileNotFoundError, match="an image is gone"):
        space().rows(keys, breaks)
    rest = Network(keys)
    space().rows(keys, rest)
    assert rest.computed == keys[6:]


BROKEN = {
    "too few": (lambda positions: [(positions[:1], torch.zeros(1, 2))], r"did not yield the rows \[1, 2\]"),
    "twice": (lambda positions: [(positions, torch.zeros(3, 2))] * 2, "not asked for, or twice"),
    "twice in a chunk": (lambda positions: [([0, 0], torch.zeros(2, 2))], "not asked for, or twice"),
    "not asked": (lambda positions: [([7], torch.zeros(1, 2))], "not asked for, or twice"),
    "lengths": (lambda positions: [(positions, torch.zeros(2, 2))], "not asked for, or twice"),
    "shapes": (
        lambda positions: [([0], torch.zeros(1, 2)), ([1, 2], torch.zeros(2, 3))],
        r"rows of \(3,\) torch.float32 after rows of \(2,\) torch.float32",
    ),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_compute_that_breaks_its_contract(broken):
    compute, text = BROKEN[broken]
    with pytest.raises(ValueError, match=text):
        space().rows(keys_of(range(3)), compute)


def test_an_about_that_does_not_tell_features_apart():
    fill(range(3))
    with pytest.raises(ValueError, match="`about` does not tell them apart"):
        space().rows(keys_of(range(4)), Network(keys_of(range(4)), dtype=torch.float16))


def test_no_keys():
    with pytest.raises(ValueError, match="no keys"):
        space().rows([], forbidden)


# several processes


def test_processes_compute_each_row_once():
    requests = [range(0, 40), range(20, 60), range(50, 10, -1), range(0, 60, 3)]

    def job(number: int) -> None:
        keys = keys_of(requests[number])
        network = Network(keys)

        def slowly(positions):
            for chunk in network(positions):
                time.sleep(0.01)
                yield chunk

        assert torch.equal(space().rows(keys, slowly).all(), true_features(keys))

    assert children(4, job) == [0, 0, 0, 0]
    computed = Path("computed.txt").read_text().split()
    assert sorted(computed) == sorted(keys_of(range(60)))
    assert sum(file.num_rows for file in shard_files(space().folder)) == 60
    assert sorted(path.name for path in FOLDER.iterdir()) == [space().key]


def test_waiting_is_said(monkeypatch, capfd):
    monkeypatch.setattr(cache, "WAIT_S", 0.05)
    keys = keys_of(range(4))

    def first() -> None:
        def slowly(positions):
            Path("started").touch()
            time.sleep(0.5)
            yield from Network(keys)(positions)

        space().rows(keys, slowly)

    def second() -> None:
        while not Path("started").exists():
            time.sleep(0.01)
        space().rows(keys, forbidden)

    assert children(2, lambda number: (first, second)[number]()) == [0, 0]
    assert capfd.readouterr().err == "waiting for another run that computes these features\n"


def test_a_killed_process_leaves_a_usable_store(small_shards):
    keys = keys_of(range(20))

    def killed() -> None:
        def compute(positions):
            for number, chunk in enumerate(Network(keys, chunk=3)(positions)):
                if number == 4:
                    os.kill(os.getpid(), signal.SIGKILL)
                yield chunk

        space().rows(keys, compute)

    assert in_child(killed) == -signal.SIGKILL
    assert space().missing(keys) == 8  # 12 rows were yielded: three whole shards
    rest = Network(keys)
    rows = space().rows(keys, rest)
    assert rest.computed == keys[12:]
    assert torch.equal(rows.all(), true_features(keys))
    assert sorted(path.name for path in FOLDER.iterdir()) == [space().key]


def test_a_process_killed_while_it_writes(small_shards, monkeypatch):
    keys = keys_of(range(8))

    def killed() -> None:
        monkeypatch.setattr(Path, "replace", lambda self, target: os.kill(os.getpid(), signal.SIGKILL))
        space().rows(keys, Network(keys))

    assert in_child(killed) == -signal.SIGKILL
    assert [path.suffix for path in space().folder.iterdir()] == [".making"]
    assert torch.equal(space().rows(keys, Network(keys)).all(), true_features(keys))
    assert {path.suffix for path in space().folder.iterdir()} == {".safetensors", ".json"}
