"""Two files hold a trained model: what comes back, and what a damaged pair says."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.model.saved import tiny_model
from tests.strategy.head.test_own import COSINE
from transferlab.model.model import Model
from transferlab.run.errors import UserError

INF = float("inf")
HEADS = [
    (["strategy/head=linear"], None),
    (["strategy/head=mlp", "strategy.head.hidden_units=7", "strategy.head.hidden_layers=2"], None),
    (["strategy/head=logistic", "strategy/unfreezing=none"], None),
    (["strategy/head=linear"], 6),
]


@pytest.mark.parametrize(("chosen", "units"), HEADS)
def test_what_is_saved_comes_back(chosen, units):
    Path("run").mkdir()
    model = tiny_model(*chosen, units=units, temperature=1.5, domain="target")
    model.save("run")
    before = torch.random.get_rng_state()
    again = Model.load("run")
    assert torch.equal(torch.random.get_rng_state(), before)
    for field in ("classes", "preprocessing", "head", "label_kind", "temperature", "domain"):
        assert getattr(again, field) == getattr(model, field)
    assert not any(module.training for module in again.network.modules())
    images = torch.randn(5, 3, 32, 32)
    assert torch.equal(again.network(images), model.network(images))


def test_the_files():
    Path("run").mkdir()
    model = tiny_model(units=6)
    model.save("run")
    tensors = load_file("run/model.safetensors")
    own = {"backbone": model.network.backbone.network, "head": model.network.head}
    own["bottleneck"] = model.network.bottleneck
    expected = {f"{part}.{name}" for part, module in own.items() for name in module.state_dict()}
    assert set(tensors) == expected
    about = json.loads(Path("run/model.json").read_text())
    assert about["format"] == 1
    assert (about["architecture"], about["num_features"], about["bottleneck_units"]) == ("resnet10t", 16, 6)
    assert (about["num_classes"], about["classes"], about["label_kind"]) == (3, ["a", "b", "c"], "class")
    assert [about[key] for key in ("temperature", "memory_format", "domain")] == [None, None, None]
    assert about["head"] == {"_target_": "transferlab.strategy.head.linear.Linear"}
    assert sorted(file.name for file in Path("run").iterdir()) == ["model.json", "model.safetensors"]


def test_the_memory_format_of_the_training():
    Path("run").mkdir()
    model = tiny_model()
    model.network.backbone.use_channels_last()
    model.save("run")
    again = Model.load("run").network.backbone
    assert again.memory_format == "channels_last"
    for one, other in zip(again.parameters(), model.network.backbone.parameters(), strict=True):
        assert one.stride() == other.stride()


def copied() -> tuple[Model, torch.Tensor]:
    """A model that was saved and whose files were moved into the folder `copy`, and images."""
    Path("run").mkdir()
    model = tiny_model("strategy/head=mlp", units=6)
    model.save("run")
    Path("copy").mkdir()
    for file in Path("run").iterdir():
        shutil.move(file, "copy")
    Path("run").rmdir()
    Path("empty").mkdir()
    return model, torch.randn(7, 3, 32, 32)


def test_a_copy_gives_the_same_bits_in_an_empty_folder(monkeypatch):
    model, images = copied()
    monkeypatch.chdir("empty")
    loaded = Model.load("../copy")
    assert torch.equal(loaded.network(images), model.network(images))
    assert loaded.classes == model.classes
    assert not list(Path().iterdir())


@pytest.mark.slow
def test_a_copy_gives_the_same_bits_in_a_fresh_process():
    model, images = copied()
    torch.save(images, "images.pt")
    program = (
        "import torch\n"
        "from transferlab.model.model import Model\n"
        "model = Model.load('../copy')\n"
        "with torch.no_grad():\n"
        "    torch.save((model.network(torch.load('../images.pt')), model.classes), '../scores.pt')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd="empty", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    scores, classes = torch.load("scores.pt")
    assert torch.equal(scores, model.network(images))
    assert classes == model.classes
    assert not list(Path("empty").iterdir())


def test_an_own_head_needs_the_permission(monkeypatch):
    Path("conf/strategy/head").mkdir(parents=True)
    Path("conf/strategy/head/cosine.yaml").write_text("# angles\n_target_: my_head.Cosine\nsharpness: 4.0\n")
    Path("my_head.py").write_text(COSINE)
    monkeypatch.syspath_prepend(".")
    model = tiny_model("strategy/head=cosine", "allow=[my_head]")
    Path("run").mkdir()
    model.save("run")
    with pytest.raises(UserError, match=r"run/model\.json: .*may not name .*Fix: .* allow=\[my_head\]"):
        Model.load("run")
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(Model.load("run", allow=["my_head"]).network(images), model.network(images))


def test_a_kill_between_the_two_files_is_seen(monkeypatch):
    Path("run").mkdir()
    tiny_model().save("run")
    monkeypatch.setattr(Path, "replace", _killed(Path.replace, "model.safetensors"))
    with pytest.raises(KeyboardInterrupt):
        tiny_model(seed=1).save("run")
    with pytest.raises(UserError, match=r"run/model\.safetensors: model\.json beside it belongs to another"):
        Model.load("run")


def _killed(original, name: str):
    def replace(self: Path, target: Path) -> Path:
        if target.name == name:
            raise KeyboardInterrupt
        return original(self, target)

    return replace


HEAD = {"_target_": "transferlab.strategy.head.linear.Linear"}
SYSTEM = {"_target_": "os.system", "command": "touch exploded"}
DAMAGED = {
    "format": [(2, "its format is 2, and this version of transferlab reads 1"), (None, "its format is null")],
    "architecture": [("resnet19", "has no such network"), ("test_vit", "does not take this")],
    "model_kwargs": [({"pretrained": True}, "kwargs.pretrained"), ({"no": 1}, "does not take this")],
    "classes": [
        (["a", "b"], "`num_classes` cannot be 3"),
        (["a", "a", "b"], "`classes` cannot be"),
        ("abc", "`classes` cannot be"),
    ],
    "num_features": [(0, "`num_features` cannot be 0"), (17, "its head is not the one that model.json")],
    "bottleneck_units": [(5, "its bottleneck is not the one")],
    "label_kind": [("number", '`label_kind` cannot be "number"')],
    "temperature": [
        (0, "`temperature` cannot be 0"),
        (True, "`temperature` cannot be true"),
        (INF, "`temperature` cannot be Inf"),
    ],
    "mean": [([0.5, -INF, 0.5], "`mean` cannot be")],
    "std": [([0.5, 0, 0.5], "`std` cannot be"), ([0.5, INF, 0.5], "`std` cannot be")],
    "memory_format": [("channels_first", "`memory_format` cannot be")],
    "domain": [("source", "`domain` cannot be")],
    "input_size": [([3, 32, -1], "`input_size` cannot be")],
    "crop_pct": [(2.5, "`crop_pct` cannot be 2.5")],
    "interpolation": [("lanczos", "`interpolation` cannot be")],
    "sha256": [("0", "belongs to another file")],
    "head": [
        (SYSTEM, "head._target_=os.system: a model may not name this class"),
        ({}, "`head` cannot be"),
        ("${oc.env:HOME}", "`head` cannot be"),
        (HEAD | {"width": "${oc.env:HOME}"}, "`head` cannot be"),
        (HEAD | {"width": 3}, "head.width: there is no such key"),
        (HEAD | {"_partial_": True}, "head._partial_: there is no such key"),
        (HEAD | {"_args_": [SYSTEM]}, "head._args_: there is no such key"),
        ({"_target_": "transferlab.strategy.head.mlp.MLP", "hidden_units": SYSTEM}, "os.system"),
        ({"_target_": "transferlab.strategy.head.mlp.MLP", "hidden_units": "x"}, "head.hidden_units=x: must"),
        ({"_target_": "transferlab.strategy.head.mlp.MLP"}, "its head is not the one that model.json"),
        ({"_target_": "transferlab.training.fit_settings.FitSettings"}, "is no head that can be built"),
        ({"_target_": "pytorch_lightning.Trainer"}, "may not name this class"),
        ({"_target_": "nobody.Head"}, "may not name this class"),
    ],
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    tiny_model().save(folder)
    return folder


@pytest.mark.parametrize(
    ("key", "value", "text"), [(k, v, t) for k, all_of in DAMAGED.items() for v, t in all_of]
)
def test_a_json_that_is_not_right(saved, key, value, text):
    assert_refused(saved, {key: value}, text)


@pytest.mark.parametrize("key", [*DAMAGED, "num_classes"])
def test_a_json_that_lacks_something(saved, key):
    if key != "model_kwargs":  # without any, the architecture alone says all
        assert_refused(saved, {key: ...}, key)


def assert_refused(saved: Path, changes: dict, text: str) -> None:
    shutil.copytree(saved, "run")
    about = json.loads(Path("run/model.json").read_text()) | changes
    Path("run/model.json").write_text(json.dumps({k: v for k, v in about.items() if v is not ...}))
    with pytest.raises(UserError) as caught:
        Model.load("run")
    said = str(caught.value)
    assert text in said
    assert "run/model." in said
    assert "Fix: " in said
    assert "\n" not in said
    assert not Path("exploded").exists()


def test_files_that_are_not_right(saved):
    def refused(text: str) -> None:
        with pytest.raises(UserError, match=text) as caught:
            Model.load("run")
        assert "Fix: " in str(caught.value)

    Path("run").mkdir()
    refused("run: this folder holds no model.safetensors")
    shutil.copy(saved / "model.safetensors", "run")
    refused("run: this folder holds no model.json")
    shutil.copy(saved / "model.json", "run")
    whole = Path("run/model.safetensors").read_bytes()
    for length in (len(whole) // 2, 100, 0):
        Path("run/model.safetensors").write_bytes(whole[:length])
        refused("run/model.safetensors: this is not readable safetensors")
    Path("run/model.safetensors").write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    refused("belongs to another file")
    Path("run/model.safetensors").write_bytes(whole)
    for text in ("{", "\xff", "[]", "3"):
        Path("run/model.json").write_bytes(text.encode("latin-1"))
        refused("run/model.json: (this is not readable JSON|this is not UTF-8 text|its format is null)")
    Path("other").mkdir()
    tiny_model(classes=("d", "e", "f"), seed=1).save("other")
    shutil.copy("other/model.json", "run")
    refused("run/model.safetensors: model.json beside it belongs to another file")
