"""The hooks of a strategy's parts: when they are called, what is written of them, and a kill between them."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import pytorch_lightning as pl
import torch
from safetensors.torch import load_file

from tests.strategy.tiny import tiny_classifier
from tests.training.processes import command, in_child, kill_at_call, was_killed
from tests.training.ranks import on_ranks, train_on_ranks
from tests.training.test_resume import STEPS_AN_EPOCH, TINY, assert_same, overrides
from tests.training.witnesses import EVENTS, OWN, WitnessObjective, WitnessPenalty, write_configs
from transferlab.run.run_folder import Run
from transferlab.strategy.head.linear import Linear
from transferlab.strategy.learning_rates.schedule import LearningRates
from transferlab.strategy.parts import Facts, named_parts
from transferlab.strategy.strategy import Strategy
from transferlab.strategy.unfreezing.last import Last
from transferlab.training import runs
from transferlab.training.fit_settings import FitSettings
from transferlab.training.frozen.prefix_policy import why_not_stored
from transferlab.training.lightning.checkpoint_content import load_checkpoint
from transferlab.training.lightning.module import TransferModule

ALLOW = ["tests.training.witnesses"]
PROGRESSIVE = ["strategy=progressive_unfreezing", "trainer.accumulate_grad_batches=2"]
PROBE = ["strategy=feature_extraction", "strategy/head=linear", "trainer.max_epochs=2"]


@pytest.fixture(autouse=True)
def _own_configs():
    write_configs()


def arguments(*further: str) -> list[str]:
    return [*TINY, "backbone.name=test_resnet", "data=digits", *further, *OWN]


def train(folder: str, *further: str) -> Run:
    assert in_child(lambda: runs.train([*arguments(*further), f"hydra.run.dir={folder}"])) == 0
    return Run(folder)


def killed(call: int, owner: type, method: str, action) -> None:
    def until_killed() -> None:
        kill_at_call(owner, method, call)
        action()

    assert was_killed(in_child(until_killed))


def memory(folder: str) -> dict[str, torch.Tensor]:
    return load_file(Path(folder, "memory.safetensors"))


def test_every_hook_in_its_order():
    network = tiny_classifier()
    strategy = Strategy(
        head=Linear(),
        unfreezing=Last(num_stages=1),
        objective=WitnessObjective(),
        penalty={"witness": WitnessPenalty()},
        learning_rates=LearningRates(schedule="constant", base=0.01, optimizer="sgd"),
    )
    EVENTS.clear()
    strategy.begin(network, Facts(network.backbone.num_features, torch.tensor([4, 2, 2])))
    module = TransferModule(network, strategy, FitSettings(), seed=0)
    samples = [
        {"input": torch.randn(3, 32, 32), "label": torch.tensor(n % 3), "index": torch.tensor(n)}
        for n in range(20)
    ]
    loader = torch.utils.data.DataLoader(samples, batch_size=4)
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=2,
        num_sanity_val_steps=0,
        accumulate_grad_batches=2,
        gradient_clip_val=0.01,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, loader, loader)
    both = ("WitnessObjective", "WitnessPenalty")
    steps = range(1, 2 * 3 + 1)  # five batches an epoch, two to a step
    expected = [(name, hook, 0) for hook in ("prepare", "remember") for name in both]
    expected += [
        (name, hook, step) for step in steps for hook in ("before_step", "after_step") for name in both
    ]
    assert expected == EVENTS
    for part in strategy.parts.values():
        before, after = part.norms.tolist()
        assert before > 0.1
        assert after == pytest.approx(0.01, rel=1e-3)  # clipped in between
        assert part.priors.tolist() == [0.5, 0.25, 0.25]


def test_killed_in_a_step_and_while_concluding():
    alone = train("alone", *PROGRESSIVE)
    starts = lambda: runs.train([*arguments(*PROGRESSIVE), "hydra.run.dir=killed"])  # noqa: E731
    goes_on = lambda: runs.resume("killed", allow=ALLOW)  # noqa: E731
    killed(STEPS_AN_EPOCH + 4, TransferModule, "training_step", starts)
    killed(1, WitnessPenalty, "conclude", goes_on)
    assert Run("killed").status == "interrupted"
    assert not Path("killed/memory.safetensors").exists()
    assert in_child(goes_on) == 0
    assert_same("killed", "alone")
    assert Path("killed/memory.safetensors").read_bytes() == Path("alone/memory.safetensors").read_bytes()
    states = [load_checkpoint(Run(run).last_checkpoint)["state_dict"] for run in ("killed", "alone")]
    assert {"objective.path", "penalties.witness.path"} <= states[0].keys()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])

    told = [text for text in alone.result["warnings"] if text.startswith("Witness")]
    assert told == ["WitnessObjective is prepared.", "WitnessPenalty is prepared."]
    tensors = memory("alone")
    selected = 3 * (alone.result["selection"]["epoch"] + 1)
    for part in ("objective", "penalty.witness"):
        assert tensors[f"{part}.calls"].tolist() == [selected, selected]
        assert tensors[f"{part}.path"].abs().sum() > 0
        assert tensors[f"{part}.sensitivity"].abs().sum() > 0
        assert len(tensors[f"{part}.labels"]) == 40  # 4 shots of 10 classes
        head = load_file("alone/model.safetensors")["head.weight"]
        assert torch.equal(tensors[f"{part}.moved"], head - states[1]["objective.start"])
        assert (
            0 < tensors[f"{part}.trained"].sum() < len(tensors[f"{part}.trained"])
        )  # two stages and the head
    assert torch.equal(tensors["objective.sensitivity"], tensors["penalty.witness.sensitivity"])


@pytest.mark.parametrize("views", [(), ("data/augmentation=light", "features.views=2")])
def test_heads_alone_conclude_as_lightning_does(views):
    kept, _ = train("kept", *PROBE, *views), train("whole", *PROBE, *views, "features.cache=off")
    assert not kept.last_checkpoint.exists()
    found, expected = memory("kept"), memory("whole")
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        if views or not name.endswith(".inputs"):  # features, where the features of the images are stored
            torch.testing.assert_close(found[name], tensor, rtol=0, atol=2e-5)
    assert found["objective.trained"].sum() == 2  # of the whole network
    if views:
        return
    killed(
        1,
        WitnessPenalty,
        "conclude",
        lambda: runs.train([*arguments(*PROBE), "hydra.run.dir=killed"]),
    )
    assert in_child(lambda: runs.resume("killed", allow=ALLOW)) == 0
    assert_same("killed", "kept")
    assert Path("killed/memory.safetensors").read_bytes() == Path("kept/memory.safetensors").read_bytes()


def test_heads_of_a_sweep_conclude_each_for_itself():
    rates = "strategy.learning_rates.base=0.01,0.02"
    code, shown, said = command(["train", "-m", *arguments(*PROBE), rates, "hydra.sweep.dir=sweep"])
    assert code == 0, said
    assert "2 heads train together" in shown
    train("alone", *PROBE, "strategy.learning_rates.base=0.02")
    rate = lambda run: str(Run(run).config_file.read_text().partition("  base: ")[2][:4])  # noqa: E731
    first, second = sorted(Path("sweep").glob("*/memory.safetensors"), key=lambda file: rate(file.parent))
    assert second.read_bytes() == Path("alone/memory.safetensors").read_bytes() != first.read_bytes()


def test_killed_behind_a_fit_by_lightning_on_stored_features():
    chosen = [*PROBE, "trainer.accumulate_grad_batches=2"]
    train("alone", *chosen)
    starts = lambda: runs.train([*arguments(*chosen), "hydra.run.dir=killed"])  # noqa: E731
    killed(1, WitnessPenalty, "conclude", starts)
    assert in_child(lambda: runs.resume("killed", allow=ALLOW)) == 0
    assert_same("killed", "alone")
    assert Path("killed/memory.safetensors").read_bytes() == Path("alone/memory.safetensors").read_bytes()


def test_nothing_concludes_nothing_is_written(trained):
    assert not Path(trained(*overrides()), "memory.safetensors").exists()


@pytest.mark.slow
def test_two_processes():
    """Both call the step hooks with the same gradients, one concludes; ended and resumed, the same bits."""

    def prepare():
        EVENTS.clear()
        return lambda: [(name, hook, step) for name, hook, step in EVENTS]

    first, second = train_on_ranks("alone", arguments(*PROGRESSIVE[:1]), prepare=prepare)
    assert [event for event in first if event[1] != "conclude"] == second
    assert [event for event in first if event[1] == "conclude"] == [
        ("WitnessObjective", "conclude", 0),
        ("WitnessPenalty", "conclude", 0),
    ]
    assert len(memory("alone")["objective.labels"]) == 40

    def ends():
        original, calls = TransferModule.training_step, []

        def step(self, batch, batch_idx):
            calls.append(batch_idx)
            if len(calls) == 6:
                os._exit(0)
            return original(self, batch, batch_idx)

        TransferModule.training_step = step
        return lambda: None

    with pytest.raises(FileNotFoundError):  # what both would have returned
        train_on_ranks("ended", arguments(*PROGRESSIVE[:1]), prepare=ends)
    assert Run("ended").status == "interrupted"
    assert Run("ended").last_checkpoint.exists()
    on_ranks(lambda rank: runs.resume("ended", allow=ALLOW) and None)
    assert_same("ended", "alone")
    assert Path("ended/memory.safetensors").read_bytes() == Path("alone/memory.safetensors").read_bytes()


def images_needed(folder: str, *further: str) -> Run:
    own = ["strategy/objective=input_gradient", "allow=[tests.training.witnesses]"]
    run = [*TINY, "backbone.name=test_resnet", "data=digits", *further, *own, f"hydra.run.dir={folder}"]
    assert in_child(lambda: runs.train(run)) == 0
    return Run(folder)


NOTE = "strategy.objective: InputGradient works on the images, so the frozen layers run in each epoch."


@pytest.mark.parametrize(
    "strategy",
    ["feature_extraction", "progressive_unfreezing", pytest.param("partial", marks=pytest.mark.slow)],
)
def test_an_objective_on_pixels_gets_no_activations(strategy):
    chosen = [f"strategy={strategy}", "strategy/head=linear", "trainer.max_epochs=2"]
    auto = images_needed("auto", *chosen, "features.cache=auto")
    images_needed("off", *chosen, "features.cache=off")
    assert_same("auto", "off")
    assert not Path("cache/features").exists()
    assert NOTE in auto.result["warnings"]
    assert NOTE not in Run("off").result["warnings"]
    side = 32
    assert (auto.history["train/values"] == 3 * side * side).all()
    assert (auto.history["train/size"] > 0).all()


def test_a_penalty_on_pixels_is_named():
    class Pixels(WitnessPenalty):
        needs_images = True

    parts = named_parts(WitnessObjective(), {"pixels": Pixels()})
    batches = SimpleNamespace(settings=None)
    experiment = SimpleNamespace(strategy=SimpleNamespace(parts=parts), batches=batches)
    said = "strategy.penalty.pixels: Pixels works on the images, so the frozen layers run in each epoch."
    assert why_not_stored(experiment) == said


def test_where_nothing_is_frozen_nothing_is_said():
    run = images_needed("run", "strategy=fine_tune", "trainer.max_epochs=1")
    assert NOTE not in run.result["warnings"]
    assert (run.history["train/size"] > 0).all()
