"""Averages of trained runs: means by hand, choices made on validation alone, misfits refused."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file, save_file

import transferlab
from transferlab.run.errors import UserError
from transferlab.run.run_folder import Run

TINY = [
    *("data.shots_per_class=4", "data.shots_seed=0", "data.val_fraction=0.03", "data.test_fraction=0.03"),
    *("data.batch_size=20", "trainer.max_epochs=1", "trainer.enable_progress_bar=false"),
    *("strategy=lp_ft", "strategy.bn=mixed", "strategy.learning_rates.warmup_epochs=0"),
    *("fit.keep_checkpoints=none", "strategy.learning_rates.base=0.01"),
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> list[Path]:
    """Two trained runs that differ in their seed."""
    root = tmp_path_factory.mktemp("average")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRANSFERLAB_CACHE", str(root / "cache"))
        for seed in (0, 1):
            transferlab.train([*TINY, f"seed={seed}", f"hydra.run.dir={root / f'seed_{seed}'}"])
    return [root / "seed_0", root / "seed_1"]


def tensors(folder: Path | str) -> dict[str, np.ndarray]:
    return load_file(Path(folder) / "model.safetensors")


def steps(folder: Path | str) -> pd.DataFrame:
    return pd.read_csv(Path(folder) / "average.csv").set_index("network")


def test_the_mean_of_two_runs_and_of_one(runs):
    made = transferlab.average(*runs, out="mean")
    one, other, mean = (tensors(folder) for folder in (*runs, made.path))
    statistics = [name for name in mean if "running_" in name or name.endswith("num_batches_tracked")]
    assert len(statistics) == 45
    for name in mean.keys() - set(statistics):
        np.testing.assert_array_equal(mean[name], ((one[name].astype(float) + other[name]) / 2).astype("f4"))
    name = "backbone.bn1.running_var"
    assert np.abs(mean[name] - (one[name] + other[name]) / 2).max() > 0  # not the mean of statistics
    assert "15 batch norms: each average got its own" in made.result["warnings"][0]

    table = steps("mean")
    assert table["val_accuracy"].tolist()[:2] == [Run(run).result["val"]["accuracy"] for run in runs]
    assert table.loc["mean of 2", "val_accuracy"] == made.result["val"]["accuracy"]
    assert (table["low"] < table["val_accuracy"]).all()
    assert (table["val_accuracy"] < table["high"]).all()
    assert transferlab.evaluate("mean", out="again").result["test"] == made.result["test"]

    alone = transferlab.average(runs[1], out="alone")
    expected = tensors(runs[1])
    assert all(value.tobytes() == expected[name].tobytes() for name, value in tensors("alone").items())
    assert alone.result["test"] == Run(runs[1]).result["test"]


def test_greedy_is_never_worse_on_validation_than_the_best_run(runs):
    made = transferlab.average(*runs, how="greedy", out="greedy")
    best = max(Run(run).result["val"]["accuracy"] for run in runs)
    table = steps("greedy")
    assert table["val_accuracy"].iloc[0] == best
    assert made.result["val"]["accuracy"] >= best
    kept = table[table["kept"] == "yes"]
    assert kept["val_accuracy"].is_monotonic_increasing
    assert made.result["val"]["accuracy"] == kept["val_accuracy"].iloc[-1]
    dropped = table[table["kept"] == "no"]
    assert (dropped["val_accuracy"] < best).all()


@pytest.mark.slow
@pytest.mark.parametrize("how", ["line", "wise_ft"])
def test_a_line_ends_at_the_run_and_its_best_point_is_taken(how, runs, monkeypatch):
    from transferlab.analysis import average

    predicted, asked = average.predicted, []
    monkeypatch.setattr(average, "predicted", lambda *a: (asked.append(len(a[2])), predicted(*a))[1])
    made = transferlab.average(*(runs if how == "line" else runs[1:]), how=how, out="line")
    table = steps("line")
    assert table["alpha"].tolist() == pytest.approx([tenth / 10 for tenth in range(11)])
    end = Run(runs[1]).result["val"]
    assert table.loc["alpha 1.0", ["val_accuracy", "val_loss"]].tolist() == [end["accuracy"], end["loss"]]
    chosen = table[table["kept"] == "yes"]
    assert chosen["val_accuracy"].tolist() == [table["val_accuracy"].max()]
    assert made.result["average"]["alpha"] == chosen["alpha"].item()
    val, test = (made.result[split]["samples"] for split in ("val", "test"))
    assert asked == [val] * 11 + [test]  # the test split once, in the end
    if how == "wise_ft":
        shipped = load_file(Path(transferlab.__file__).parent / "backbone" / "letters_resnet.safetensors")
        started = average.start_of(Run(runs[1].resolve()), (), ()).network.backbone.network.state_dict()
        for name, value in started.items():
            np.testing.assert_array_equal(value.numpy(), shipped[f"backbone.{name}"])
        probe = next(text for text in Run(runs[1]).result["warnings"] if "starts as a linear probe" in text)
        assert probe.endswith(f"validation accuracy {table.loc['alpha 0.0', 'val_accuracy']:.3f}")


def copy_of(run: Path) -> Path:
    shutil.copytree(run, "copy")
    return Path("copy")


def about(copy: Path, **changes: object) -> None:
    file = copy / "model.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def with_nan(copy: Path) -> None:
    content = tensors(copy)
    content["head.weight"][0, 0] = np.nan
    save_file(content, copy / "model.safetensors")
    about(copy, sha256=hashlib.sha256((copy / "model.safetensors").read_bytes()).hexdigest())


def cut(copy: Path, name: str) -> None:
    file = copy / name
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def status(copy: Path, value: str) -> None:
    Run(copy).write_json("result.json", {**Run(copy).result, "status": value})


@pytest.mark.parametrize(
    ("harm", "text"),
    [
        (lambda copy: about(copy, classes=[*"abcdefghij"]), r"copy: `classes` of its model is \[\"a\", "),
        (lambda copy: about(copy, architecture="resnet18"), r"`architecture` of its model is \"resnet18\""),
        (lambda copy: about(copy, domain="target"), r"copy: with strategy.bn=domain_specific"),
        (
            lambda copy: (copy / "inputs.json").write_text('{"data": "x"}'),
            r"trained on other data",
        ),
        (lambda copy: (copy / "inputs.json").unlink(), r"copy: its inputs.json does not say which data"),
        (lambda copy: (copy / "model.json").unlink(), r"copy: this folder holds no model.json"),
        (lambda copy: cut(copy, "model.json"), r"model.json: this is not readable JSON"),
        (lambda copy: cut(copy, "model.safetensors"), r"model.safetensors: this is not readable"),
        (lambda copy: cut(copy, "result.json"), r"result.json: this is not readable JSON"),
        (lambda copy: (copy / "config.yaml").unlink(), r"copy: this is not a run folder"),
        (lambda copy: status(copy, "failed"), r"copy has not finished \(failed\). Fix: transferlab resume"),
        (with_nan, r"model.safetensors: head.weight holds values that are not finite"),
        (lambda copy: cut(copy, "predictions/val.csv"), r"val.csv: "),
        (lambda copy: (copy / "predictions/val.csv").unlink(), r"val.csv: cannot be read"),
    ],
)
def test_damaged_runs_and_runs_that_do_not_fit_are_sentences(harm, text, runs):
    harm(copy_of(runs[1]))
    with pytest.raises(UserError, match=text) as error:
        transferlab.average(runs[0], "copy", out="out")
    assert "Fix: " in str(error.value) or "run folder" in str(error.value)
    assert not Path("out/model.safetensors").exists()


def test_what_a_start_needs(runs):
    copy = copy_of(runs[1])
    (copy / "inputs.json").write_text('{"data": "x", "backbone.weights": "others"}')
    with pytest.raises(UserError, match=r"weights=shipped is not what it began with. Fix: bring them back"):
        transferlab.average(copy, how="wise_ft")
    config = (copy / "config.yaml").read_text()
    (copy / "config.yaml").write_text(config.replace("weights: shipped", "weights: gone.safetensors"))
    with pytest.raises(UserError, match=r"(?s)cannot be had. .*gone.safetensors.* average --line START"):
        transferlab.average(copy, how="wise_ft")
    (copy / "config.yaml").write_text(config.replace("start_from: weights", "start_from: random"))
    with pytest.raises(UserError, match=r"it began from random weights"):
        transferlab.average(copy, how="wise_ft")


def test_the_number_of_runs(runs):
    with pytest.raises(UserError, match="takes the folders of two runs here, not 1"):
        transferlab.average(runs[0], how="line")
    with pytest.raises(UserError, match="takes the folders of one run here, not 2"):
        transferlab.average(*runs, how="wise_ft")
    with pytest.raises(UserError, match="takes the folders of runs here, not 0"):
        transferlab.average()
    with pytest.raises(UserError, match=r"how=gredy: must be uniform, greedy, line or wise_ft"):
        transferlab.average(*runs, how="gredy")
    with pytest.raises(UserError, match=r"seed=3: a recorded run keeps its config"):
        transferlab.average(*runs, overrides=["seed=3"])
