"""`transferlab evaluate`: the figures of a training again, and a trained model on other images."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf
from PIL import Image

from tests.training.processes import command
from transferlab.data.catalog.digits import Digits
from transferlab.run.errors import UserError
from transferlab.run.run_folder import Run
from transferlab.training.recorded_config import evaluated_config

TINY = [
    "strategy=fine_tune",
    *("data.shots_per_class=4", "data.batch_size=16", "trainer.max_epochs=2"),
    *("trainer.enable_progress_bar=false", "fit.keep_checkpoints=none"),
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A fine-tuned run on digits, whose checkpoints have been deleted."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    code, _, said = command(["train", *TINY, f"hydra.run.dir={folder}"])
    assert code == 0, said
    return folder


def evaluated(run: Path, *overrides: str) -> Run:
    code, shown, said = command(["evaluate", str(run), "--out", "again", *overrides])
    assert code == 0, shown + said
    assert shown.splitlines()[-1] == "again"
    return Run("again")


def as_folder(root: str, names: dict[str, str], *, each: int = 3) -> None:
    """Digits as image files, in class folders of these names."""
    catalog = Digits().load()
    for old, new in names.items():
        rows = np.flatnonzero(catalog.codes == catalog.classes.index(old))[:each]
        for row in rows:
            file = Path(root) / new / f"{row}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(catalog.reader(catalog.samples[row])).save(file)


@pytest.mark.slow
def test_the_same_figures_without_checkpoints_or_the_weights_that_it_began_with(trained):
    copy = Path("copy")
    shutil.copytree(trained, copy)
    assert not list(copy.rglob("*.ckpt"))
    config = copy / "config.yaml"
    config.write_text(config.read_text().replace("weights: shipped", "weights: gone.safetensors"))
    assert "gone.safetensors" in config.read_text()
    again = evaluated(copy)
    recorded = Run(trained).result
    for part in ("val", "test", "per_class", "confusion_matrix"):
        assert again.result[part] == recorded[part]
    for part in ("val", "test"):
        pd.testing.assert_frame_equal(
            again.predictions(part), Run(trained).predictions(part), check_exact=True
        )
    assert again.result["of"] == str(copy.resolve())
    assert again.result["warnings"] == []
    assert again.status == "finished"


@pytest.mark.slow
def test_a_default_place_inside_the_run(trained):
    code, shown, said = command(["evaluate", str(trained)])
    assert code == 0, said
    place = Path(shown.splitlines()[-1])
    assert place.parent == trained / "evaluations"
    assert json.loads((place / "result.json").read_text())["test"] == Run(trained).result["test"]
    shutil.rmtree(place.parent)


@pytest.mark.slow
def test_other_images_by_the_names_of_their_classes(trained):
    as_folder("photos", {"7": "7", "2": "2"}, each=5)
    other = evaluated(trained, "data=folder", "data.root=photos")
    table = other.predictions("test")
    assert table["label"].value_counts().to_dict() == {"2": 5, "7": 5}
    assert [name for name in table.columns if name.startswith("p(")] == [f"p({n})" for n in range(10)]
    recorded = Run(trained).predictions("test")
    # files hold the very pixels of the digits that were trained on: those of the test part agree with it
    numbers = table["sample"].str.extract(r"(\d+)\.png")[0].astype(int)
    names = [Digits().load().samples[number] for number in numbers]
    known = recorded.set_index("sample")
    both = [(row, name) for row, name in enumerate(names) if name in known.index]
    for row, name in both:
        assert table["p(2)"][row] == pytest.approx(known.loc[name, "p(2)"], abs=1e-6)
    assert other.result["test"]["samples"] == 10
    assert set(other.result) >= {"test", "per_class", "confusion_matrix", "metrics"}


@pytest.mark.slow
def test_classes_that_the_model_does_not_know(trained):
    as_folder("photos", {"7": "seven", "2": "2"})
    code, _, said = command(["evaluate", str(trained), "data=folder", "data.root=photos", "--out", "again"])
    assert code == 2
    assert "The model does not know seven. It knows 0, 1, 2, 3, 4, 5, 6, 7, 8, 9." in said


@pytest.mark.slow
def test_images_without_labels_get_predictions_alone(trained):
    as_folder("photos", {"7": ""}, each=4)
    other = evaluated(trained, "data=folder", "data.root=photos")
    assert "test" not in other.result
    assert (other.predictions("test")["label"] == "").all()
    assert other.result["warnings"] == ["test: no image has a label, so there are predictions alone."]


@pytest.mark.slow
@pytest.mark.parametrize(
    "chosen",
    [
        ["strategy=feature_extraction", "strategy/head=linear"],
        ["strategy=feature_extraction", "strategy/head=logistic"],
        ["strategy=dann", "data=digits_domains"],
        ["strategy=fine_tune", "strategy.bottleneck_units=8", "strategy/head=mlp"],
    ],
    ids=lambda chosen: " ".join(chosen),
)
def test_other_kinds_of_models(chosen):
    code, _, said = command(["train", *TINY, *chosen, "hydra.run.dir=run"])
    assert code == 0, said
    recorded, again = Run("run").result, evaluated(Path("run")).result
    for part in ("val", "test", "source_test"):
        assert (part in again) == (part in recorded)
        if part in recorded:
            # heads on kept features are evaluated in other batches: the last bits may differ
            assert again[part] == pytest.approx(recorded[part], rel=1e-5)


@pytest.mark.slow
def test_a_model_with_norms_of_the_target_is_not_evaluated_on_the_source():
    """The source's statistics were those of training alone: the model does not hold them."""
    own = ["strategy=dann", "data=digits_domains", "strategy.bn=domain_specific"]
    code, _, said = command(["train", *TINY, *own, "hydra.run.dir=run"])
    assert code == 0, said
    recorded, again = Run("run").result, evaluated(Path("run"))
    assert {"val", "test", "source_test"} <= set(recorded)
    assert again.result["test"] == pytest.approx(recorded["test"], rel=1e-5)
    assert not {"val", "source_test"} & set(again.result)
    assert [file.name for file in (again.path / "predictions").iterdir()] == ["test.csv"]
    assert again.result["warnings"] == [
        f"{part}: left out; with strategy.bn=domain_specific the model is the target's."
        for part in ("val", "source_test")
    ]


