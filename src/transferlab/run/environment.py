"""Environment of a run: versions, hardware, code, command."""

from __future__ import annotations

import os
import platform
import re
import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import transferlab

_PACKAGES = (
    "torch",
    "torchvision",
    "pytorch-lightning",
    "timm",
    "torchmetrics",
    "hydra-core",
    "omegaconf",
    "numpy",
    "pandas",
    "scikit-learn",
    "wandb",
)
# What a repository's own configuration may say without git running anything: no filter, no command
_PLAIN_KEYS = re.compile(
    r"core\.(repositoryformatversion|filemode|bare|logallrefupdates|ignorecase|precomposeunicode|symlinks"
    r"|autocrlf|eol|safecrlf)|extensions\.(worktreeconfig|objectformat)"
    r"|remote\..*\.(url|pushurl|fetch|tagopt|prune)|branch\..*\.(remote|merge|rebase|pushremote)"
    r"|user\.(name|email)|submodule\..*\.(url|active)|submodule\.active|pull\.rebase|init\.defaultbranch"
)


def describe() -> dict[str, Any]:
    """Everything that may make the same config give other metrics elsewhere."""
    import torch

    cuda = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {
        "transferlab": transferlab.__version__,
        "packages": versions(*_PACKAGES),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpus": cuda,
        "git_commit": _git_commit(Path.cwd()),
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "folder": str(Path.cwd()),
    }


def versions(*packages: str) -> dict[str, str]:
    """The installed versions of these packages."""
    return {name: metadata.version(name) for name in packages}


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def _git_commit(folder: Path) -> str | None:
    """The commit of the user's own repository, with `+changes` where its tracked files differ from it.

    A repository may name commands for git to run. Where its configuration says more than any clone's does,
    its files are not compared, and `+?` stands for that.
    """
    try:
        commit = _git(folder, "rev-parse", "HEAD").strip()
        if not all(_PLAIN_KEYS.fullmatch(key) for key in _configured(folder)):
            return f"{commit}+?"
        changes = _git(folder, "status", "--porcelain", "--untracked-files=no", "--ignore-submodules=all")
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return commit + ("+changes" if changes else "")


def _configured(folder: Path) -> list[str]:
    """The keys that the repository's own configuration sets, those of files that it includes too."""
    listed = _git(folder, "config", "--list", "--null", "--name-only", "--show-scope").split("\0")
    return [
        key for scope, key in zip(listed[::2], listed[1::2], strict=False) if scope in ("local", "worktree")
    ]


def _git(folder: Path, *command: str) -> str:
    """The output of a git that runs no hook and no file system monitor, and writes and fetches nothing."""
    return subprocess.run(
        ["git", "-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}", *command],
        cwd=folder,
        env={**os.environ, "GIT_OPTIONAL_LOCKS": "0", "GIT_NO_LAZY_FETCH": "1", "GIT_TERMINAL_PROMPT": "0"},
        capture_output=True,
        text=True,
        timeout=10,
        check=True,
    ).stdout
