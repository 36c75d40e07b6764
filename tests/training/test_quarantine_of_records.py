"""Only the command line may ask for files to be moved: neither a config file nor a record."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from tests.data.conftest import write_image
from transferlab import api
from transferlab.config.check import ConfigError
from transferlab.config.compose import compose_checked
from transferlab.run.run_folder import Run
from transferlab.training.recorded_config import evaluated_config, recorded_config

ASKED = "data.on_bad_image=quarantine"


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    """A run folder with a model in name alone, whose config asks to move broken files away."""
    monkeypatch.chdir(tmp_path)
    for number in range(8):
        write_image(Path("photos") / "ab"[number % 2] / f"{number}.png", number)
    run = Run("run")
    run.create()
    run.write_config(compose_checked(["data=folder", "data.root=photos", ASKED]).config)
    run.model_file.write_bytes(b"")
    run.write_json("model.json", {"bottleneck_units": None})
    assert OmegaConf.load(run.config_file).data.on_bad_image == "quarantine"
    return run


def test_the_command_line_may_ask(recorded):
    assert (
        compose_checked(["data=folder", "data.root=photos", ASKED]).config.data.on_bad_image == "quarantine"
    )
    assert evaluated_config(recorded, [ASKED]).data.on_bad_image == "quarantine"
    other = evaluated_config(recorded, ["data=folder", "data.root=photos", ASKED])
    assert other.data.on_bad_image == "quarantine"


def test_a_record_may_not(recorded, capsys):
    for config in (recorded_config(recorded), evaluated_config(recorded, [])):
        assert config.data.on_bad_image == "skip"
    note = "run/config.yaml: data.on_bad_image=quarantine is not obeyed: only the command line may ask"
    assert capsys.readouterr().out.count(note) == 1


def test_an_experiment_may_not(recorded):
    Path("conf/experiment").mkdir(parents=True)
    text = "# @package _global_\ndata:\n  on_bad_image: quarantine\n"
    Path("conf/experiment/mine.yaml").write_text(text)
    overrides = ["data=folder", "data.root=photos", "experiment=mine"]
    with pytest.raises(ConfigError, match=r"data\.on_bad_image=quarantine: it moves files, so only the"):
        compose_checked(overrides)
    assert compose_checked([*overrides, ASKED]).config.data.on_bad_image == "quarantine"


def test_inspecting_moves_nothing(recorded):
    Path("photos/a/bad.png").write_bytes(b"?")
    found = api.inspect(["data.root=photos", ASKED])
    assert found.domains[0].broken == {"a/bad.png": "not an image"}
    assert Path("photos/a/bad.png").is_file()
