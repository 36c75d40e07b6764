"""`transferlab completion`: a real shell really completes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from transferlab import cli
from transferlab.command import completion
from transferlab.run.errors import UserError

DRIVER = """\
source ./script
try() {
    COMP_LINE="$1"; COMP_POINT=${#1}; read -ra COMP_WORDS <<< "$1"
    [[ "$1" == *" " ]] && COMP_WORDS+=("")
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMPREPLY=()
    _transferlab 2>/dev/null
    echo "${COMPREPLY[*]}"
}
complete -p transferlab
"""
LINES = {
    "transferlab tr": "train",
    "transferlab list b": "backbones",
    "transferlab av": "average",
    "transferlab completion ": "bash zsh fish",
    "transferlab train --c": "--cfg --config-dir --config-name",
    "transferlab train data=folder data.root=pho": "data.root=photos",
    "transferlab resume ru": "runs",
    "transferlab train -m backbone=resnet18 strategy=sour": "strategy=source_only",
    "transferlab train trainer.max_": "trainer.max_epochs= trainer.max_steps= trainer.max_time=",
}


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_bash_completes(monkeypatch):
    command = Path("bin/transferlab")
    command.parent.mkdir()
    command.write_text(
        f'#!/bin/sh\nexec "{sys.executable}" -c "from transferlab.cli import main; main()" "$@"\n'
    )
    command.chmod(0o755)
    Path("script").write_text(completion.SCRIPTS["bash"])
    Path("photos").mkdir()
    Path("runs").mkdir()
    monkeypatch.setenv("PATH", f"{Path('bin').resolve()}:/usr/bin:/bin")
    driver = DRIVER + "".join(f"try '{line}'\n" for line in LINES)
    done = subprocess.run(["bash", "--norc", "-c", driver], capture_output=True, text=True, timeout=60)
    registered, *answers = done.stdout.splitlines()
    assert registered == "complete -F _transferlab transferlab", done.stderr
    assert dict(zip(LINES, answers, strict=True)) == LINES


@pytest.mark.parametrize("shell", completion.SCRIPTS)
def test_scripts_know_all_verbs(shell, capsys):
    assert completion.run([shell]) == 0
    script = capsys.readouterr().out
    for verb in cli.VERBS:
        assert verb in script
    for verb in cli.HIDDEN:
        assert f" {verb} " not in script


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts_are_read_by_their_shells(shell):
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell}")
    Path("script").write_text(completion.SCRIPTS[shell])
    assert subprocess.run([shell, "-n", "script"], capture_output=True).returncode == 0


def test_mistake():
    with pytest.raises(UserError, match=r"^transferlab completion takes one of bash, zsh, fish, not tcsh\.$"):
        completion.run(["tcsh"])
