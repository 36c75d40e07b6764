"""The command line. Imports nothing heavy: `--help`, `--version` and typos must answer at once."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence

USAGE = """\
transferlab: the best transfer recipe for your images and a pretrained network, with evidence

  transferlab train [group=option] [key=value] [-m]   fit, test, write a run folder; -m sweeps
  transferlab resume RUN | SWEEP                      go on after a kill, as if it had not happened
  transferlab reproduce RUN                           run it again, and compare every number
  transferlab evaluate RUN [data=...]                 a trained model's metrics, also on other images
  transferlab inspect data.root=DIR                   counts, broken files, duplicates, leaks, proposed split
  transferlab gap DIR DIR | RUN                       how far two domains are apart, in numbers and a picture
  transferlab compare SWEEP | RUN ...                 a table with intervals and paired tests
  transferlab average RUN RUN ...                     one network of the weights of several, without training
  transferlab tune learning_rate|batch_size           a value to train with, from a few steps of training
  transferlab features list|clear                     the cached features of frozen layers
  transferlab list backbones|strategies|data|GROUP    the options of a config group, e.g. strategy/head
  transferlab completion bash|zsh|fish                what to put into your shell's profile
  transferlab VERB --help                             more about a verb
  transferlab --version

Your photos:  transferlab train data=folder data.root=DIR
"""

# The function of `transferlab.command` behind each verb; imported when it is used
VERBS = {
    "train": "train:run",
    "resume": "resume:run",
    "reproduce": "reproduce:run",
    "evaluate": "evaluate:run",
    "inspect": "inspect:run",
    "list": "listing:run",
    "gap": "gap:run",
    "compare": "compare:run",
    "average": "average:run",
    "tune": "tune:run",
    "features": "features:run",
    "completion": "completion:run",
}
# Not for people: started for each further process of a run, for the jobs of a sweep, and by Slurm
HIDDEN = {"join": "resume:join", "job": "job:run", "task": "job:run_task"}


def main(argv: Sequence[str] | None = None) -> None:
    """Run a verb; leave with its exit code.

    0 done, 1 failed, 2 a mistake of the user's or of the machine, 128 + its number where a signal ended it.
    """
    # what torch's C++ code advises on DDP, past Python's filters of warnings, is settled
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    # Python processes that libraries start do not import from the working folder either (since 3.11)
    os.environ.setdefault("PYTHONSAFEPATH", "1")
    arguments = list(sys.argv[1:] if argv is None else argv)
    _make_printable()
    try:
        code = _dispatch(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        code = _leave_quietly()
    except Exception as error:
        from transferlab.run.failures import explained

        known = explained(error)
        if known is None:
            raise
        sys.stderr.write(f"{known}\n")
        code = 2
    sys.exit(code)


def _make_printable() -> None:
    """Print every name in every locale, with escapes where it cannot; a closed output takes everything."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by the shell: >&-
            setattr(sys, name, open(os.devnull, "w"))  # noqa: PTH123, SIM115 (for the rest of the process)
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _leave_quietly() -> int:
    """The reader of a pipe has gone (`| head`): what Python flushes at its exit goes nowhere."""
    null = os.open(os.devnull, os.O_WRONLY)
    with contextlib.suppress(OSError, ValueError):
        os.dup2(null, sys.stdout.fileno())
    return 141  # as the shell shows a program that ends by SIGPIPE


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        sys.stdout.write(USAGE)
        return 0
    if arguments[0] in ("-V", "--version"):
        from transferlab import __version__

        sys.stdout.write(f"transferlab {__version__}\n")
        return 0
    verb, rest = arguments[0], arguments[1:]
    place = VERBS.get(verb) or HIDDEN.get(verb)
    if place is None:
        return _unknown(verb)
    from importlib import import_module

    from transferlab.run.errors import UserError

    module, _, function = place.partition(":")
    loaded = import_module(f"transferlab.command.{module}")
    text, is_asked = getattr(loaded, "HELP", ""), any(argument in ("-h", "--help") for argument in rest)
    if text and (is_asked or (not rest and verb != "train")):
        sys.stdout.write(text)
        return 0 if is_asked else 2
    try:
        os.getcwd()  # noqa: PTH109 (Path.cwd costs an import)
    except FileNotFoundError:
        sys.stderr.write("The current folder is no longer there. Fix: cd to another one.\n")
        return 2
    try:
        return getattr(loaded, function)(rest)
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except KeyboardInterrupt as stop:
        number = getattr(stop, "number", 2)  # of the signal: Ctrl-C's, where nothing else is said
        sys.stderr.write("interrupted\n" if number == 2 else f"interrupted by {stop}\n")
        return 128 + number


def _unknown(verb: str) -> int:
    from difflib import get_close_matches

    close = get_close_matches(verb, VERBS, n=1)
    if close:
        mend = f"Did you mean transferlab {close[0]}?"
    elif "=" in verb:
        mend = f"Did you mean transferlab train {verb}?"
    else:
        mend = "transferlab --help lists the verbs."
    sys.stderr.write(f"{verb}: there is no such verb. {mend}\n")
    return 2
