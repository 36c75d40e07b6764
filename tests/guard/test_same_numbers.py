"""Two checkouts train to the same numbers, bit for bit: `make guard REFERENCE=../other-checkout`.

The last bits differ between machines and library versions, so nothing is compared with stored numbers: the
same configs run from the reference's source and from this one, side by side. The reference's run folders are
cached in the system's temporary folder, by the content of its source and all else that decides the numbers.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
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
DECIDING = ("torch", "torchvision", "timm", "numpy", "scipy", "scikit-learn", "pillow", "pytorch-lightning")

TINY = [
    "seed=1",
    *("data.shots_per_class=4", "data.batch_size=8", "data.num_workers=0"),
    *("trainer.max_epochs=2", "trainer.enable_progress_bar=false", "trainer.accelerator=cpu"),
    *("fit.keep_checkpoints=none", "data.val_fraction=0.03", "data.test_fraction=0.03"),
    # whatever the defaults of the two checkouts are
    *("features.views=null", "fit.channels_last=false", "trainer.gradient_clip_val=null"),
    *("strategy.bn=mixed", "strategy.learning_rates.warmup_epochs=0"),
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
SUBDIR = "base_${strategy.learning_rates.base}_seed_${seed}"

RUNS = {
    "from_scratch-digits": ["strategy=from_scratch", OFF, "data/augmentation=light"],
    "from_scratch-photos": ["strategy=from_scratch", *PHOTOS, ON],
    "feature_extraction-digits-cached": ["strategy=feature_extraction", "strategy/head=linear", ON],
    "feature_extraction-digits": [
        "strategy=feature_extraction",
        "strategy/head=linear",
        OFF,
        "strategy.head_dropout=0.2",
    ],
    "feature_extraction-photos-views": [
        "strategy=feature_extraction",
        "strategy/head=linear",
        *PHOTOS,
        ON,
        "features.views=2",
    ],
    "feature_extraction-photos": [
        "strategy=feature_extraction",
        "strategy/head=linear",
        *PHOTOS,
        OFF,
        "fit.ema_decay=0.9",
    ],
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
    "sweep-of-heads": [  # all four train as one group
        *("-m", "backbone=letters_resnet", "strategy=feature_extraction", "strategy/head=linear", ON, PLAIN),
        *("strategy.learning_rates.base=0.1,0.01", "seed=1,2", "data.shots_seed=0"),
        *(f"hydra.sweep.subdir={SUBDIR}", "hydra.launcher.jobs_at_once=1"),
    ],
    "two-processes": ["strategy=fine_tune", "trainer=ddp", "trainer.devices=2"],
}


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


class Checkout:
    """Trains from the source of one checkout, one run at a time."""

    def __init__(self, root: Path, photos: Path) -> None:
        self.root, self.photos = root, photos
        self._server: subprocess.Popen[str] | None = None

    def _started(self) -> subprocess.Popen[str]:
        bytecode = Path(tempfile.gettempdir(), "transferlab-guard", "bytecode")
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        source = str(self.root / "src")
        path = os.pathsep.join([source, str(Path(__file__).parent)])
        environment |= {"PYTHONPATH": path, "GUARDED_SOURCE": source, "PYTHONPYCACHEPREFIX": str(bytecode)}
        return subprocess.Popen(
            [sys.executable, Path(__file__).with_name("server.py")],
            env=environment | {"OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def train(self, name: str, place: Path) -> Path:
        """Run `transferlab train` with RUNS[name]; the folder that holds its run folders."""
        place.mkdir(parents=True)
        network = [] if any(argument.startswith("backbone=") for argument in RUNS[name]) else NETWORK
        folders = [f"hydra.run.dir={place}/runs/run", f"hydra.sweep.dir={place}/runs"]
        job = {
            "arguments": ["train", *TINY, *network, *RUNS[name], *folders],
            "folder": str(self.photos),
            "cache": str(place / "cache"),
            "log": str(place / "log.txt"),
        }
        self._server = self._server or self._started()
        assert self._server.stdin
        assert self._server.stdout
        self._server.stdin.write(json.dumps(job) + "\n")
        self._server.stdin.flush()
        code = self._server.stdout.readline().strip()
        assert code == "0", f"{name} failed in {self.root}:\n{(place / 'log.txt').read_text()}"
        shutil.rmtree(place / "cache", ignore_errors=True)
        return place / "runs"

    def train_once(self, name: str, place: Path) -> Path:
        """As `train`; where the same run is already in `place` nothing runs."""
        if not place.is_dir():
            with tempfile.TemporaryDirectory(dir=place.parent) as beside:
                self.train(name, Path(beside, "run"))
                with contextlib.suppress(OSError):  # another session was faster
                    Path(beside, "run").rename(place)
        return place / "runs"

    def close(self) -> None:
        """End the process, after the run that is in progress."""
        if self._server:
            self._server.communicate()


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


def cache_of(checkout: Path, photos: Path) -> Path:
    """The folder for the cached runs of a checkout, named by all that decides their numbers."""
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


def key(name: str) -> str:
    return f"{name}-{hashlib.sha256(repr(RUNS[name]).encode()).hexdigest()[:8]}"


@pytest.fixture(scope="session")
def photos(tmp_path_factory) -> Path:
    """Two folders of photos, in each three classes."""
    folder = tmp_path_factory.mktemp("photos")
    draw_photos(folder / "photos", seed=0)
    draw_photos(folder / "others", seed=1)
    return folder


@pytest.fixture(scope="session")
def both(photos, tmp_path_factory, request) -> Iterator[dict[str, tuple[Future[Path], Future[Path]]]]:
    """The chosen runs of the reference and of this checkout, two processes at a time."""
    if not REFERENCE:
        pytest.skip("needs another checkout to compare with: make guard REFERENCE=../other-checkout")
    root = Path(HERE, REFERENCE).resolve()
    assert (root / "src" / "transferlab").is_dir(), f"REFERENCE={REFERENCE}: {root} is no checkout"
    cache, own = cache_of(root, photos), tmp_path_factory.mktemp("own")
    items = [item for item in request.session.items if hasattr(item, "callspec")]
    chosen = [name for name in RUNS if any(item.callspec.params.get("name") == name for item in items)]
    with (
        contextlib.closing(Checkout(root, photos)) as reference,
        contextlib.closing(Checkout(HERE, photos)) as here,
        ThreadPoolExecutor(1) as one,
        ThreadPoolExecutor(1) as other,
    ):
        yield {
            name: (
                one.submit(reference.train_once, name, cache / key(name)),
                other.submit(here.train, name, own / key(name)),
            )
            for name in chosen
        }
        one.shutdown(cancel_futures=True)
        other.shutdown(cancel_futures=True)


@pytest.mark.parametrize("name", RUNS)
def test_a_run_has_the_same_numbers(name, both):
    before, after = (runs.result() for runs in both[name])
    assert len(list(before.rglob("model.safetensors"))) == (4 if name == "sweep-of-heads" else 1)
    found = differences(before, after)
    assert not found, f"{name} ({before} | {after}):\n" + "\n".join(found)


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
