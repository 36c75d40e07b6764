"""Shapes of the JSON files that transferlab writes: what is read from one must fit, further keys are fine."""

from __future__ import annotations

from typing import Any, Literal

from typing_extensions import TypedDict

Metrics = dict[str, float | None]


class SelectionRecord(TypedDict, total=False):
    """The selected epoch in result.json."""

    rule: str
    epoch: int
    trainable_stages: int
    val_loss: float | None
    depth_curve: dict[str, float]
    target: dict[str, Metrics]


class ConfusionRecord(TypedDict):
    """The confusion matrix in result.json."""

    classes: list[str]
    counts: list[list[int]]


class ResultRecord(TypedDict, total=False):
    """result.json."""

    status: Literal["running", "finished", "failed", "interrupted"]
    seed: int
    error: str
    warnings: list[str]
    metrics: list[str]
    val: Metrics
    test: Metrics
    source_test: Metrics
    per_class: dict[str, Metrics]
    confusion_matrix: ConfusionRecord
    cost: Metrics
    selection: SelectionRecord


class EnvironmentRecord(TypedDict, total=False):
    """environment.json."""

    packages: dict[str, str]
    threads: int
    folder: str
    choices: dict[str, str | None]


class GroupRecord(TypedDict):
    """group.json: the names of the folders of runs that trained together."""

    members: list[str]


class LauncherRecord(TypedDict):
    """The launcher in sweep.json; its further keys are checked as its arguments."""

    _target_: str


class SweepFile(TypedDict, total=False):
    """sweep.json."""

    command: str
    folder: str
    launcher: LauncherRecord
    sweeper: str


class CommandJob(TypedDict):
    """A job in the file of a submission."""

    config: dict[str, Any]
    run: str
    choices: dict[str, str | None]
    warnings: list[str]


class CommandFile(TypedDict):
    """SWEEP/command/NAME.json: the jobs of one submission."""

    number: int
    folder: str
    jobs: list[CommandJob]


class _JobLine(TypedDict):
    base: str
    folder: str


class JobLine(_JobLine, total=False):
    """A line of jobs.jsonl."""

    inputs: dict[str, str]
    overrides: list[str]
    config: dict[str, Any]
    choices: dict[str, str | None]
    warnings: list[str]
