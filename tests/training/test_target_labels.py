"""What labels of the target can change: the figures at the end, and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from safetensors.numpy import load_file

from tests.training.test_resume import TINY, train_alone
from transferlab.run.run_folder import Run


def tables() -> None:
    """source.csv and target.csv, images of two classes; wrong.csv, the target with the classes swapped."""
    generator = np.random.default_rng(0)
    for domain, shift in (("source", 0), ("target", 60)):
        rows = []
        for number in range(60):
            bright = number % 2
            pixels = generator.integers(0, 60, (32, 32, 3)) + 90 * bright + shift
            name = f"{domain}_{number:02d}.png"
            Image.fromarray(pixels.astype(np.uint8)).save(name)
            part = "train" if number < 36 else "val" if number < 48 else "test"
            rows.append({"path": name, "label": ("dark", "bright")[bright], "split": part})
        table = pd.DataFrame(rows)
        table.to_csv(f"{domain}.csv", index=False)
    table["label"] = table["label"].map({"dark": "bright", "bright": "dark"})
    table.to_csv("wrong.csv", index=False)


def test_they_change_neither_weights_nor_the_selected_epoch():
    tables()
    catalogs = [
        text
        for domain in ("source", "target")
        for text in (f"data/catalog@data.{domain}=table", f"data.{domain}.split_column=split")
    ]
    told = [
        *(*TINY, "data=domains", "strategy=dann", "backbone.name=test_resnet", *catalogs),
        *("data.source.table=source.csv", "strategy.selection=information_maximisation"),
        *("data.image_size=32", "data.shots_per_class=null", "data.num_workers=0"),
        *("strategy.learning_rates.base=0.01", "trainer.max_epochs=2"),
    ]
    train_alone("right", [*told, "data.target.table=target.csv"])
    train_alone("wrong", [*told, "data.target.table=wrong.csv"])
    right, wrong = (load_file(Path(run) / "model.safetensors") for run in ("right", "wrong"))
    assert right.keys() == wrong.keys()
    assert all(right[name].tobytes() == wrong[name].tobytes() for name in right)
    histories = [Run(run).history.drop(columns="seconds") for run in ("right", "wrong")]
    pd.testing.assert_frame_equal(*histories, check_exact=True)
    of_right, of_wrong = (Run(run).result["selection"] for run in ("right", "wrong"))
    assert of_right["epoch"] == of_wrong["epoch"]
    ranked = [Run(run).result["test"]["auroc"] for run in ("right", "wrong")]
    assert sum(ranked) == 1.0  # each image's class is the other one
    assert ranked[0] != ranked[1]


def test_a_target_without_labels_is_predicted():
    tables()
    Path("unlabelled").mkdir()
    for file in Path().glob("target_*.png"):
        file.rename(Path("unlabelled") / file.name)
    told = [
        *(*TINY, "data=domains", "strategy=dann", "backbone.name=test_resnet", "trainer.max_epochs=1"),
        *("data/catalog@data.source=table", "data.source.table=source.csv", "data.source.split_column=split"),
        *("data.target.root=unlabelled", "data.image_size=32", "data.shots_per_class=null"),
        "data.num_workers=0",
    ]
    train_alone("run", told)
    run = Run("run")
    table = run.predictions("test")
    assert sorted(table["sample"]) == sorted(file.name for file in Path("unlabelled").iterdir())
    assert (table["label"] == "").all()
    assert set(table["predicted"]) <= {"bright", "dark"}
    assert "test" not in run.result
    assert run.result["source_test"]["samples"] == 12
    assert any("The target has no labels" in text for text in run.result["warnings"])
