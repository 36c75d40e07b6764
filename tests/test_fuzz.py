"""Whatever is typed, or stands in a file: a result or an error of ours, never a trace, never a hang.

Each property has a short form for the fast suite and 2,000 examples for the slow one, in parts that run side
by side. The examples are the same in each run; a watchdog ends one that hangs.
"""

from __future__ import annotations

import contextlib
import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from transferlab.config.compose import compose_checked, started
from transferlab.config.overrides import Given, moved_data, read_overrides
from transferlab.config.walk import known_paths
from transferlab.run.errors import UserError
from transferlab.run.run_folder import Run

WATCHDOG_S = 60


class Hang(BaseException):
    """Not an Exception: nothing may swallow it."""


@contextlib.contextmanager
def answered() -> Iterator[None]:
    """Within this an error of ours is an answer; anything else, and a hang, fails the test."""

    def ring(number, frame):
        raise Hang

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(WATCHDOG_S)
    try:
        with contextlib.suppress(UserError):
            yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def examples(count: int):
    return settings(
        max_examples=count,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


PARTS = 4
in_parts = pytest.mark.parametrize("part", range(PARTS))


def at_length(strategy, holds, part: int) -> None:
    """A part of 2,000 examples."""

    @seed(part)
    @examples(2000 // PARTS)
    @given(strategy)
    def checked(example):
        holds(example)

    checked()


with started("train", None) as composer:
    GROUPS = composer.groups
    default = composer.compose(composer.read(["strategy/penalty=[l1,l2_sp]"])[0], [])
    KEYS = sorted(known_paths(default.config))
NASTY = [
    *("", "null", "true", "0", "-1", "1.5", "1e3", "1e400", "nan", "???", "a,b", "1,2", "[1,[2]]", "{a: 1}"),
    *("'", '"', "[", "]", "{", "${", "${seed}", "${nope}", "${a.b}", "~", "~nobody/x", "/", "..", "#1", "%s"),
    *("range(3)", "range(1,2,0)", "glob(*)", "interval(0,1)", "sort(1,a)", "choice(1)", "int(x)", "shuffle("),
    *("2024", "it's", "фото", "photos (1)", "é", "\udce9", "\0", "a\nb", "9" * 400, "x" * 5000, "[" * 300),
    *("{_target_: os.system}", "{_target_: [1]}", "!!python/object:os.system", "*a", "&a", "- a", "<<"),
]
values = st.sampled_from(NASTY) | st.text(max_size=12)
keys = (
    st.sampled_from([*KEYS, *GROUPS, "hydra.run.dir", "hydra/launcher", "experiment", "allow"])
    | st.builds("{}.{}".format, st.sampled_from(KEYS), st.sampled_from(["x", "0", "_target_", ""]))
    | st.builds("{}@{}".format, st.sampled_from(list(GROUPS)), st.sampled_from(["", "data", "_global_", "x"]))
    | st.text(max_size=8)
)
overrides = st.builds("{}{}={}".format, st.sampled_from(["", "", "+", "++", "~"]), keys, values) | values


def composes(given_: list[str]) -> None:
    with answered():
        compose_checked(given_)


@examples(12)
@given(st.lists(overrides, max_size=3))
def test_overrides(given_):
    composes(given_)


@pytest.mark.slow
@in_parts
def test_overrides_at_length(part):
    at_length(st.lists(overrides, max_size=3), composes, part)


@examples(200)
@given(st.lists(overrides, max_size=3))
def test_overrides_are_read(given_):
    with answered():
        found = read_overrides(given_, GROUPS, lambda group: ())
        assert all(isinstance(each, Given | str) for each in found)
    with answered():
        moved_data(given_)


NAMES = [path.rpartition(".")[2] for path in KEYS]
plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from([text for text in NASTY if text.isprintable()]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([path.rpartition(".")[2] for path in KEYS]) | st.text(max_size=4), inner
        )
    ),
    max_leaves=6,
)
sections = st.sampled_from(
    ["data", "backbone", "strategy", "trainer", "fit", "defaults", "hydra", "seed", "name"]
)
bodies = st.builds(
    lambda content: yaml.safe_dump(content, allow_unicode=True).encode("utf-8", "replace"),
    st.dictionaries(sections, plain, max_size=3) | plain,
)
experiments = st.builds(
    lambda head, body, cut, mark: mark + head + body[: len(body) - cut],
    st.sampled_from([b"# @package _global_\n", b"# @package _global_\r\n", b"", b"\t"]),
    bodies | st.binary(max_size=40) | st.sampled_from([b"a: &a [*a]", b"seed: 1\nseed: 2", b"? ?", b"- - -"]),
    st.integers(0, 3),
    st.sampled_from([b"", b"", b"", b"\xef\xbb\xbf", b"\xff\xfe"]),
)


