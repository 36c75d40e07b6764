"""`strategy.start_from=model`: a training that goes on with the head of a trained model."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from tests.model.saved import pictures, tiny_model
from tests.training.processes import command, in_child
from tests.training.test_resume import assert_same, resume, train_alone, train_killed
from transferlab.config.compose import ConfigError, compose_checked
from transferlab.model.model import Model
from transferlab.model.warm_start import class_axes
from transferlab.run.errors import UserError
from transferlab.run.run_folder import Run
from transferlab.training import runs
from transferlab.training.build import Experiment, build
from transferlab.training.heads.alone import AloneLearner
from transferlab.training.lightning.module import TransferModule

MODEL_CLASSES = ("d", "b", "a", "c")  # no data has them in this order
# a matrix from classes to classes, a temperature, and a part that is as large for any number of classes
TRANSITIONS = """\
import torch
from torch import nn


class Noisy(nn.Module):
    def __init__(self, num_features, num_classes):
        super().__init__()
        self.between = nn.Linear(num_features, 4)
        self.scores = nn.Linear(4, num_classes)
        self.transitions = nn.Parameter(torch.eye(num_classes))
        self.register_buffer("seen", torch.zeros(num_classes, dtype=torch.int64))
        self.sharpness = nn.Parameter(torch.tensor(2.0))

    def forward(self, features):
        return self.sharpness * self.scores(self.between(features)) @ self.transitions


class OneEach(nn.Module):
    def __init__(self, num_features, num_classes):
        super().__init__()
        self.each = nn.ModuleList([nn.Linear(num_features, 1) for _ in range(num_classes)])

    def forward(self, features):
        return torch.cat([layer(features) for layer in self.each], dim=1)


class Head:
    def __init__(self, *, kind: str = "Noisy") -> None:
        self.kind = kind

    def build(self, num_features, num_classes):
        return globals()[self.kind](num_features, num_classes)
