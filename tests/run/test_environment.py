"""What is recorded about where a run ran."""

from __future__ import annotations

import subprocess
from pathlib import Path

from transferlab.run.environment import _git_commit


def test_the_commit_of_the_users_own_repository(tmp_path):
    assert _git_commit(tmp_path) is None
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    Path("code.py").write_text("1")
    for arguments in (["init", "-q"], ["add", "code.py"], [*identity, "commit", "-qm", "first"]):
        subprocess.run(["git", *arguments], check=True)
    commit = _git_commit(tmp_path)
    assert len(commit) == 40
    Path("untracked").write_text("x")
    assert _git_commit(tmp_path) == commit
    Path("code.py").write_text("2")
    assert _git_commit(tmp_path) == f"{commit}+changes"
