"""Every example of docs/own-parts.md runs as it stands there, and is short."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.test_readme import SHORT
from tests.training.processes import in_child
from transferlab import cli

DOCUMENT = (Path(__file__).parents[1] / "docs" / "own-parts.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", DOCUMENT, re.DOTALL | re.MULTILINE))


def blocks(section: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", SECTIONS[section], re.DOTALL)


def write_files(section: str) -> None:
    """Each file where its first line says."""
    for text in blocks(section, "python") + blocks(section, "yaml"):
        file = Path(re.match(r"# ([\w/]+\.(py|yaml))", text)[1])  # type: ignore[index]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


def run(section: str) -> None:
    """All commands of a section, one after the other."""
    for command in "".join(blocks(section, "sh")).splitlines():
        arguments = shlex.split(command)[1:]
        with pytest.raises(SystemExit) as left:
            cli.main(arguments + (SHORT if arguments[0] == "train" else []))
        assert left.value.code == 0, command


def test_each_example_is_short_and_complete():
    assert len(SECTIONS) == 5
    for section in SECTIONS:
        (python,), yaml, commands = (blocks(section, kind) for kind in ("python", "yaml", "sh"))
        assert len(python.splitlines()) <= 20, section
        assert yaml, section
        assert all("allow=[" in line for line in "".join(commands).splitlines()), section


@pytest.mark.slow
@pytest.mark.parametrize("section", SECTIONS)
def test_examples_run(section):
    write_files(section)
    assert in_child(lambda: run(section)) == 0