"""
MLP = ["strategy/head=mlp", "strategy.head.hidden_units=4", "strategy.head.dropout=0.5"]  # as many as classes
OWN = ["strategy/head=own", "allow=[own_head]"]


@pytest.fixture(autouse=True)
def _own_head(monkeypatch):
    Path("conf/strategy/head").mkdir(parents=True)
    Path("conf/strategy/head/own.yaml").write_text("# own\n_target_: own_head.Head\nkind: Noisy\n")
    Path("own_head.py").write_text(TRANSITIONS)
    monkeypatch.syspath_prepend(str(Path.cwd()))


def saved(*chosen: str, classes: tuple[str, ...] = MODEL_CLASSES, units: int | None = None) -> Model:
    Path("model").mkdir()
    model = tiny_model(*chosen, classes=classes, units=units)
    model.save("model")
    return model


def settings(*further: str) -> list[str]:
    return [
        *("backbone=timm", "backbone.weights=model", "strategy.start_from=model"),
        *("data=folder", "data.root=photos", "data.image_size=32", "data.batch_size=4", "data.num_workers=0"),
        *("data/augmentation=none", "data.val_fraction=0.25", "data.test_fraction=0.25"),
        *("trainer.accelerator=cpu", "trainer.enable_progress_bar=false", "trainer.max_epochs=2", *further),
    ]


def built(classes: str, *further: str) -> Experiment:
    pictures("photos", classes)
    return build(compose_checked(settings(*further)).config)


@pytest.mark.parametrize("head", [["strategy/head=linear"], MLP, OWN], ids=["linear", "mlp", "own"])
@pytest.mark.parametrize("classes", ["abcd", "bcde", "abcdef", "de"])
def test_classes_keep_their_scores_wherever_they_stand(head, classes):
    model = saved(*head)
    experiment = built(classes, *head)
    network = experiment.network.eval()
    images = torch.randn(6, 3, 32, 32)
    scores, expected = network(images), model.network(images)
    common = [name for name in classes if name in MODEL_CLASSES]
    if head != OWN or len(common) == 4:  # lost classes had a share in the scores of others there
        for name in common:
            torch.testing.assert_close(
                scores[:, classes.index(name)], expected[:, MODEL_CLASSES.index(name)], rtol=1e-5, atol=1e-5
            )
    lost = ", ".join(name for name in MODEL_CLASSES if name not in classes)
    new = ", ".join(name for name in classes if name not in MODEL_CLASSES)
    assert list(experiment.notes) == [
        f"strategy.start_from=model: {names} {what}"
        for names, what in (
            (lost, "of the model's classes are not in the data: their rows of the head are left out."),
            (new, "are not among the model's classes: their rows of the head start fresh."),
        )
        if names
    ]


def test_new_classes_start_as_a_fresh_head_does():
    saved()
    warm = built("abe").network.head
    fresh = build(compose_checked(settings("strategy.start_from=weights")).config).network.head
    assert torch.equal(warm.weight[2], fresh.weight[2])
    assert not torch.equal(warm.weight[0], fresh.weight[0])


def test_everything_else_is_drawn_as_with_a_fresh_head():
    saved()
    first = built("abe", "strategy/unfreezing=all")
    drawn = torch.rand(3)
    build(compose_checked(settings("strategy.start_from=weights")).config)
    assert torch.equal(torch.rand(3), drawn)
    for name, tensor in load_file("model/model.safetensors").items():
        if name.startswith("backbone."):
            own = first.network.backbone.network.state_dict()[name.removeprefix("backbone.")]
            assert torch.equal(own, tensor)


def test_a_bottleneck_goes_with_it():
    model = saved(units=6)
    network = built("abcd", "strategy.bottleneck_units=6").network.eval()
    images = torch.randn(4, 3, 32, 32)
    assert torch.equal(network.features(images), model.network.features(images))
    expected = model.network(images)[:, [MODEL_CLASSES.index(name) for name in "abcd"]]
    torch.testing.assert_close(network(images), expected, rtol=1e-5, atol=1e-5)


def test_a_head_whose_tensors_do_not_tell_the_classes_apart():
    each = [*OWN, "strategy.head.kind=OneEach"]
    model = saved(*each, classes=("a", "b", "c"))
    images = torch.randn(4, 3, 32, 32)
    assert torch.equal(built("abc", *each).network.eval()(images), model.network(images))
    pictures("photos", "d")
    with pytest.raises(UserError, match=r"without one entry per class, so the data must have .*: a, b, c"):
        build(compose_checked(settings(*each)).config)


def test_class_axes_are_found_by_what_changes():
    def state(make: Any) -> dict[int, dict[str, torch.Tensor]]:
        return {count: make(count).state_dict() for count in (3, 7, 4)}

    assert class_axes(state(lambda n: nn.Linear(3, n))) == {"weight": [0], "bias": [0]}
    square = class_axes(state(lambda n: nn.Bilinear(n, 3, n)))
    assert square == {"weight": [0, 1], "bias": [0]}
    assert class_axes(state(lambda n: nn.Linear(3, 2 * n))) is None
    assert class_axes(state(lambda n: nn.ModuleList([nn.Linear(2, 1)] * n))) is None


@pytest.mark.parametrize(
    ("head", "asked", "text"),
    [
        ([], MLP, r"strategy\.head: the model in model has another head, .*Linear\. Fix: choose this class"),
        (MLP, [], r"another head, .*MLP\. Fix: .*strategy\.head\.hidden_units=4"),
        (MLP, [*MLP, "strategy.head.activation=gelu"], r"Fix: .*strategy\.head\.activation=relu"),
        (MLP, [*MLP, "strategy.head.hidden_units=5"], r"Fix: .*strategy\.head\.hidden_units=4"),
    ],
)
def test_another_head(head, asked, text):
    saved(*head)
    with pytest.raises(UserError, match=text):
        built("abcd", *asked)


def test_no_class_in_common():
    saved()
    with pytest.raises(UserError, match="has the classes d, b, a, c, and the data has x, y: none in common"):
        built("xy")


def problems(*further: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        compose_checked(settings(*further))
    return caught.value.problems


def test_what_is_said_before_torch():
    Path("photos").mkdir()
    Path("file.safetensors").touch()
    Path("empty").mkdir()
    for weights in ("hub", "random", "shipped", "file.safetensors", "empty"):
        [problem] = problems(f"backbone.weights={weights}", "backbone.name=resnet10t")
        assert problem.startswith(f"backbone.weights={weights}: strategy.start_from=model goes on with ")
        assert "Fix: backbone.weights=FOLDER" in problem
    [problem] = problems("backbone.weights=gone")
    assert "there is no such file or folder" in problem
    saved(units=6)
    for asked in ("null", "5"):
        [problem] = problems(f"strategy.bottleneck_units={asked}")
        assert problem.startswith(
            f"strategy.bottleneck_units={asked}: the model in model has one of 6 units."
        )
    assert compose_checked(settings("strategy.bottleneck_units=6")).warnings == []


def test_a_fit_to_convergence_needs_no_start():
    saved()
    logistic = settings("strategy=feature_extraction", "strategy/head=logistic", "strategy.start_from=model")
    pictures("photos", "xy")
    composed = compose_checked(logistic)
    assert [text for text in composed.warnings if "nothing is used" in text]
    assert build(composed.config).notes == ()


SLOWLY = "strategy.learning_rates.base=1.0e-12"


def scores(folder: str) -> pd.DataFrame:
    return Run(folder).predictions("test").set_index("sample").filter(like="p(").sort_index(axis=1)


@pytest.mark.parametrize(
    "further",
    [["strategy=lp_ft"], ["strategy=feature_extraction", "strategy/head=linear"]],
    ids=["lightning", "head loop"],
)
def test_a_training_that_does_not_move_is_an_evaluation(further):
    saved()
    pictures("photos", "abcd", each=8)
    once = [*settings(*further, SLOWLY, "trainer.max_epochs=1"), "hydra.run.dir=run"]
    code, _, said = command(["train", *once])
    assert code == 0, said
    code, _, said = command(["evaluate", "model", "data=folder", "data.root=photos", "--out", "again"])
    assert code == 0, said
    known = scores("run")
    expected = scores("again").loc[known.index]
    pd.testing.assert_frame_equal(known, expected, atol=1e-5, check_exact=False)
    weights = load_file("run/model.safetensors")["head.weight"]
    before = load_file("model/model.safetensors")["head.weight"]
    rows = [MODEL_CLASSES.index(name) for name in "abcd"]
    torch.testing.assert_close(weights, before[rows], rtol=0, atol=1e-6)


def test_heads_that_train_together_start_from_it():
    saved()
    pictures("photos", "abcd", each=8)
    sweep = [
        "-m",
        "strategy=feature_extraction",
        "strategy/head=linear",
        "seed=0,1",
        f"{SLOWLY},2.0e-12",
        "hydra.sweep.dir=sweep",
    ]
    code, shown, said = command(["train", *settings(*sweep)])
    assert code == 0, shown + said
    assert "heads train together" in shown
    before = load_file("model/model.safetensors")["head.weight"]
    files = list(Path("sweep").glob("*/model.safetensors"))
    assert len(files) == 4
    for file in files:
        rows = [MODEL_CLASSES.index(name) for name in "abcd"]
        torch.testing.assert_close(load_file(file)["head.weight"], before[rows], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("further", "owner", "method"),
    [
        (["strategy/head=linear", "fit.checkpoint_every_steps=1"], TransferModule, "training_step"),
        pytest.param(
            [
                *MLP,
                "strategy=progressive_unfreezing",
                "strategy/penalty=[l2_sp]",
                "fit.checkpoint_every_steps=1",
            ],
            *(TransferModule, "training_step"),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ["strategy=feature_extraction", "strategy/head=linear"],
            AloneLearner,
            "train_epoch",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_killed(further, owner, method):
    saved(*(MLP if set(MLP) <= set(further) else []))
    pictures("photos", "bcde", each=6)
    train_alone("alone", settings(*further))
    train_killed("killed", settings(*further), owner, method, 2)
    resume("killed")
    assert_same("killed", "alone")
    assert "e are not among the model's classes" in str(Run("killed").result["warnings"])


@pytest.mark.slow
def test_a_run_that_went_on_is_a_model_itself():
    """Also evaluated, and gone on from once more, when the first model is gone."""
    saved()
    pictures("photos", "abcd")
    assert in_child(lambda: runs.train([*settings(), "hydra.run.dir=run"])) == 0
    assert Model.load("run").classes == ("a", "b", "c", "d")
    shutil.rmtree("model")
    code, _, said = command(["evaluate", "run", "--out", "again"])
    assert code == 0, said
    assert Run("again").result["test"] == Run("run").result["test"]
    code, _, said = command(["train", *settings("backbone.weights=run"), "hydra.run.dir=next"])
    assert code == 0, said