def reads_experiment(content: bytes) -> None:
    file = Path("conf/experiment/mine.yaml")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    composes(["experiment=mine"])


@examples(12)
@given(experiments)
def test_experiment_files(content):
    reads_experiment(content)


@pytest.mark.slow
@in_parts
def test_experiment_files_at_length(part):
    at_length(experiments, reads_experiment, part)


RECORD = {
    "config.yaml": yaml.safe_dump({"kind": "train", "name": "x", "seed": 0, "data": {"root": "p"}}),
    "result.json": json.dumps(
        {
            "status": "finished",
            "seed": 0,
            "warnings": ["a"],
            "metrics": ["accuracy"],
            "test": {"accuracy": 0.5, "samples": 2},
            "per_class": {"cat": {"recall": 0.5}},
            "confusion_matrix": {"classes": ["cat"], "counts": [[1]]},
            "cost": {"epochs": 1},
            "selection": {"rule": "last", "epoch": 0, "target": {"last": {"accuracy": 0.5}}},
        }
    ),
    "environment.json": json.dumps({"threads": 1, "folder": ".", "choices": {"strategy": "dann"}}),
    "inputs.json": json.dumps({"data": "12", "backbone.weights": "34"}),
    "history.csv": "epoch,val/loss\n0,1.5\n1,0.5\n",
    "predictions/test.csv": "sample,label,predicted,p(cat),p(dog)\na,cat,cat,0.9,0.1\nb,dog,cat,0.6,0.4\n",
    "group.json": json.dumps({"members": ["run", "other"]}),
    "sweep.json": json.dumps({"command": "x", "folder": ".", "launcher": {"_target_": "y"}, "sweeper": "z"}),
    "jobs.jsonl": json.dumps({"base": "a", "folder": "a-123456", "config": {}, "choices": {}}) + "\n",
    "model.json": json.dumps(
        {
            "format": 1,
            "architecture": "resnet18",
            "bottleneck_units": None,
            "mean": [0.5] * 3,
            "crop_pct": 1.0,
        }
    ),
}


