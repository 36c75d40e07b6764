"""What verbs that write into a folder of their own have in common."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from transferlab.run.errors import UserError


def folder_and_rest(arguments: list[str], *, verb: str, into: str) -> tuple[Path, list[str]]:
    """The folder that `--out` names, `into/<date>_<time>` if it does not, and the other arguments.

    Raises:
        UserError: another option.
    """
    folder = Path(into) / f"{datetime.now():%Y-%m-%d_%H-%M-%S}"
    waiting, rest = list(arguments), []
    while waiting:
        argument = waiting.pop(0)
        name, equals, value = argument.partition("=")
        if name == "--out":
            if not equals and not waiting:
                raise UserError("--out needs a folder: --out DIR.")
            folder = Path(value if equals else waiting.pop(0))
        elif argument.startswith("-"):
            raise UserError(f"{argument}: there is no such option. transferlab {verb} --help lists them.")
        else:
            rest.append(argument)
    return folder, rest
