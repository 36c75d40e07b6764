"""Runs `transferlab` commands, one JSON line each on stdin, in forks of one process that has imported torch.

Imports no other file of the tests: it runs on the source of either checkout. Answers with exit codes.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback

import pytorch_lightning  # noqa: F401 (imported once here, not in every fork)
import sklearn.linear_model  # noqa: F401
import timm  # noqa: F401
import torchmetrics  # noqa: F401
import torchvision.transforms.v2  # noqa: F401

from transferlab import cli

GIVE_UP_S = 300


def run(arguments: list[str], folder: str, cache: str, log: str) -> int:
    """The exit code of one command, run in `folder`; what it prints goes into the file `log`."""
    signal.alarm(GIVE_UP_S)
    os.chdir(folder)
    os.environ["TRANSFERLAB_CACHE"] = cache
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for descriptor in (1, 2):
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), descriptor)
    if "trainer=ddp" in arguments:  # Lightning starts the further processes by the command of this one
        os.execv(sys.executable, [sys.executable, "-m", "transferlab", *arguments])
    try:
        cli.main(arguments)
    except SystemExit as end:
        return int(end.code or 0)
    except BaseException:
        traceback.print_exc()
    return 1


if __name__ == "__main__":
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            code = run(**json.loads(line))
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n")
        sys.stdout.flush()
