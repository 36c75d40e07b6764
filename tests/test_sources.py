"""Data as people have it trains with one command: a flat folder, a table, a set laid out like HAM10000."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.training.processes import command
from transferlab.run.run_folder import Run

TINY = [
    "strategy=fine_tune",
    *("backbone=timm", "backbone.name=test_resnet", "backbone.weights=random", "data.image_size=32"),
    *("data.batch_size=8", "trainer.max_epochs=1", "trainer.enable_progress_bar=false", "hydra.run.dir=run"),
]
LESIONS = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")


def picture(file: Path, seed: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (40, 48, 3), np.uint8)
    Image.fromarray(pixels).save(file)


def train(*arguments: str) -> tuple[Run, pd.DataFrame]:
    code, _, said = command(["train", *TINY, *arguments])
    assert code == 0, said
    return Run("run"), pd.read_csv("run/split.csv")


@pytest.fixture
def lesions() -> Path:
    """HAM10000's layout: a metadata file, images in two folders, several images of one lesion."""
    rows = []
    for number in range(140):
        kind = LESIONS[number % 7] if number < 70 else "nv"  # unbalanced, as the real one
        image = f"ISIC_{24306 + number:07d}"
        rows.append((f"HAM_{number // 2:07d}" if number >= 70 else f"HAM_9{number:06d}", image, kind))
        picture(Path(f"images/HAM10000_images_part_{1 + number % 2}/{image}.jpg"), number)
    table = pd.DataFrame(rows, columns=["lesion_id", "image_id", "dx"])
    table = table.assign(dx_type="histo", age=50.0, sex="male", localization="back")
    table.to_csv("images/HAM10000_metadata.csv", index=False)
    return Path("images/HAM10000_metadata.csv")


def test_flat_folder():
    for number in range(40):
        picture(Path("photos") / ("cats", "dogs")[number % 2] / f"{number}.png", number)
    run, split = train("data=folder", "data.root=photos")
    assert run.result["test"]["samples"] == (split["split"] == "test").sum() == 8
    assert (run.path / "plots" / "augmentation.png").stat().st_size > 0


def test_table():
    for number in range(40):
        picture(Path("files") / f"{number}.png", number)
    table = pd.DataFrame({"path": [f"files/{number}.png" for number in range(40)]})
    table.assign(label=["a", "b"] * 20).to_csv("table.csv", index=False)
    run, split = train("data=table", "data.source.table=table.csv")
    assert len(split) == 40
    assert run.result["test"]["samples"] == 8


def test_skin_lesions(lesions):
    run, split = train("experiment=skin_lesions", f"data.root={lesions.parent}")
    assert split.groupby("group")["split"].nunique().max() == 1
    result = run.result
    assert set(result["per_class"]) == set(LESIONS)
    assert result["metrics"][:2] == ["balanced_accuracy", "macro_f1"]
    assert any("classes are weighted" in note for note in result["warnings"])


@pytest.mark.slow
def test_folds_are_pooled(lesions):
    folds = [f"data.root={lesions.parent}", "data.fold=0,1,2", "data.num_folds=3"]
    sweep = [text for text in TINY if not text.startswith("hydra")] + ["hydra.sweep.dir=sweep"]
    code, _, said = command(["train", "-m", *sweep, "experiment=skin_lesions", *folds])
    assert code == 0, said
    runs = [Run(folder) for folder in Path("sweep").iterdir() if folder.is_dir()]
    tested = pd.concat([run.predictions("test") for run in runs])
    assert len(tested) == 140
    assert tested["sample"].is_unique
    table = pd.read_csv("sweep/comparison.csv")
    assert len(table) == 1
    assert table["runs"][0] == 3
    assert table["test accuracy"][0] == pytest.approx(
        (tested["label"] == tested["predicted"]).mean(), abs=1e-5
    )


def test_inspect(lesions):
    arguments = [
        "data=table",
        f"data.source.table={lesions}",
        "data.root=images",
        "data.source.path_column=image_id",
    ]
    arguments += ["data.source.path_suffix=.jpg", "data.source.search=true", "data.source.label_column=dx"]
    code, shown, said = command(["inspect", *arguments, "--out", "seen"])
    assert code == 0, said
    assert shown.splitlines()[-1] == "seen/inspection.html"
    found = json.loads(Path("seen/inspection.json").read_text())
    assert found["domains"][0]["classes"]["nv"] == 80


def test_inspect_exits_with_one_on_a_leak():
    for part, start in (("train", 0), ("val", 20), ("test", 40)):
        for number in range(start, start + 20):
            picture(Path("photos") / part / ("cats", "dogs")[number % 2] / f"{number}.png", number)
    picture(Path("photos/test/cats/copy.png"), 0)
    code, shown, _ = command(["inspect", "data.root=photos"])
    assert code == 1
    assert "copy.png" in shown


def test_inspect_names_what_is_wrong_with_the_command():
    code, _, said = command(["inspect", "data.rot=photos"])
    assert code == 2
    assert "data.root" in said
