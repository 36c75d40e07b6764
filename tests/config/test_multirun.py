"""Checking a sweep: every value, before the first job."""

from __future__ import annotations

import pytest

from transferlab.config.compose import ConfigError
from transferlab.config.multirun import check_sweep


def problems(*overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        check_sweep(overrides)
    return caught.value.problems


def test_a_wrong_value_among_the_choices():
    first, second = problems("strategy=fine_tune,partal", "seed=0,x")
    assert first.startswith("strategy=partal: there is no such option. Did you mean partial?")
    assert second == "seed=x: must be a whole number, not text."


def test_a_wrong_value_in_the_middle():
    assert problems("data.sampling=uniform,balancd,balanced") == [
        "data.sampling=balancd: must be uniform or balanced. Did you mean balanced?"
    ]


@pytest.mark.parametrize(
    ("values", "wrong"),
    [("3,0,2", "0: must be at least 1."), ("1,2.5,4", "2.5: must be a whole number, not a decimal number.")],
)
def test_a_wrong_number_in_the_middle(values, wrong):
    assert problems(f"data.batch_size={values}") == [f"data.batch_size={wrong}"]
    assert problems("strategy.head_dropout=0.1,nan,0.2") == [
        "strategy.head_dropout=nan: must be a finite number, at least 0 and below 1."
    ]


@pytest.mark.parametrize("strategies", ["dann,fine_tune", "fine_tune,dann"])
def test_the_value_that_brings_a_problem_is_named(strategies):
    (text,) = problems(f"strategy={strategies}", "seed=0,1")
    assert text.startswith("with strategy=dann: strategy.objective: DANN needs an unlabelled target domain")


def test_a_problem_of_all_is_told_once():
    assert problems("sead=3", "seed=0,1", "strategy=fine_tune,partial") == [
        "sead: there is no such key. Did you mean seed?"
    ]


def test_what_hydra_is_told():
    sweep = check_sweep(
        ["experiment=null,few_digits", "seed=0,1", "backbone.kwargs.a=1", "hydra.sweep.dir=here"]
    )
    assert sweep.overrides == [
        "experiment=[],few_digits",
        "++seed=0,1",
        "++backbone.kwargs.a=1",
        "hydra.sweep.dir=here",
    ]
    assert str(sweep.folder) == "here"


def test_one_folder_for_all_jobs():
    assert check_sweep(["strategy=fine_tune,partial"]).folder.parts[:2] == ("sweeps", "mixed")
    assert check_sweep(["seed=0,1"]).folder.parts[:2] == ("sweeps", "fine_tune")


def test_warnings_of_all_values_once():
    warnings = check_sweep(
        ["fit.early_stopping_patience=50,60", "trainer.max_epochs=15", "seed=0,1"]
    ).warnings
    assert [text.partition(" ")[0] for text in warnings] == [
        "fit.early_stopping_patience=50",
        "fit.early_stopping_patience=60",
    ]


@pytest.fixture
def cluster(monkeypatch, tmp_path):
    """A machine with sbatch and submitit, as far as a look can tell."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "sbatch").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr("transferlab.config.multirun.find_spec", lambda name: object())


def test_a_cluster_is_needed(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("transferlab.config.multirun.find_spec", lambda name: None)
    first, second = problems("seed=0,1", "hydra/launcher=slurm")
    assert first.startswith("hydra/launcher=slurm: there is no sbatch here.")
    assert second.endswith("pip install 'transferlab[slurm]'.")


@pytest.mark.usefixtures("cluster")
def test_nothing_is_wrong_with_a_cluster():
    given = ["partition=gpu", "shell_before=[module load cuda]", 'further=["--exclude=node7"]', "mem_gb=1.5"]
    check_sweep(["seed=0,1", "hydra/launcher=slurm", *(f"hydra.launcher.{each}" for each in given)])


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ("timeout_min=1h", "a whole number, not text"),
        ("timeout_min=0", "at least 1"),
        ("partition=[a,b]", "text or null, not a list"),
        ("nodes=0", "at least 1"),
        ("tasks_per_node=0", "at least 1"),
        ("cpus_per_task=-1", "at least 1"),
        ("gpus_per_node=0", "at least 1, or null"),
        ("mem_gb=16GB", "a number or null, not text"),
        ("mem_gb=0.0", "above 0, or null"),
        ("jobs_at_once=0", "at least 1, or auto"),
        ("signal_delay_s=0", "at least 1"),
        ("poll_s=nan", "a finite number, above 0"),
        ("requeue=1", "true or false, not a whole number"),
        ("shell_before=module", "a list of text, not text"),
    ],
)
def test_wrong_values(given, rule):
    assert problems("seed=0,1", "hydra/launcher=slurm", f"hydra.launcher.{given}")[0] == (
        f"hydra.launcher.{given.replace('[a,b]', '[a, b]')}: must be {rule}."
    )


@pytest.mark.usefixtures("cluster")
def test_unknown_keys():
    (text,) = problems("seed=0,1", "hydra/launcher=slurm", "hydra.launcher.partitoin=gpu")
    assert text == "hydra.launcher.partitoin: there is no such key. Did you mean partition?"


def test_launchers_of_others_are_left_alone():
    check_sweep(["seed=0,1", "hydra/launcher=basic"])
