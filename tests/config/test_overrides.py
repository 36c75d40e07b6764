"""Overrides as they are typed: paths that exist, words alone, and data that has moved."""

from __future__ import annotations

from pathlib import Path

import pytest

from transferlab.config.compose import compose_checked
from transferlab.config.overrides import key_and_value, moved_data
from transferlab.run.errors import UserError

NAMES = [
    *(
        "été",
        "фото",
        "photos (1)",
        "2024",
        "1e3",
        "#1",
        "it's",
        "null",
        "true",
        "a=b,c",
        "50%",
        "a\\b",
        "[x]",
    ),
    *("{x}", 'say "hi"', "a:b", "@home", " a", "end\\"),
]


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_is_taken_as_it_stands(name):
    (Path(name) / "cat").mkdir(parents=True)
    assert compose_checked(["data=folder", f"data.root={name}"]).config.data.root == name
    assert key_and_value(f"data.root={name}") == ("data.root", name)


def test_numbers_stay_numbers_where_a_folder_has_their_name():
    Path("2").mkdir()
    assert (
        compose_checked(["seed=2", "data.source.digit=2" if False else "data.batch_size=2"]).config.seed == 2
    )


def test_a_run_folder_may_be_a_number():
    assert compose_checked(["hydra.run.dir=1e3"]).run_dir == Path("1e3")


def test_a_word_alone(problems):
    Path("my photos").mkdir()
    Path("run").mkdir()
    Path("run/config.yaml").touch()
    Path("t.csv").touch()
    said = "neither group=option nor key=value."
    assert problems("my photos") == [f"my photos: {said} Fix: data=folder 'data.root=my photos'"]
    assert problems("run") == [f"run: {said} To go on with it: transferlab resume run"]
    assert problems("t.csv") == [f"t.csv: {said} Fix: data=table data.source.table=t.csv"]
    assert problems("focal") == [f"focal: {said} Did you mean strategy/objective=focal?"]


@pytest.mark.parametrize(
    "typed", ["seed=range(1,2,0)", "seed=sort(1,a)", "seed=int(x)", "seed=[[[", "seed=\udce9"]
)
def test_what_cannot_be_read(typed, problems):
    [text] = problems(typed)
    assert text.startswith("seed=")


def test_an_experiment_without_its_first_line(problems, write):
    body = "defaults:\n  - override /data: folder\ndata: {root: photos}\n"
    write("conf/experiment/mine.yaml", body)
    write("conf/experiment/other.yml", f"# @package _global_\n{body}")
    assert problems("experiment=mine") == [
        "conf/experiment/mine.yaml: an experiment begins with the line '# @package _global_'; this one does "
        "not."
    ]
    [text] = problems("experiment=other")
    assert text.startswith(
        "experiment=other: there is no such option. conf/experiment/other.yml is there, but a config ends in "
        ".yaml. Fix: rename it to other.yaml."
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("\ufeff# @package _global_\nseed: 3\n".encode(), "a byte order mark hides its first line"),
        ("# @package _global_\nseed: 3\n".encode("utf-16"), "this is UTF-16 text. Fix: save it as UTF-8."),
        (b"# @package _global_\n\tseed: 3\n", "line 2: this is not readable YAML"),
        (b"# @package _global_\nseed: 3\nseed: 4\n", "duplicate key seed"),
    ],
)
def test_odd_yaml(content, said, problems, write):
    write("conf/experiment/mine.yaml", "").write_bytes(content)
    [text] = problems("experiment=mine")
    assert "conf/experiment/mine.yaml" in text
    assert said in text


def test_windows_line_ends(write):
    write("conf/experiment/mine.yaml", "").write_bytes(b"# @package _global_\r\nseed: 3\r\n")
    assert compose_checked(["experiment=mine"]).config.seed == 3


def test_data_that_has_moved():
    assert moved_data(["data.root=new"]) == [f'data.root="{Path("new").absolute()}"']
    with pytest.raises(UserError, match=r"^seed=3: a recorded run keeps its config"):
        moved_data(["seed=3"])
    with pytest.raises(UserError, match="this takes one value"):
        moved_data(["data.root=a,b"])