@st.composite
def damaged(draw) -> tuple[str, bytes]:
    """A file of a run folder, and other content for it: cut, flipped, of another type or value."""
    name = draw(st.sampled_from(list(RECORD)))
    content = RECORD[name].encode()
    kinds = ["cut", "flip", "bytes", "value", "value", "value", "rows", "other", "deep", "utf-16"]
    how = draw(st.sampled_from(kinds))
    if how == "cut":
        return name, content[: draw(st.integers(0, len(content)))]
    if how == "flip":
        place = draw(st.integers(0, len(content) - 1))
        return name, content[:place] + draw(st.binary(min_size=1, max_size=2)) + content[place + 1 :]
    if how == "bytes":
        return name, draw(st.binary(max_size=60))
    if how == "deep":
        return name, draw(st.sampled_from([b"[", b'{"a":', b"{a: ", b"- "])) * draw(
            st.sampled_from([60, 3000])
        )
    if how == "utf-16":
        return name, RECORD[name].encode("utf-16")
    if how == "other":
        return name, RECORD[draw(st.sampled_from(list(RECORD)))].encode()
    if how == "rows":  # permuted, twice, left out, another number of cells
        lines = draw(st.lists(st.sampled_from(RECORD[name].splitlines()), max_size=4))
        cut = draw(st.integers(0, 2))
        rows = [",".join(line.split(",")[cut:]) if draw(st.booleans()) else line for line in lines]
        return name, "\n".join(rows).encode()
    if name.endswith(".csv"):
        cells = [line.split(",") for line in RECORD[name].splitlines()]
        row = draw(st.integers(0, len(cells) - 1))
        cells[row][draw(st.integers(0, len(cells[row]) - 1))] = draw(
            st.sampled_from(["", "nan", "-1", "1e999", '"', "cat", "9" * 40])
        )
        return name, "\n".join(map(",".join, cells)).encode()
    whole = yaml.safe_load(RECORD[name])
    parent, steps = whole, draw(st.integers(0, 2))
    key = draw(st.sampled_from(list(parent)))
    for _ in range(steps):
        if isinstance(parent[key], dict) and parent[key]:
            parent = parent[key]
            key = draw(st.sampled_from(list(parent)))
    if draw(st.booleans()):
        del parent[key]
    else:
        parent[key] = draw(plain)
    return name, json.dumps(whole, default=str).encode("utf-8", "replace")


def reads_run(name: str, content: bytes) -> None:
    """All that reads the records of a run or sweep, without torch."""
    from transferlab.backbone.weights import find_weights
    from transferlab.evaluation.comparison.damage import without_damaged
    from transferlab.evaluation.predictions import Predictions
    from transferlab.run.reading import read_config, read_json
    from transferlab.sweep.gather import gather
    from transferlab.sweep.run_jobs import members_of
    from transferlab.sweep.sweep_record import SweepRecord

    folder = Path("sweep/run")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.safetensors").touch()
    for each, text in RECORD.items():
        file = folder / each
        file.parent.mkdir(parents=True, exist_ok=True)
        if each == name or not file.exists():
            file.write_bytes(content if each == name else text.encode())
    run = Run(folder)
    for read in (
        lambda: run.result,
        lambda: run.status,
        lambda: repr(run),
        lambda: run.environment,
        lambda: run.history,
        run.predictions,
        lambda: Predictions.read(folder / "predictions" / "test.csv"),
        lambda: read_config(run.config_file),
        lambda: read_json(folder / "model.json"),
        lambda: SweepRecord(folder).left_behind(),
        lambda: find_weights(str(folder)),
        lambda: members_of(run),
        lambda: without_damaged(gather([folder]), {}),
    ):
        with answered():
            read()
    (folder / name).unlink()


@examples(150)
@given(damaged())
def test_run_folders(example):
    reads_run(*example)


@pytest.mark.slow
@in_parts
def test_run_folders_at_length(part):
    at_length(damaged(), lambda example: reads_run(*example), part)


cells = st.sampled_from(
    ["a.png", "b.png", "", " ", "cat", "dog", "1", "01", '"', "'", "é", "../x", "/etc/passwd", "\0", "nan"]
)
separators = st.sampled_from([",", ";", "\t", "|"])
tables = st.builds(
    lambda head, rows, separator, end: end.join(separator.join(row) for row in [head, *rows]).encode(),
    st.permutations(["path", "label", "x"]) | st.lists(st.sampled_from(["path", "label", ""]), max_size=4),
    st.lists(st.lists(cells, max_size=4), max_size=6),
    separators,
    st.sampled_from(["\n", "\r\n", "\r"]),
) | st.binary(max_size=60)


def reads_table(content: bytes) -> None:
    from transferlab.data.catalog.table import Table

    Path("t.csv").write_bytes(content)
    for name in ("a.png", "b.png"):
        Path(name).touch()
    with answered():
        Table("t.csv").load()


@examples(200)
@given(tables)
def test_tables(content):
    reads_table(content)


@pytest.mark.slow
@in_parts
def test_tables_at_length(part):
    at_length(tables, reads_table, part)
