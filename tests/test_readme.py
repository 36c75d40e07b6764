"""Every command of the README runs, in a folder like the one it speaks of."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import save_file

from tests.training.processes import in_child
from transferlab import cli
from transferlab.training import runs

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
COMMANDS = [line for block in BLOCKS for line in block.splitlines() if line.startswith("transferlab ")]
SHORT = ["trainer.max_epochs=1", "trainer.limit_train_batches=1", "trainer.enable_progress_bar=false"]


@pytest.fixture
def newcomers_folder(tmp_path):
    """Photos of two classes, weights with their JSON, a network of one's own and an experiment."""
    rng = np.random.default_rng(0)
    for row in range(20):
        file = tmp_path / "photos" / ("cats", "dogs")[row % 2] / f"{row}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (40, 48, 3), np.uint8)).save(file)
    import timm

    (tmp_path / "weights").mkdir()
    network = timm.create_model("test_resnet", num_classes=0)
    save_file(network.state_dict(), tmp_path / "weights" / "mine.safetensors")
    (tmp_path / "weights" / "mine.json").write_text('{"architecture": "test_resnet"}')
    python = re.search(r"```python\n(from .*?)```", README, re.DOTALL)
    yaml = re.search(r"```yaml\n(.*?)```", README, re.DOTALL)
    assert python
    assert yaml
    (tmp_path / "submit.sh").write_text('setsid sh -c "exec $2" > "$1.txt" 2>&1 &\n')  # as a cluster would
    (tmp_path / "my_nets.py").write_text(python[1])
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    (tmp_path / "conf" / "experiment" / "lesions.yaml").write_text(yaml[1])


def prepared(command: str) -> list[str]:
    """The command's arguments, made short, and independent of a hub and of devices that are not here."""
    arguments = shlex.split(command)[1:]
    if arguments[0] != "train" or "--cfg" in arguments:
        return arguments
    if "backbone=resnet18" in arguments:
        arguments += ["backbone.weights=random"]
    if "data=folder" in arguments:
        arguments += ["data.image_size=32"]
    return [argument for argument in arguments if argument != "trainer=gpu"] + SHORT


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_command_runs(command, newcomers_folder):
    if "trainer=ddp" in command:
        pytest.skip("two processes: tests/training/test_distributed.py")
    if "hydra/launcher=slurm" in command:
        pytest.skip("needs Slurm: tests/sweep/test_slurm.py")
    if "runs/first" in command:
        first = ["backbone=timm", "backbone.name=test_resnet", "backbone.weights=random"]
        assert in_child(lambda: runs.train([*first, *SHORT, "hydra.run.dir=runs/first"])) == 0
    if "transferlab average" in command:
        for seed, name in enumerate("ab"):
            arguments = [*SHORT, f"seed={seed}", f"hydra.run.dir=runs/{name}"]
            assert in_child(lambda arguments=arguments: runs.train(arguments)) == 0
    status = in_child(lambda: _succeed(prepared(command)))
    assert status == 0


def _succeed(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main(arguments)
    assert left.value.code == 0


def test_typos_are_shown_as_they_are(capsys):
    """The README's listing of problems is what the command prints."""
    shown = re.search(r"```console\n\$ transferlab (train sede.*?)\n(.*?)```", README, re.DOTALL)
    assert shown
    with pytest.raises(SystemExit) as left:
        cli.main(shlex.split(shown[1]))
    assert left.value.code == 2
    assert capsys.readouterr().err == shown[2]
