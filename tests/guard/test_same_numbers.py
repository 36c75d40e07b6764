"""Two checkouts train to the same numbers, bit for bit: `make guard REFERENCE=../other-checkout`.

The last bits differ between machines and library versions, so nothing is compared with stored numbers: the
same configs run from the reference's source and from this one, side by side. The reference's run folders are
cached in the system's temporary folder, by the content of its source and all else that decides the numbers.
"""

from __future__ import annotations

import csv
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

pytestmark = pytest.mark.guard

HERE = Path(__file__).parents[2]
REFERENCE = os.environ.get("REFERENCE", "")
TIMEOUT_S = 300
DECIDING = ("torch", "torchvision", "timm", "numpy", "scipy", "scikit-learn", "pillow", "pytorch-lightning")

TINY = [
    "seed=1",
    *("data.shots_per_class=4", "data.batch_size=8", "data.num_workers=0"),
    *("trainer.max_epochs=2", "trainer.enable_progress_bar=false", "trainer.accelerator=cpu"),
    *("fit.keep_checkpoints=none", "data.val_fraction=0.03", "data.test_fraction=0.03"),
]
NETWORK = ["backbone=timm", "backbone.name=test_resnet", "backbone.weights=random"]
PHOTOS = [
    *("data=folder", "data.root=photos", "data.image_size=32"),
    *("data.val_fraction=0.2", "data.test_fraction=0.2"),
]
TWO_FOLDERS = [
    *("data=domains", "data.source.root=photos", "data.target.root=others", "data.image_size=32"),
    *("data.val_fraction=0.2", "data.test_fraction=0.2"),
]
DOMAINS = ["data=digits_domains", "data.target_batch_size=8", "data.steps_per_epoch=5"]
ON, OFF = "features.cache=auto", "features.cache=off"
PLAIN = "data/augmentation=none"

RUNS = {
    "from_scratch-digits": ["strategy=from_scratch", OFF, "data/augmentation=light"],
    "from_scratch-photos": ["strategy=from_scratch", *PHOTOS, ON],
    "feature_extraction-digits-cached": ["strategy=feature_extraction", ON],
    "feature_extraction-digits": ["strategy=feature_extraction", OFF, "strategy.head_dropout=0.2"],
    "feature_extraction-photos-views": ["strategy=feature_extraction", *PHOTOS, ON, "features.views=2"],
    "feature_extraction-photos": ["strategy=feature_extraction", *PHOTOS, OFF, "fit.ema_decay=0.9"],
    "logistic-digits": ["strategy=feature_extraction", "strategy/head=logistic", OFF],
    "logistic-photos-cached": [
        *("strategy=feature_extraction", "strategy/head=logistic", *PHOTOS, ON),
        PLAIN,
    ],
    "partial-digits-cached": ["strategy=partial", ON, "strategy/head=mlp"],
    "partial-photos": ["strategy=partial", *PHOTOS, OFF, "strategy/objective=focal", "data/mixing=mixup"],
    "fine_tune-digits-penalties": ["strategy=fine_tune", ON, "strategy/penalty=[l1,l2_sp]"],
    "fine_tune-photos-workers": ["strategy=fine_tune", *PHOTOS, OFF, "data.num_workers=1"],
    "progressive_unfreezing-photos": [
        "strategy=progressive_unfreezing",
        *PHOTOS,
        ON,
        PLAIN,
        "trainer.max_epochs=3",
    ],
    "progressive_unfreezing_validated-digits": [
        *("strategy=progressive_unfreezing_validated", ON, "strategy.unfreezing.patience=1"),
        *("strategy.unfreezing.min_delta=0.5", "trainer.max_epochs=3"),
    ],
    "source_only-digits": ["strategy=source_only", *DOMAINS, ON],
    "dann-digits": ["strategy=dann", *DOMAINS, OFF, "strategy.bn=separate"],
    "mdd-digits-cached": [
        *("strategy=mdd", *DOMAINS, ON),
        *("strategy/unfreezing=last", "strategy.bottleneck_units=16"),
    ],
    "self_training-digits": ["strategy=self_training", *DOMAINS, OFF],
    "dan-photos": ["strategy=dan", *TWO_FOLDERS, OFF, "strategy.selection=entropy"],
    "deep_coral-photos-cached": ["strategy=deep_coral", *TWO_FOLDERS, ON, PLAIN, "strategy/unfreezing=last"],
}
RUNS["sweep-of-heads"] = [  # all four train as one group
    *(
        "-m",
        "backbone=letters_resnet",
        "strategy=feature_extraction",
        ON,
        PLAIN,
        "data.shots_seed=0",
        "hydra.launcher.jobs_at_once=1",
    ),
    *("strategy.learning_rates.base=0.1,0.01", "seed=1,2"),
    "hydra.sweep.subdir=base_${strategy.learning_rates.base}_seed_${seed}",
]
TWO_PROCESSES = ["strategy=fine_tune", "trainer=ddp", "trainer.devices=2"]


