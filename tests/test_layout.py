"""The layout of DESIGN: floors, mirrored folders, small files."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "transferlab"

# A module imports only from floors below and from its own package; packages on one floor do not import each
# other: docs/architecture.md.
FLOORS = {
    "run": 0,
    "config": 0.5,  # `run`'s errors and folders are below it
    "data": 1,
    "backbone": 1,
    "evaluation": 2,
    "model": 3,
    "feature": 4,
    "report": 4,
    "strategy": 5,
    "training": 6,
    "sweep": 7,
    "analysis": 7,
    "api": 8,
    "command": 9,
    "cli": 10,
    "__main__": 11,
}
MOST_SIBLINGS = 15
LISTS_OF_PARTS = {
    "strategy/objective",
    "strategy/penalty",
    "strategy/head",
    "strategy/unfreezing",
    "data/catalog",
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
def test_every_group_of_configs_has_its_folder_of_code(concept):
    assert folders(ROOT / "conf" / concept) <= folders(SOURCE / concept)


def below(root: Path) -> list[Path]:
    return [path for path in sorted(root.rglob("*")) if path.is_dir() and "__pycache__" not in path.parts]


def test_tests_mirror_the_source():
    of_tests = {path.relative_to(ROOT / "tests") for path in below(ROOT / "tests")}
    assert of_tests - {path.relative_to(SOURCE) for path in below(SOURCE)} == {Path("guard")}


@pytest.mark.parametrize("folder", [SOURCE, *below(SOURCE)], ids=lambda path: str(path.relative_to(SOURCE)))
def test_folders_are_small(folder):
    entries = [path for path in folder.iterdir() if path.is_dir() or path.suffix == ".py"]
    siblings = [path for path in entries if not path.name.startswith("__")]
    assert len(siblings) <= MOST_SIBLINGS or folder.relative_to(SOURCE).as_posix() in LISTS_OF_PARTS


def test_a_module_name_is_used_once():
    """Verbs aside: a module in `command` has the name of its verb, and so may what it calls."""
    names = [file.stem for file in FILES if not file.name.startswith("__") and package(file) != "command"]
    assert [name for name in sorted(set(names)) if names.count(name) > 1] == []


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
    assert len((SOURCE / "training" / "train.py").read_text().splitlines()) <= 120
