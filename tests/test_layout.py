"""The layout of DESIGN: floors, mirrored folders, small files."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "transferlab"

# A module imports from floors below and from its own package; packages on one floor do not know each other.
# `cli` stands on `command`, `config` on `run`'s errors.
FLOORS = {
    "run": 0,
    "config": 1,
    "data": 2,
    "backbone": 2,
    "evaluation": 3,
    "model": 3,
    "feature": 4,
    "report": 4,
    "strategy": 5,
    "training": 6,
    "sweep": 7,
    "analysis": 7,
    "command": 9,
    "cli": 10,
    "__main__": 11,
}
FILES = sorted(SOURCE.rglob("*.py"))


def package(file: Path) -> str:
    return file.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported(file: Path) -> Iterator[str]:
    """The packages of transferlab that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            first, *rest = name.split(".")
            if first == "transferlab" and rest and rest[0] in FLOORS:
                yield rest[0]


def test_every_package_has_a_floor():
    assert {package(file) for file in FILES} - {"__init__"} <= set(FLOORS)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(SOURCE)))
def test_imports_go_down(file):
    own = package(file)
    if own == "__init__":
        return  # the package's face: imports lazily from everywhere
    for other in imported(file):
        assert other == own or FLOORS[other] < FLOORS[own], f"{own} imports {other}"


def test_the_hooks_for_hydra_are_thin():
    [file] = (ROOT / "src" / "hydra_plugins").rglob("*.py")
    assert set(imported(file)) == {"config", "sweep"}


def folders(root: Path) -> set[str]:
    return {path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith("__")}


@pytest.mark.parametrize("concept", ["data", "backbone", "strategy"])
def test_conf_src_and_tests_mirror_each_other(concept):
    conf = folders(ROOT / "conf" / concept)
    assert folders(SOURCE / concept) == conf
    assert folders(ROOT / "tests" / concept) == conf


def test_no_drawer_for_odds_and_ends():
    names = {part.removesuffix(".py") for file in FILES for part in file.relative_to(SOURCE).parts}
    assert not names & {"utils", "util", "helpers", "helper", "common", "base", "misc"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(SOURCE)))
def test_files_are_small_and_say_what_they_are(file):
    text = file.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 300
    if text:
        assert ast.get_docstring(ast.parse(text))


def test_the_main_path_stays_short():
    assert len((SOURCE / "training" / "train.py").read_text().splitlines()) <= 150