@pytest.mark.slow
def test_a_run_from_scratch():
    code, _, said = command(["train", *TINY, "strategy=from_scratch", "hydra.run.dir=run"])
    assert code == 0, said
    assert evaluated(Path("run")).result["test"] == Run("run").result["test"]


def copy_of(trained: Path) -> Path:
    """Its two files alone."""
    Path("copy").mkdir()
    for name in ("model.safetensors", "model.json"):
        shutil.copy(trained / name, "copy")
    return Path("copy")


@pytest.mark.slow
def test_a_model_without_its_run(trained):
    as_folder("photos", {"7": "7", "2": "2"}, each=5)
    same = ["data=folder", "data.root=photos"]
    whole = evaluated(trained, *same)
    alone = ["evaluate", str(copy_of(trained)), *same, "trainer=cpu"]
    code, shown, said = command(alone)
    assert code == 0, shown + said
    place = Path(shown.splitlines()[-1])
    assert place.parent == Path("copy/evaluations")
    predictions = [run.predictions("test") for run in (Run(place), whole)]
    pd.testing.assert_frame_equal(*predictions, check_exact=True)
    assert Run(place).result["of"] == str(Path("copy").resolve())
    assert set(OmegaConf.load(place / "config.yaml")) == {"data", "trainer"}
    assert command(["evaluate", str(place)])[0] == 2  # it holds no model


def test_a_model_without_its_run_needs_data():
    Path("copy").mkdir()
    for name in ("model.safetensors", "model.json"):
        Path("copy", name).touch()
    for given in ([], ["trainer=cpu"], ["data.root=photos"], ["data/mixing=none"]):
        with pytest.raises(
            UserError, match=r"copy: a model without the config\.yaml .* Fix: add data=OPTION"
        ):
            evaluated_config(Run("copy"), given)
    with pytest.raises(UserError, match="only data and trainer"):
        evaluated_config(Run("copy"), ["data=digits", "seed=3"])
    config = evaluated_config(Run("copy"), ["data=digits", "trainer.precision=64-true"])
    assert config.data.source._target_.endswith("Digits")
    assert config.trainer.precision == "64-true"


def run_of(config: dict) -> Run:
    from transferlab.config.compose import compose_checked

    composed = compose_checked(["data=folder", "data.root=.", "strategy=fine_tune"]).config
    run = Run("run")
    run.path.mkdir()
    for name in ("model.safetensors", "model.json"):
        (run.path / name).touch()
    merged = OmegaConf.merge(composed, config)
    OmegaConf.save(OmegaConf.masked_copy(merged, [key for key in merged if key != "allow"]), run.config_file)
    return run


def test_what_can_be_overridden():
    Path("there").mkdir()
    run = run_of({"data": {"batch_size": 7}})
    moved = evaluated_config(run, ["data.root=there", "trainer.accelerator=cpu"])
    assert (moved.data.root, moved.data.source.root) == ("there", "there")
    assert (moved.data.batch_size, moved.trainer.accelerator) == (7, "cpu")
    chosen = evaluated_config(run, ["data=digits"])
    assert chosen.data.source._target_.endswith("Digits")
    assert evaluated_config(run, []).data.source.root == "."


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("seed=3", "seed=3: only data and trainer can be other ones than in the training."),
        ("data.batch=3", "data.batch: there is no such key."),
        ("data.nothing.x=3", "data.nothing.x=3: there is no data.nothing in this run's config."),
        ("data=digitss", "data=digitss: there is no such option."),
    ],
)
def test_mistakes(override, text):
    with pytest.raises(UserError, match=text.replace(".", r"\.")):
        evaluated_config(run_of({}), [override])


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["a", "b"], "transferlab evaluate takes the folder of one run, not 2."),
        (["gone"], "gone: there is no such folder."),
        (["."], ".: there is no model.safetensors in it. Fix: give the folder of a run"),
    ],
)
def test_no_run(arguments, text):
    code, _, said = command(["evaluate", *arguments])
    assert code == 2
    assert text in said
