"""The command line. Imports nothing heavy: `--help`, `--version` and typos must answer at once."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

USAGE = """\
transferlab: the best transfer recipe for your images and a pretrained network, with evidence

  transferlab train [group=option] [key=value] [-m]   fit, test, write a run folder; -m sweeps
  transferlab resume RUN                              go on after a kill, as if it had not happened
  transferlab list backbones|strategies|data|experiments
  transferlab completion bash|zsh|fish                what to put into your shell's profile
  transferlab VERB --help                             more about a verb
  transferlab --version

Your photos:  transferlab train data=folder data.root=DIR backbone=resnet18
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Run a verb; leave with its exit code: 0 done, 1 failed, 2 a mistake of the user's, 130 interrupted."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    sys.exit(_dispatch(arguments))


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        sys.stdout.write(USAGE)
        return 0
    if arguments[0] in ("-V", "--version"):
        from transferlab import __version__

        sys.stdout.write(f"transferlab {__version__}\n")
        return 0
    verb, rest = arguments[0], arguments[1:]
    action = VERBS.get(verb) or HIDDEN.get(verb)
    if action is None:
        return _unknown(verb)
    from transferlab.run.errors import UserError

    try:
        return action(rest)
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return 130
    except BrokenPipeError:
        return 1


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


def _train(arguments: list[str]) -> int:
    from transferlab.command.train import run

    return run(arguments)


def _resume(arguments: list[str]) -> int:
    from transferlab.command.resume import run

    return run(arguments)


def _join(arguments: list[str]) -> int:
    from transferlab.command.resume import join

    return join(arguments)


def _list(arguments: list[str]) -> int:
    from transferlab.command.listing import run

    return run(arguments)


def _completion(arguments: list[str]) -> int:
    from transferlab.command.completion import run

    return run(arguments)


VERBS: dict[str, Callable[[list[str]], int]] = {
    "train": _train,
    "resume": _resume,
    "list": _list,
    "completion": _completion,
}
HIDDEN = {"join": _join}
"""Not for people: Lightning starts `transferlab join RUN` for each further process of a run."""
