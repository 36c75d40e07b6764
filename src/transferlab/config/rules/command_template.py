"""Templates of shell lines for `hydra/launcher=command`: placeholders, their faults, the line of a job."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from transferlab.config.overrides import did_you_mean

PLACEHOLDERS: Mapping[str, str] = {
    "command": "the whole command that runs the job, as one word",
    "python": "this Python",
    "job": "what `transferlab job` takes",
    "folder": "the run folder",
    "name": "a name of lower-case letters, digits and hyphens, new for each submission",
    "number": "the job's number in this sweep, from 0",
    "log": "log.txt in the run folder",
}
# ${NAME} is the shell's; {{word}} stands for {word} as it is
_PLACEHOLDER = re.compile(r"(?<!\$)(?:\{\{(?P<literal>\w+)\}\}|\{(?P<name>\w+)\})")


def problems_of_template(template: str, key: str, *, runs_the_job: bool) -> Iterator[str]:
    """Faults of a template, as sentences.

    Args:
        template: one line of shell.
        key: its path in the config.
        runs_the_job: whether it must contain what runs the job.
    """
    if "\n" in template.strip():
        yield f"{key}: must be one line. Fix: put the lines into a script, and its name here."
    names = set()
    for found in _PLACEHOLDER.finditer(template):
        name = found["name"]
        if name is None:
            continue
        names.add(name)
        if name not in PLACEHOLDERS:
            known = ", ".join(f"{{{each}}}" for each in PLACEHOLDERS)
            mend = did_you_mean(name, list(PLACEHOLDERS), most=1)
            plain = f"{{{{{name}}}}} is a plain {{{name}}}"
            yield f"{key}: there is no {{{name}}}.{mend} There is {known}; {plain}."
        elif quote := _open_quote(template[: found.start()]):
            yield (
                f"{key}: {{{name}}} stands within {quote}, but is quoted already. Fix: take it out of them; "
                "{command} is the whole command as one word."
            )
    if quote := _open_quote(template):
        yield f"{key}: {quote} is not closed."
    if runs_the_job and names <= PLACEHOLDERS.keys() and not {"command", "job"} & names:
        yield (
            f"{key}: runs no job. Fix: put {{command}} into it, or {{python}} -m transferlab job {{job}}, "
            "e.g. 'torchrun --standalone --nproc-per-node=2 -m transferlab job {job}'."
        )


def filled(template: str, values: Mapping[str, str]) -> str:
    """The line of a job; `values` are quoted for the shell already."""
    return _PLACEHOLDER.sub(
        lambda found: f"{{{found['literal']}}}" if found["literal"] else values[found["name"]], template
    )


def _open_quote(text: str) -> str:
    """The quote that a shell finds open at the end of a text, or a backslash before it; else nothing."""
    quote, escaped = "", False
    for character in text:
        if escaped:
            escaped = False
        elif character == "\\" and quote != "'":
            escaped = True
        elif quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
    return quote or ("\\" if escaped else "")