def draw_photos(folder: Path, seed: int) -> None:
    """JPEGs of three classes (disks, squares and crosses on noise), larger than the network's input."""
    generator = np.random.default_rng(seed)
    for number in range(36):
        width, height = (int(side) for side in generator.integers(44, 64, 2))
        noise = generator.integers(0, 160, (height // 4, width // 4, 3), dtype=np.uint8)
        photo = Image.fromarray(noise).resize((width, height), Image.Resampling.BILINEAR)
        draw, centre, radius = (
            ImageDraw.Draw(photo),
            (width // 2, height // 2),
            int(generator.integers(9, 18)),
        )
        (left, right), (top, bottom) = ((x - radius, x + radius) for x in centre)
        colour = tuple(int(value) for value in generator.integers(120, 256, 3))
        name = ("disk", "square", "cross")[number % 3]
        if name == "disk":
            draw.ellipse((left, top, right, bottom), fill=colour)
        elif name == "square":
            draw.rectangle((left, top, right, bottom), fill=colour)
        else:
            draw.line((left, top, right, bottom), fill=colour, width=4)
            draw.line((left, bottom, right, top), fill=colour, width=4)
        file = folder / name / f"{number:02}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        photo.save(file, quality=92)


def train(checkout: Path, arguments: list[str], place: Path, photos: Path) -> Path:
    """Run `transferlab train ARGUMENTS` from a checkout's source; the folder that holds its run folders."""
    place.mkdir(parents=True)
    folders = [f"hydra.run.dir={place}/runs/run", f"hydra.sweep.dir={place}/runs"]
    environment = {
        **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
        "PYTHONPATH": str(checkout / "src"),
        "PYTHONPYCACHEPREFIX": str(Path(tempfile.gettempdir(), "transferlab-guard", "bytecode")),
        "OMP_NUM_THREADS": "1",
        "TRANSFERLAB_CACHE": str(place / "cache"),
    }
    network = [] if any(argument.startswith("backbone=") for argument in arguments) else NETWORK
    command = [sys.executable, "-m", "transferlab", "train", *TINY, *network, *arguments, *folders]
    done = subprocess.run(
        command, cwd=photos, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert done.returncode == 0, f"{checkout} failed:\n{done.stdout}\n{done.stderr}"
    shutil.rmtree(place / "cache", ignore_errors=True)
    return place / "runs"


def train_once(checkout: Path, arguments: list[str], place: Path, photos: Path) -> Path:
    """As `train`; where the same run is already in `place` nothing runs."""
    if not place.is_dir():
        beside = Path(tempfile.mkdtemp(dir=place.parent))
        train(checkout, arguments, beside / "run", photos)
        try:
            (beside / "run").rename(place)
        except OSError:  # another session was faster
            assert place.is_dir()
        shutil.rmtree(beside, ignore_errors=True)
    return place / "runs"


def without_seconds(file: Path) -> bytes:
    rows = list(csv.reader(file.read_text(encoding="utf-8").splitlines()))
    column = rows[0].index("seconds")
    return repr([[*row[:column], *row[column + 1 :]] for row in rows]).encode()


def numbers(folder: Path) -> dict[str, str]:
    """SHA-256 of each file of numbers of the run folders in a folder, by its path."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    contents: dict[str, bytes] = {}
    for file in files:
        if file.name == "history.csv":
            contents[str(file.relative_to(folder))] = without_seconds(file)
        elif file.name == "model.safetensors" or "predictions" in file.relative_to(folder).parts:
            contents[str(file.relative_to(folder))] = file.read_bytes()
    return {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}


def differences(reference: Path, own: Path) -> list[str]:
    before, after = numbers(reference), numbers(own)
    assert any(name.endswith("model.safetensors") for name in before), f"{reference} has no model"
    lost = [f"{name}: only in the reference" for name in before.keys() - after.keys()]
    new = [f"{name}: not in the reference" for name in after.keys() - before.keys()]
    changed = [f"{name}: differs" for name in before.keys() & after.keys() if before[name] != after[name]]
    return sorted([*lost, *new, *changed])


def assert_same(name: str, reference: Path, own: Path) -> None:
    found = differences(reference, own)
    assert not found, f"{name} ({reference} | {own}):\n" + "\n".join(found)


def place_of_the_reference(checkout: Path, photos: Path) -> Path:
    """A cache folder for the runs of a checkout, named by all that decides their numbers."""
    digest = hashlib.sha256()
    for root in (checkout / "src", checkout / "conf", photos):
        for file in sorted(path for path in root.rglob("*") if path.is_file() and path.suffix != ".pyc"):
            digest.update(f"{file.relative_to(root)}\0".encode() + file.read_bytes())
    cpus = Path("/proc/cpuinfo")
    models = (
        {line for line in cpus.read_text().splitlines() if "model name" in line} if cpus.is_file() else ()
    )
    digest.update(repr([sys.version, [version(name) for name in DECIDING], TINY, sorted(models)]).encode())
    digest.update(
        repr([torch.backends.cpu.get_cpu_capability(), os.environ.get("OPENBLAS_CORETYPE")]).encode()
    )
    place = Path(tempfile.gettempdir(), "transferlab-guard", digest.hexdigest()[:16])
    place.mkdir(parents=True, exist_ok=True)
    return place


def key(name: str, arguments: list[str]) -> str:
    return f"{name}-{hashlib.sha256(repr(arguments).encode()).hexdigest()[:8]}"


@pytest.fixture(scope="session")
def checkouts(tmp_path_factory) -> tuple[Path, Path, Path, Path]:
    """Reference, its cache of runs, the folder of this checkout's runs, the folder with the photos."""
    if not REFERENCE:
        pytest.skip("needs another checkout to compare with: make guard REFERENCE=../other-checkout")
    reference = Path(HERE, REFERENCE).resolve()
    assert (reference / "src" / "transferlab").is_dir(), f"REFERENCE={REFERENCE}: {reference} is no checkout"
    photos = tmp_path_factory.mktemp("photos")
    draw_photos(photos / "photos", seed=0)
    draw_photos(photos / "others", seed=1)
    return reference, place_of_the_reference(reference, photos), tmp_path_factory.mktemp("own"), photos


@pytest.fixture(scope="session")
def both(checkouts, request) -> Iterator[dict[str, tuple[Future[Path], Future[Path]]]]:
    """The chosen runs of both checkouts, two processes at a time."""
    reference, cache, own, photos = checkouts
    chosen = {item.callspec.params["name"] for item in request.session.items if hasattr(item, "callspec")}
    with ThreadPoolExecutor(2) as pool:

        def run(of: Callable[..., Path], checkout: Path, folder: Path, name: str) -> Future[Path]:
            arguments = RUNS[name]
            return pool.submit(of, checkout, arguments, folder / key(name, arguments), photos)

        yield {
            name: (run(train_once, reference, cache, name), run(train, HERE, own, name))
            for name in RUNS
            if name in chosen
        }
        pool.shutdown(cancel_futures=True)


def test_a_run_of_two_processes(checkouts):
    reference, cache, own, photos = checkouts
    folder = key("two-processes", TWO_PROCESSES)
    before = train_once(reference, TWO_PROCESSES, cache / folder, photos)
    assert_same("two-processes", before, train(HERE, TWO_PROCESSES, own / folder, photos))


@pytest.mark.parametrize("name", RUNS)
def test_one_run(name, both):
    before, after = (runs.result() for runs in both[name])
    assert len(list(before.rglob("model.safetensors"))) == (4 if name == "sweep-of-heads" else 1)
    assert_same(name, before, after)


def test_a_changed_file_of_numbers_is_found(tmp_path):
    def run(name: str, seconds: str = "1.5", loss: str = "2.25", predictions: str = "0.5") -> Path:
        folder = tmp_path / name
        (folder / "run" / "predictions").mkdir(parents=True)
        (folder / "run" / "model.safetensors").write_bytes(b"weights")
        (folder / "run" / "history.csv").write_text(f"epoch,seconds,val/loss\n0,{seconds},{loss}\n")
        (folder / "run" / "predictions" / "val.csv").write_text(predictions)
        return folder

    reference = run("reference")
    assert differences(reference, run("slower", seconds="2.5")) == []
    assert differences(reference, run("other", loss="2.26", predictions="0.6")) == [
        "run/history.csv: differs",
        "run/predictions/val.csv: differs",
    ]
