"""What verbs have in common: one test for each function that their own tests do not reach."""

from __future__ import annotations

from pathlib import Path

from transferlab.command.arguments import folders_and_overrides


def test_a_folder_of_a_sweep_is_not_taken_for_an_override():
    job = Path("sweeps", "seed=0,strategy=dann-52757d")
    job.mkdir(parents=True)
    folders, overrides = folders_and_overrides([str(job), "data.root=photos", "gone", "data.root=gone"])
    assert folders == [str(job), "gone"]
    assert overrides == ["data.root=photos", "data.root=gone"]
