"""Heads on kept features: the same as with the whole network in each epoch, and nothing is computed twice."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from tests.training.processes import command, in_child, kill_at_call, was_killed
from tests.training.test_resume import TINY, assert_same
from transferlab.config.compose import compose_checked
from transferlab.run.run_folder import Run
from transferlab.training import runs
from transferlab.training.build import build
from transferlab.training.heads.alone import AloneLearner

PROBE = [
    *(
        *TINY,
        "backbone.name=test_resnet",
        "data=digits",
        "strategy=feature_extraction",
        "strategy/head=linear",
    ),
    *("trainer.max_epochs=2", "fit.checkpoint_every_steps=null"),
]


def assert_close(one: Run, other: Run, *, atol: float = 1e-5) -> None:
    histories = [run.history.drop(columns="seconds") for run in (one, other)]
    assert list(histories[0]) == list(histories[1])
    pd.testing.assert_frame_equal(*histories, rtol=0, atol=atol)
    heads = [load_file(run.path / "model.safetensors") for run in (one, other)]
    assert heads[0].keys() == heads[1].keys()
    for name, weight in heads[0].items():
        np.testing.assert_allclose(weight, heads[1][name], rtol=0, atol=atol, err_msg=name)
    for part in ("val", "test"):
        probabilities = [run.predictions(part).filter(like="p(") for run in (one, other)]
        assert list(one.predictions(part)["sample"]) == list(other.predictions(part)["sample"])
        pd.testing.assert_frame_equal(*probabilities, rtol=0, atol=atol)
        assert one.result[part]["accuracy"] == other.result[part]["accuracy"]


@pytest.mark.parametrize(
    "setting",
    [
        (),
        ("strategy.head_dropout=0.3", "strategy/head=mlp"),
        ("data/augmentation=light", "features.views=2", "data.sampling=balanced"),
        *(
            pytest.param(setting, marks=pytest.mark.slow)
            for setting in (
                ("strategy/objective=focal", "strategy.learning_rates.warmup_epochs=1.5"),
                (
                    "strategy.learning_rates.optimizer=sgd",
                    "strategy/penalty=[l1,l2_sp]",
                    "data.steps_per_epoch=7",
                ),
                ("fit.early_stopping_patience=1", "fit.min_delta=1.0", "strategy.selection=last"),
            )
        ),
    ],
    ids=lambda setting: setting[0] if setting else "plain",
)
def test_equal_to_the_whole_network_in_each_epoch(setting, trained):
    kept, whole = (Run(trained(*PROBE, *setting, *further)) for further in ((), ("features.cache=off",)))
    assert not kept.last_checkpoint.exists()
    assert whole.last_checkpoint.exists()
    assert_close(kept, whole)


@pytest.mark.slow
def test_settings_that_need_lightning_get_it_on_kept_features(trained):
    settings = (*PROBE, "trainer.gradient_clip_val=0.1", "trainer.accumulate_grad_batches=2")
    kept, whole = Run(trained(*settings)), Run(trained(*settings, "features.cache=off"))
    assert kept.last_checkpoint.exists()
    assert_close(kept, whole)


def test_the_second_run_computes_no_features():
    def shards() -> dict[str, int]:
        return {str(file): file.stat().st_ino for file in Path("cache/features").rglob("*") if file.is_file()}

    code, shown, said = command(["train", *PROBE, "hydra.run.dir=one"])
    assert code == 0, said
    assert "running the frozen layers once on" in shown
    before = shards()
    assert before
    code, shown, said = command(["train", *PROBE, "hydra.run.dir=two", "strategy.learning_rates.base=0.1"])
    assert code == 0, said
    assert "running the frozen layers" not in shown
    assert before.items() <= shards().items()
    assert Run("one").result["test"] != Run("two").result["test"]


def test_killed_in_the_fit_of_a_head_and_resumed(trained):
    alone = trained(*PROBE)

    def killed() -> None:
        kill_at_call(AloneLearner, "train_epoch", 2)
        runs.train([*PROBE, "hydra.run.dir=killed"])

    assert was_killed(in_child(killed))
    assert Run("killed").status == "interrupted"
    assert in_child(lambda: runs.resume("killed")) == 0
    assert_same("killed", alone)


def test_damaged_features_are_computed_again(trained):
    first = Run(trained(*PROBE))
    shutil.copytree(first.path.parent / "cache", "cache")
    largest = max(Path("cache/features").rglob("*"), key=lambda file: file.stat().st_size * file.is_file())
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 0xFF
    largest.write_bytes(content)
    code, shown, said = command(["train", *PROBE, "hydra.run.dir=two"])
    assert code == 0, said
    assert "running the frozen layers once on" in shown
    assert_close(first, Run("two"), atol=0)


def test_a_folder_that_can_not_be_written_is_said_and_does_no_harm(trained):
    first = Run(trained(*PROBE))
    Path("file").write_text("no folder")
    code, _, said = command(["train", *PROBE, "hydra.run.dir=two"], prepare=lambda: _use_cache("file/cache"))
    assert code == 0, said
    assert "caches go into " in said
    assert_close(first, Run("two"), atol=0)


def _use_cache(folder: str) -> None:
    import os

    os.environ["TRANSFERLAB_CACHE"] = folder


def test_augmentation_without_views_is_said():
    code, shown, said = command(
        ["train", *PROBE, "data/augmentation=light", "features.views=null", "hydra.run.dir=run"]
    )
    assert code == 0, said
    assert "features.views=4" in shown
    assert any("features.views=4" in text for text in Run("run").result["warnings"])
    assert not Path("cache/features").exists()


def test_bfloat16_features_are_close(trained):
    exact, fast = Run(trained(*PROBE)), Run(trained(*PROBE, "features.precision=bfloat16"))
    difference = (exact.history["train/loss"] - fast.history["train/loss"]).abs().max()
    assert 0 < difference < 0.02


@pytest.mark.slow
def test_a_warm_fit_imports_no_more_than_it_uses(trained):
    shutil.copytree(Path(trained(*PROBE)).parent / "cache", "cache")
    unused = ("pytorch_lightning", "wandb", "matplotlib", "tensorboard", "torchmetrics")
    program = (
        "import sys\n"
        "from transferlab.training import runs\n"
        f"runs.train({[*PROBE, 'hydra.run.dir=again']!r})\n"
        f"print([name for name in {unused!r} if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


LOGISTIC = ["data=digits", "strategy=feature_extraction", "strategy/head=logistic", "data.shots_per_class=10"]


def test_a_logistic_head_learns_and_says_what_it_chose(trained):
    kept, whole = Run(trained(*LOGISTIC)), Run(trained(*LOGISTIC, "features.cache=off"))
    assert_close(kept, whole)
    chosen = kept.result["selection"]["head"]
    assert chosen["converged"]
    assert chosen["val_loss"] == min(tried["val_loss"] for tried in chosen["strengths"])
    assert chosen["val_loss"] == pytest.approx(kept.result["val"]["loss"], abs=1e-5)
    assert kept.result["test"]["accuracy"] > 0.75
    assert len(kept.history) == 1


FROZEN = [*TINY, "backbone.name=test_resnet", "data=digits", "strategy=feature_extraction"]


def test_by_default_the_backbone_runs_once_on_each_image_as_it_is(trained):
    augmented = [*FROZEN, "data/augmentation=standard"]
    plain, whole = Run(trained(*FROZEN)), Run(trained(*augmented, "features.cache=off"))
    assert_close(plain, whole, atol=1e-5)
    shutil.copytree(plain.path.parent / "cache", "cache")
    code, shown, said = command(["train", *augmented, "hydra.run.dir=two"])
    assert code == 0, said
    assert "running the frozen layers" not in shown
    assert_close(plain, Run("two"), atol=0)
    assert "data/augmentation has no effect: the backbone is frozen" in shown


@pytest.mark.parametrize(
    ("further", "views", "is_random"),
    [
        ([], None, False),
        (["features.views=2"], 2, True),
        (["features.views=null"], None, True),
        (["strategy=lp_ft"], None, True),
        (["strategy=lp_ft", "features.views=2"], 2, True),
        (["strategy/head=linear", "data/mixing=mixup"], None, True),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_training_sees(further, views, is_random):
    config = compose_checked([*FROZEN, "data/augmentation=standard", *further]).config
    batches = build(config).batches
    assert (batches.views, batches.settings.augmentation.is_random) == (views, is_random)
