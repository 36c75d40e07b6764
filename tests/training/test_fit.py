"""A fit without a folder: nothing is written, and its outcome is that of a run, bit for bit."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from tests.training.heads.test_head_fit import PROBE
from tests.training.test_resume import TINY, overrides
from transferlab.config.compose import compose_checked
from transferlab.run.errors import UserError
from transferlab.run.run_folder import Run
from transferlab.training import runs
from transferlab.training.build import build
from transferlab.training.fit import fit
from transferlab.training.heads import head_fit
from transferlab.training.recorder import Recorder

TINY_RESNET = [*TINY, "backbone.name=test_resnet"]


@pytest.mark.parametrize(
    "chosen",
    [
        # the selected epoch is not the last one
        overrides("fine_tune", "test_resnet", "strategy.learning_rates.base=0.05"),
        pytest.param(overrides("fine_tune", "test_resnet", "fit.ema_decay=0.9"), marks=pytest.mark.slow),
        PROBE,
        pytest.param([*PROBE, "strategy/head=logistic"], marks=pytest.mark.slow),
        overrides("lp_ft", "test_resnet", "trainer.max_epochs=2"),
        overrides("dann", "test_resnet", "strategy.selection=entropy", "trainer.max_epochs=2"),
    ],
    ids=["fine_tune", "average", "features", "logistic", "lp_ft", "dann"],
)
def test_the_outcome_is_that_of_a_run_and_nothing_is_written(chosen, capsys, trained):
    run = Run(trained(*chosen))
    capsys.readouterr()
    experiment = build(compose_checked(chosen).config)
    fitted = fit(experiment, predict=["test"])
    assert not {file for file in Path().rglob("*") if "cache" not in file.parts}
    assert not [line for line in capsys.readouterr().out.splitlines() if line.startswith(("epoch", "note"))]

    expected = load_file(run.path / "model.safetensors")
    got = {f"head.{name}": value for name, value in experiment.network.head.state_dict().items()}
    got |= {f"backbone.{n}": v for n, v in experiment.network.backbone.network.state_dict().items()}
    assert {name for name in got if not torch.equal(got[name], expected[name])} == set()
    history = pd.DataFrame(fitted.history).drop(columns="seconds")
    recorded = run.history.drop(columns="seconds")
    pd.testing.assert_frame_equal(history, recorded, check_dtype=False, check_exact=False, rtol=1e-12)
    assert list(fitted.predictions) == ["test"]
    assert (
        fitted.predictions["test"].samples
        == pd.read_csv(run.path / "predictions/test.csv", dtype=str)["sample"].tolist()
    )


def test_several_times_in_one_process_for_a_client_of_a_federation():
    experiment = build(compose_checked([*TINY_RESNET, "trainer.max_epochs=1"]).config)
    start = {name: value.clone() for name, value in experiment.network.state_dict().items()}
    first = fit(experiment).history
    second = fit(experiment).history
    assert second[0]["train/loss"] < first[0]["train/loss"]  # goes on from its own weights
    experiment.network.load_state_dict(start)
    again = fit(experiment).history
    assert {**first[0], "seconds": 0} == {**again[0], "seconds": 0}
    assert not Path("runs").exists()


def test_several_processes_need_a_folder():
    experiment = build(compose_checked([*TINY_RESNET, "trainer=ddp", "trainer.devices=2"]).config)
    with pytest.raises(UserError, match="a fit without a run folder runs in one process"):
        fit(experiment)


def test_a_run_is_what_python_gets():
    assert isinstance(runs.train([*TINY_RESNET, "trainer.max_epochs=1", "hydra.run.dir=run"]), Run)


def test_max_time_ends_the_fit_of_a_logistic_head(monkeypatch):
    chosen = [*PROBE, "strategy/head=logistic", "trainer.max_time=00:00:00:01"]
    experiment = build(compose_checked(chosen).config)
    monkeypatch.setattr(head_fit, "seconds_of", {"00:00:00:01": 0.0}.get)
    recorder = Recorder()
    tried = fit(experiment, recorder).selected["head"]["strengths"]
    assert [each["strength"] for each in tried] == [1.0]
    assert [text.partition(":")[0] for text in recorder.result["warnings"]] == ["trainer.max_time"]
