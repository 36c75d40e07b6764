"""How verbs read what they have in common: where to write, which run, whose modules are allowed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from transferlab.run.errors import UserError


def out_and_rest(arguments: Sequence[str], *, verb: str) -> tuple[Path | None, list[str]]:
    """The folder that `--out` names, None if it does not, and the other arguments.

    Raises:
        UserError: another option.
    """
    folder, waiting, rest = None, list(arguments), []
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


def folders_and_overrides(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """What names a folder, and what says something of the config.

    A sweep's job lies in a folder such as `seed=0,strategy=dann-52757d`: what is there is a folder.
    """
    overrides = [text for text in arguments if "=" in text and not Path(text).is_dir()]
    return [text for text in arguments if text not in overrides], overrides


def dated(folder: Path | str) -> Path:
    """A folder of its own for now, within one."""
    return Path(folder) / f"{datetime.now():%Y-%m-%d_%H-%M-%S}"


def allowed_and_rest(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The modules that `allow=[MODULE,...]` names, and the other arguments."""
    allowed = [text.partition("=")[2].strip("[]") for text in arguments if text.startswith("allow=")]
    names = [name for text in allowed for name in text.split(",") if name]
    return names, [argument for argument in arguments if not argument.startswith("allow=")]


def only_folder(paths: Sequence[str], *, verb: str, of: str = "run") -> Path:
    """The one folder that is given.

    Raises:
        UserError: none or several, or one that is not there.
    """
    if len(paths) != 1:
        raise UserError(f"transferlab {verb} takes the folder of one {of}, not {len(paths)}.")
    if not Path(paths[0]).is_dir():
        raise UserError(f"{paths[0]}: there is no such folder.")
    return Path(paths[0])
