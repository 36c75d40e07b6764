"""`transferlab train --cfg`, and mistakes in options."""

from __future__ import annotations

import pytest
import yaml

from transferlab.command import train as command
from transferlab.config import compose


def test_the_config_as_it_is_written(capsys):
    assert command.run(["--cfg", "job", "seed=3"]) == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    assert shown["seed"] == 3
    assert shown["data"]["shots_seed"] == "${seed}"
    assert "hydra" not in shown


def test_resolved_parts_and_hydras_own(capsys):
    command.run(["--cfg=job", "--resolve", "--package", "data", "seed=3"])
    out = capsys.readouterr().out
    assert out.startswith("# @package data\n")
    assert yaml.safe_load(out)["shots_seed"] == 3
    command.run(["--cfg", "hydra"])
    shown = yaml.safe_load(capsys.readouterr().out)
    assert list(shown) == ["hydra"]
    assert shown["hydra"]["runtime"]["choices"]["strategy"] == "fine_tune"
    command.run(["-c", "all"])
    assert {"hydra", "seed"} < set(yaml.safe_load(capsys.readouterr().out))


def test_what_is_shown_composes_again(capsys, tmp_path):
    command.run(["--cfg", "job", "experiment=few_digits", "seed=3"])
    (tmp_path / "again").mkdir()
    (tmp_path / "again" / "copy.yaml").write_text(capsys.readouterr().out)
    config = compose.compose_checked([], config_name="copy", config_dir="again").config
    assert (config.seed, config.data.shots_per_class) == (3, 10)


def test_composes_once(monkeypatch, capsys):
    """Start-up is bounded by Hydra's composing; twice would be twice as slow."""
    times = []
    original = compose.compose
    monkeypatch.setattr(
        compose, "compose", lambda *given, **named: times.append(1) or original(*given, **named)
    )
    command.run(["--cfg", "job"])
    assert len(times) == 1
    capsys.readouterr()


WRONG = [
    (["--cfg", "jbo"], "--cfg jbo: it takes job, hydra, all. Did you mean job?"),
    (["--cfg"], "--cfg needs a value. Fix: --cfg job"),
    (["--cfg", "job", "--package", "nope"], "--package=nope: there is no such part of the config."),
    (
        ["-m", "--cfg", "job"],
        "--cfg shows the config of one run, and -m asks for several. Leave one of the two out.",
    ),
    (["--config-nam=x"], "--config-nam=x: there is no such option. Did you mean --config-name?"),
    (["--frobnicate"], "--frobnicate: there is no such option. transferlab train --help lists them."),
]


@pytest.mark.parametrize(("arguments", "text"), WRONG)
def test_mistakes(arguments, text):
    with pytest.raises(ValueError, match="-") as caught:
        command.run(arguments)
    assert str(caught.value) == text
