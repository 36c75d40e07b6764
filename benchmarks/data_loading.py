"""How fast one core turns 500x375 JPEG files into normalised, randomly cropped and flipped 224x224 images.

    python benchmarks/data_loading.py [--rounds 15]

All variants take turns in one process, so that a busy machine slows them alike; reported are medians and
ratios of processor time. Then an epoch of a ResNet-18 from decoded images against its steps alone, on a batch
that lies in memory.
Writes benchmarks/results/data_loading.json and .md.
"""

from __future__ import annotations

import io
import itertools
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import timm
import torch
import torchvision
from comparison import Spent, in_turns, rounds_asked
from PIL import Image
from sklearn.datasets import load_sample_images
from torch import Tensor
from torch.nn import functional
from torchvision import transforms as v1
from torchvision.transforms import v2

from transferlab.data.augmentation.pipeline import Augmentation
from transferlab.data.batches import Batches
from transferlab.data.catalog.folder import Folder
from transferlab.data.data_settings import DataSettings
from transferlab.data.image.preprocessing import Preprocessing
from transferlab.data.loading.sampler import Position, Share
from transferlab.data.mixing.batch import Mixing
from transferlab.data.splits import arrange

NUM_IMAGES = 48
SIZE_PX = 224
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
RESULTS = Path(__file__).parent / "results"
PILLOW = "Pillow, torchvision v1, normalised one by one"
FILES = "transferlab, from files"
DECODED = "transferlab, data.cache=decoded"
NETWORK, EPOCH_PX, EPOCH_BATCH, EPOCH_IMAGES = "resnet18", 112, 16, 128
FROM_CACHE, STEPS_ALONE = "epoch from the decoded cache", "its steps alone, on a synthetic batch"


def write_photos(root: Path, count: int = NUM_IMAGES) -> list[Path]:
    """500x375 crops of scikit-learn's two sample photos, JPEG of Pillow's usual quality (75), in two
    classes.
    """
    rng = np.random.default_rng(0)
    paths = []
    for number in range(count):
        photo = Image.fromarray(load_sample_images().images[number % 2])
        left, top = rng.integers(0, photo.width - 500), rng.integers(0, photo.height - 375)
        path = root / "ab"[number % 2] / f"{number:03d}.jpg"
        path.parent.mkdir(exist_ok=True)
        photo.crop((left, top, left + 500, top + 375)).save(path)
        paths.append(path)
    return paths


def pillow_variant(paths: list[Path]) -> Callable[[], Tensor]:
    steps = v1.Compose(
        [v1.RandomResizedCrop(SIZE_PX), v1.RandomHorizontalFlip(), v1.ToTensor(), v1.Normalize(MEAN, STD)]
    )
    return lambda: torch.stack(
        [steps(Image.open(io.BytesIO(path.read_bytes())).convert("RGB")) for path in paths]
    )


def opencv_variant(paths: list[Path], preprocessing: Preprocessing) -> Callable[[], Tensor]:
    steps = v2.Compose([v2.RandomResizedCrop(SIZE_PX, antialias=True), v2.RandomHorizontalFlip()])

    def run() -> Tensor:
        images = []
        for path in paths:
            pixels = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR_RGB)
            images.append(steps(torch.from_numpy(pixels).permute(2, 0, 1)).contiguous())
        return preprocessing.normalised(torch.stack(images))

    return run


def training_settings(root: Path, cache: str, batch_size: int, **options: Any) -> DataSettings:
    return DataSettings(
        root=None,
        source=Folder(str(root)),
        target=None,
        augmentation=Augmentation(min_crop_area=0.08, max_crop_ratio=4 / 3, horizontal_flip=0.5),
        mixing=Mixing(),
        batch_size=batch_size,
        val_fraction=0.05,
        test_fraction=0.05,
        num_workers=0,
        cache=cache,  # type: ignore[arg-type]
        **options,
    )


def transferlab_variant(root: Path, preprocessing: Preprocessing, cache: str) -> Callable[[], Tensor]:
    """Whole training batches as a run sees them: checked headers, seeds, order, layout, normalisation."""
    settings = training_settings(root, cache, NUM_IMAGES, steps_per_epoch=1)
    data = Batches(arrange(settings), settings, preprocessing, seed=0)
    epochs = itertools.count()
    loader = data.train(Share(lambda num_batches: Position(epoch=next(epochs))))  # ever other crops

    def run() -> Tensor:
        return data.prepared(next(iter(loader)))["input"]

    return run


def floor_variant(preprocessing: Preprocessing) -> Callable[[], Tensor]:
    """What nobody can undercut: copy a crop of decoded pixels, normalise."""
    pixels = np.random.default_rng(0).integers(0, 256, (NUM_IMAGES, 256, 341, 3), dtype=np.uint8)

    def run() -> Tensor:
        crops = [torch.from_numpy(image[16:240, 50:274]).permute(2, 0, 1).contiguous() for image in pixels]
        return preprocessing.normalised(torch.stack(crops))

    return run


