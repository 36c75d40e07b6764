"""Arguments that verbs have in common: options, the output folder, the run, the allowed modules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

from transferlab.config.other_words import meant_by_word
from transferlab.run.errors import UserError


def options_and_rest(
    arguments: Sequence[str], takes: Mapping[str, str], *, verb: str, short: Mapping[str, str] = {}
) -> tuple[dict[str, str], list[str]]:
    """The options (`--out DIR`, `--out=DIR`) with their values, and the other arguments.

    Args:
        arguments: what was typed.
        takes: a word for the value that each option takes; empty where it takes none.
        verb: whose options they are.
        short: the full names of short ones.

    Raises:
        UserError: another option, or one without its value.
    """
    found, rest, waiting = dict[str, str](), list[str](), list(arguments)
    while waiting:
        argument = waiting.pop(0)
        name, equals, value = argument.partition("=")
        name = short.get(name, name)
        if not argument.startswith("-"):
            rest.append(argument)
        elif name not in takes:
            close, word = get_close_matches(name, takes, n=1, cutoff=0.75), meant_by_word(name)
            hint = f"Did you mean {close[0]}?" if close else f"transferlab {verb} --help lists them."
            if not close and word is not None:
                hint = f"Did you mean {word}={value or '...'}?"
            raise UserError(f"{argument}: there is no such option. {hint}")
        elif equals or not takes[name]:
            found[name] = value
        elif waiting and not waiting[0].startswith("-"):
            found[name] = waiting.pop(0)
        else:
            raise UserError(f"{name} needs a value. Fix: {name} {takes[name]}")
    return found, rest


def out_and_rest(arguments: Sequence[str], *, verb: str) -> tuple[Path | None, list[str]]:
    """The folder that `--out` names, None if it does not, and the other arguments; raises `UserError`."""
    options, rest = options_and_rest(arguments, {"--out": "DIR"}, verb=verb)
    return (Path(options["--out"]) if "--out" in options else None), rest


def folders_and_overrides(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Arguments that name a folder, and overrides of the config.

    A sweep's job lies in a folder such as `seed=0,strategy=dann-52757d`: what is there is a folder.
    """
    overrides = [text for text in arguments if "=" in text and not Path(text).is_dir()]
    return [text for text in arguments if text not in overrides], overrides


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
