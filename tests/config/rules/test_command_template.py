"""Templates of shell lines: what is wrong with one, and the line that it stands for."""

from __future__ import annotations

import shlex
import subprocess

import pytest

from transferlab.config.rules.command_template import PLACEHOLDERS, filled, problems_of_template


def problems(template: str, *, runs_the_job: bool = True) -> list[str]:
    return list(problems_of_template(template, "key", runs_the_job=runs_the_job))


@pytest.mark.parametrize(
    "template",
    [
        "torchrun --standalone --nproc-per-node=2 -m transferlab job {job}",
        "kubectl run {name} --image=me/image --restart=Never -- {python} -m transferlab job {job}",
        "sky launch -y -c {name} {command}",
        "sbatch --wrap={command} --output={log}",
        "nohup {command} >/dev/null 2>&1 &",
        """kubectl run {name} --overrides='{"spec": {"tolerations": []}}' -- sh -c {command}""",
        'cd "$HOME" && GPU=${GPU:-0} {command}',
        "echo 'it''s' \\\" {command} | awk '{print $1}'",
        "awk '{{print}}' x && {command}",
    ],
)
def test_what_is_right(template):
    assert problems(template) == []


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("run {jobb}", "there is no {jobb}. Did you mean job?"),
        ("run {command} {gpus}", "there is no {gpus}. There is {command}, {python}, {job}"),
        ("sh -c '{command}'", "{command} stands within ', but is quoted already. Fix: take it out"),
        ('sh -c "cd x; {command}"', '{command} stands within "'),
        ("run \\{command}", "{command} stands within \\"),
        ("run {command} 'x", "key: ' is not closed."),
        ("run {name}", "runs no job. Fix: put {command} into it"),
        ("", "runs no job."),
        ("a\n{command}", "must be one line. Fix: put the lines into a script"),
    ],
)
def test_what_is_wrong(template, said):
    assert said in "\n".join(problems(template))


def test_a_line_that_asks_or_cancels_needs_no_job():
    assert problems("kubectl get job {name}", runs_the_job=False) == []
    assert "Did you mean name?" in problems("kubectl get job {namee}", runs_the_job=False)[0]


def test_values_reach_the_command_as_they_are():
    """Whatever is in a path: blanks, quotes, dollars, braces, newlines."""
    values = {name: f"a b'c\"d$HOME`x`{{name}};&|\n{name}" for name in PLACEHOLDERS}
    quoted = {name: shlex.quote(value) for name, value in values.items()}
    template = "printf '%s|' {folder} pre{name}post {{name}} $((1+1))"
    line = filled(template, quoted)
    shown = subprocess.run(line, shell=True, capture_output=True, text=True, check=True).stdout
    assert shown == f"{values['folder']}|pre{values['name']}post|{{name}}|2|"