def epoch_of_network(rounds: int) -> dict[str, list[Spent]]:
    """An epoch of training from the decoded cache, and the same steps on one synthetic batch, in turns.

    Without worker processes, as a run has it where the cache fits into memory: nothing is hidden behind the
    steps.
    """
    preprocessing = Preprocessing(EPOCH_PX, MEAN, STD, "bilinear", 0.875)
    network = timm.create_model(NETWORK, num_classes=2).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9)
    synthetic = {
        "input": torch.randn(EPOCH_BATCH, 3, EPOCH_PX, EPOCH_PX),
        "label": torch.arange(EPOCH_BATCH) % 2,
    }

    def trained(batches: Iterable[Mapping[str, Tensor]]) -> int:
        number = 0
        for batch in batches:
            optimizer.zero_grad()
            functional.cross_entropy(network(batch["input"]), batch["label"]).backward()
            optimizer.step()
            number += 1
        return number

    with tempfile.TemporaryDirectory() as folder:
        os.environ["TRANSFERLAB_CACHE"] = f"{folder}/cache"
        root = Path(folder) / "photos"
        root.mkdir()
        write_photos(root, EPOCH_IMAGES)
        data = Batches(
            arrange(settings := training_settings(root, "decoded", EPOCH_BATCH)),
            settings,
            preprocessing,
            seed=0,
        )
        epochs = itertools.count()
        loader = data.train(Share(lambda num_batches: Position(epoch=next(epochs))))
        num_steps = len(data.order(0))
        assert trained(map(data.prepared, loader)) == num_steps
        ways = {
            FROM_CACHE: lambda: trained(map(data.prepared, loader)),
            STEPS_ALONE: lambda: trained([synthetic] * num_steps),
        }
        return in_turns(ways, rounds=rounds)


def measure(rounds: int) -> dict[str, list[float]]:
    """Milliseconds per image of every round."""
    preprocessing = Preprocessing(SIZE_PX, MEAN, STD, "bilinear", 0.875)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TRANSFERLAB_CACHE"] = f"{folder}/cache"
        root = Path(folder) / "photos"
        root.mkdir()
        paths = write_photos(root)
        variants = {
            PILLOW: pillow_variant(paths),
            "OpenCV, torchvision v2, normalised per batch": opencv_variant(paths, preprocessing),
            FILES: transferlab_variant(root, preprocessing, "none"),
            DECODED: transferlab_variant(root, preprocessing, "decoded"),
            "floor: copy a crop, normalise": floor_variant(preprocessing),
        }
        times: dict[str, list[float]] = {name: [] for name in variants}
        for number in range(rounds + 2):
            for name, run in variants.items():
                start = time.process_time()
                images = run()
                elapsed = time.process_time() - start
                assert images.shape == (NUM_IMAGES, 3, SIZE_PX, SIZE_PX)
                if number >= 2:  # two rounds to warm up
                    times[name].append(1000 * elapsed / NUM_IMAGES)
    return times


def epoch_lines(epoch: Mapping[str, list[Spent]]) -> list[str]:
    """The second table: medians, and the ratio of each round's two."""
    pairs = list(zip(epoch[FROM_CACHE], epoch[STEPS_ALONE], strict=True))
    ratios = [
        statistics.median(getattr(one, clock) / getattr(other, clock) for one, other in pairs)
        for clock in ("processor_s", "wall_s")
    ]
    lines = [
        f"{NETWORK}, forward, backward and SGD, batches of {EPOCH_BATCH} at {EPOCH_PX} px, random crops and "
        f"flips of {EPOCH_IMAGES} decoded photos, one core, no worker processes; medians of {len(pairs)} "
        "interleaved rounds.",
        "",
        "| | processor s | wall s |",
        "|---|---:|---:|",
    ]
    for name, spent in epoch.items():
        processor, wall = (
            statistics.median(getattr(one, clock) for one in spent) for clock in ("processor_s", "wall_s")
        )
        lines.append(f"| {name} | {processor:.2f} | {wall:.2f} |")
    lines.append(f"| ratio, round by round (goal: at most 1.1) | {ratios[0]:.3f} | {ratios[1]:.3f} |")
    return lines


def main() -> None:
    rounds = rounds_asked(__doc__, default=15)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    times = measure(rounds)
    epoch = epoch_of_network(max(3, rounds // 3))
    medians = {name: statistics.median(values) for name, values in times.items()}
    # ratios round by round: both terms met the same load
    ratios = {
        name: statistics.median(base / value for base, value in zip(times[PILLOW], values, strict=True))
        for name, values in times.items()
    }
    versions = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "opencv": cv2.__version__,
        "pillow": Image.__version__,
    }
    result = {
        "task": "500x375 JPEG (quality 75) to normalised 224x224, random crop and flip, one core",
        "images_per_round": NUM_IMAGES,
        "rounds": rounds,
        "processor_ms_per_image": {name: round(value, 3) for name, value in medians.items()},
        "times_as_fast": {name: round(value, 2) for name, value in ratios.items()},
        "epoch": {name: [asdict(one) for one in spent] for name, spent in epoch.items()},
        "versions": versions,
    }
    lines = [f"{result['task']}; medians of {rounds} interleaved rounds of {NUM_IMAGES} images.", ""]
    lines += ["| variant | processor ms per image | times as fast |", "|---|---:|---:|"]
    lines += [f"| {name} | {medians[name]:.2f} | {ratios[name]:.1f} |" for name in times]
    lines += ["", *epoch_lines(epoch)]
    lines += ["", ", ".join(f"{name} {version}" for name, version in versions.items()), ""]
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "data_loading.json").write_text(json.dumps(result, indent=1) + "\n")
    (RESULTS / "data_loading.md").write_text("\n".join(lines))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
