"""Images a second on a GPU: training against timm's own step, the frozen forward, stored outputs.

    python benchmarks/gpu.py [--rounds 3] [--tiny]

ResNet-50 and ViT-S at 224 px, random weights, bfloat16 (mixed). timm's own step is the loop of its train.py:
autocast, cross-entropy, backward, optimizer, on batches that lie on the device, or that come from the same
loader of decoded images as ours. All ways take turns in one process. Writes benchmarks/results/gpu.json and
.md. `--tiny` runs small networks with a few images on the CPU and writes nothing: to see that it works.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import timm
import torch
from PIL import Image
from timm.optim import create_optimizer_v2
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader

from transferlab.backbone.boundary_search import find_boundary
from transferlab.config.compose import compose_checked
from transferlab.feature.extraction import Views, extracted
from transferlab.training.build import Experiment, build
from transferlab.training.frozen.prefix import FrozenPrefix
from transferlab.training.lightning.loaders import Loaders
from transferlab.training.lightning.module import TransferModule
from transferlab.training.lightning.trainer import make_trainer
from transferlab.training.recorder import Recorder
from transferlab.training.terminal import quiet_libraries

RESULTS = Path(__file__).parent / "results"
NUM_CLASSES = 10


@dataclass(frozen=True)
class Sizes:
    """How much is measured, and of what."""

    networks: tuple[str, ...]
    partial_of: str
    device: str
    image_px: int
    batch_size: int
    num_steps: int  # of a round
    num_images: int  # on disk
    num_workers: int  # that read and augment them
    warm_up: int = 3  # steps that do not count

    @property
    def all_steps(self) -> int:
        return self.warm_up + self.num_steps

    @property
    def precision(self) -> str:
        return "bf16-mixed"


_CORES = os.cpu_count() or 1
FULL = Sizes(("resnet50", "vit_small_patch16_224"), "resnet50", "cuda", 224, 128, 30, 4096, min(16, _CORES))
TINY = Sizes(("test_resnet", "test_vit"), "test_resnet", "cpu", 160, 4, 3, 60, 0)


@dataclass(frozen=True)
class Row:
    """Images a second of two ways, round by round."""

    what: str
    against: str
    ours: tuple[float, ...]
    other: tuple[float, ...]
    goal: float | None

    @property
    def ratio(self) -> float:
        """The median over rounds, in each of which both met the same load."""
        return statistics.median(own / other for own, other in zip(self.ours, self.other, strict=True))

    @property
    def reached(self) -> bool:
        return self.goal is None or self.ratio >= self.goal

    def as_markdown(self) -> str:
        goal = "" if self.goal is None else f"≥ {self.goal:g}{'' if self.reached else ', missed'}"
        cells = [self.what, self.against, f"{statistics.median(self.ours):,.0f}"]
        cells += [f"{statistics.median(self.other):,.0f}", f"**{self.ratio:.2f}**", goal]
        return f"| {' | '.join(cells)} |"


def write_images(folder: Path, sizes: Sizes) -> None:
    """JPEG files of noise that compresses like photos, ten classes."""
    random = np.random.default_rng(0)
    for number in range(sizes.num_images):
        place = folder / f"class{number % NUM_CLASSES}"
        place.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(random.integers(0, 255, (16, 20, 3), dtype=np.uint8))
        coarse.resize((320, 256), Image.Resampling.BICUBIC).save(place / f"{number}.jpg", quality=90)


def settings(name: str, sizes: Sizes, images: Path, *further: str) -> list[str]:
    accelerator = "gpu" if sizes.device == "cuda" else "cpu"
    return [
        *("backbone=timm", f"backbone.name={name}", "backbone.weights=random", f"trainer={accelerator}"),
        *("data=folder", f"data.root={images}", "data/augmentation=standard", "data.cache=decoded"),
        *(f"data.image_size={sizes.image_px}", f"data.batch_size={sizes.batch_size}"),
        *("trainer.enable_progress_bar=false", f"trainer.precision={sizes.precision}", "seed=0"),
        *("fit.channels_last=true", "strategy=fine_tune", "features.cache=off"),
        *("trainer.max_epochs=1000", "trainer.check_val_every_n_epoch=1000"),
        *("strategy.bn=mixed", "strategy.learning_rates.warmup_epochs=0", "trainer.gradient_clip_val=null"),
        f"data.num_workers={sizes.num_workers}",
        *further,
    ]


def synchronise(sizes: Sizes) -> None:
    if sizes.device == "cuda":
        torch.cuda.synchronize()


class Synthetic(Loaders):
    """Our data module on a batch that lies on the device: the step without any reading of images."""

    def __init__(self, experiment: Experiment, sizes: Sizes) -> None:
        super().__init__(experiment.batches)
        batch = next(iter(experiment.batches.train()))
        self.epoch = [{name: value.to(sizes.device) for name, value in batch.items()}] * sizes.all_steps

    def train_dataloader(self) -> Any:
        return DataLoader(self.epoch, batch_size=None, collate_fn=lambda batch: batch)  # type: ignore[arg-type]


class Measured(Exception):
    """Ends a fit at the last step that counts: no validation, no record."""


class Clock(pl.Callback):
    """Takes the time of the steps after the first ones, which load kernels."""

    def __init__(self, sizes: Sizes) -> None:
        self.sizes, self.seconds, self._since, self._steps = sizes, 0.0, 0.0, 0

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *step: Any) -> None:
        self._steps += 1
        if self._steps == self.sizes.warm_up:
            synchronise(self.sizes)
            self._since = time.perf_counter()
        elif self._steps == self.sizes.all_steps:
            synchronise(self.sizes)
            self.seconds = time.perf_counter() - self._since
            raise Measured


def our_training(experiment: Experiment, sizes: Sizes, *, synthetic: bool = False) -> float:
    """Images a second of `transferlab train`'s own module and trainer."""
    module = TransferModule(experiment.network, experiment.strategy, experiment.fit, seed=experiment.seed)
    clock = Clock(sizes)
    prefix = None if experiment.features.cache == "off" else FrozenPrefix(experiment, lambda text: None)
    data = Synthetic(experiment, sizes) if synthetic else Loaders(experiment.batches, prefix)
    trainer = make_trainer(experiment.config.trainer, Recorder(), [clock], reload=prefix is not None)
    with contextlib.suppress(Measured), contextlib.redirect_stdout(io.StringIO()):
        trainer.fit(module, datamodule=data)
    if prefix is not None:
        assert experiment.network.backbone.boundary is not None, "the activations were not kept"
    return sizes.num_steps * sizes.batch_size / clock.seconds


def timms_training(name: str, experiment: Experiment, sizes: Sizes, *, synthetic: bool) -> float:
    """Images a second of timm's step on the same batches."""
    model = timm.create_model(name, num_classes=NUM_CLASSES, **image_size_of(name, sizes))
    model = model.to(sizes.device, memory_format=torch.channels_last).train()
    optimizer = create_optimizer_v2(model, opt="adamw", lr=1e-4, weight_decay=0.05)
    data, batches = experiment.batches, experiment.batches.train()
    if synthetic:
        first = {key: value.to(sizes.device) for key, value in next(iter(batches)).items()}
        endless: Iterator[Mapping[str, Tensor]] = itertools.repeat(first)
    else:
        endless = itertools.chain.from_iterable(iter(batches) for _ in itertools.count())
    since = 0.0
    for step, batch in enumerate(itertools.islice(endless, sizes.all_steps)):
        if step == sizes.warm_up:
            synchronise(sizes)
            since = time.perf_counter()
        moved = {key: value.to(sizes.device, non_blocking=True) for key, value in batch.items()}
        prepared = data.prepared(moved)
        images = prepared["input"].contiguous(memory_format=torch.channels_last)
        with torch.autocast(sizes.device, dtype=torch.bfloat16):
            loss = functional.cross_entropy(model(images), prepared["label"])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    synchronise(sizes)
    return sizes.num_steps * sizes.batch_size / (time.perf_counter() - since)


def image_size_of(name: str, sizes: Sizes) -> dict[str, int]:
    """Timm's transformers have one image size."""
    return {"img_size": sizes.image_px} if "vit" in name else {}


def training_rows(name: str, images: Path, sizes: Sizes, rounds: int) -> Iterator[Row]:
    config = compose_checked(settings(name, sizes, images)).config
    experiment = build(config)
    for synthetic, batches in ((True, "one batch on the device"), (False, "decoded images on disk")):
        yield in_turns(
            f"training {name}, {batches}",
            "timm's own step on the same batches",
            partial(lambda how: our_training(build(config), sizes, synthetic=how), synthetic),
            partial(timms_training, name, experiment, sizes, synthetic=synthetic),
            rounds=rounds,
            goal=0.95,
        )


def forward_row(name: str, images: Path, sizes: Sizes, rounds: int) -> Row:
    """The frozen network alone, on the images of the training split."""
    further = ("data/augmentation=none", "strategy=feature_extraction", "strategy/head=linear")
    experiment = build(compose_checked(settings(name, sizes, images, *further)).config)
    backbone = experiment.network.backbone.to(sizes.device)
    boundary, views = find_boundary(backbone, len(backbone.stages)), Views(experiment.batches, "train")
    model = timm.create_model(name, num_classes=0, **image_size_of(name, sizes))
    model = model.to(sizes.device, memory_format=torch.channels_last).eval()

    def rate(parts: Callable[[], Iterable[Any]]) -> float:
        begun = time.perf_counter()
        for _ in parts():
            pass
        synchronise(sizes)
        return len(views) / (time.perf_counter() - begun)

    def ours() -> Iterable[Any]:
        how = {"device": torch.device(sizes.device), "compute": torch.bfloat16, "storage": torch.float32}
        return extracted(backbone, boundary, views, range(len(views)), **how)

    def timms() -> Iterable[Any]:
        with torch.inference_mode(), torch.autocast(sizes.device, dtype=torch.bfloat16):
            for batch in views.loader(range(len(views)), batch_size=sizes.batch_size):
                image = views.preprocessing.normalised(batch["image"].to(sizes.device, non_blocking=True))
                yield model(image.contiguous(memory_format=torch.channels_last)).float().cpu()

    what = f"frozen forward of {name}, decoded images on disk"
    against = "timm's model in inference mode"
    return in_turns(what, against, lambda: rate(ours), lambda: rate(timms), rounds=rounds, goal=None)


def partial_rows(name: str, images: Path, sizes: Sizes, rounds: int) -> Iterator[Row]:
    """The last stage and the head alone, the frozen stages' outputs stored."""

    def ours(*further: str) -> float:
        config = compose_checked(settings(name, sizes, images, "data/augmentation=none", *further)).config
        return our_training(build(config), sizes)

    for against, other, goal in (
        ("the same without stored outputs", ("strategy=partial",), 2.0),
        ("training the whole network", ("strategy=fine_tune",), 2.0),
    ):
        yield in_turns(
            f"partial of {name}, outputs of frozen stages stored",
            against,
            lambda: ours("strategy=partial", "features.cache=auto"),
            lambda: ours(*other),  # noqa: B023 (called at once)
            rounds=rounds,
            goal=goal,
        )


def in_turns(
    what: str,
    against: str,
    ours: Callable[[], float],
    other: Callable[[], float],
    *,
    rounds: int,
    goal: float | None,
) -> Row:
    """Measure two ways by turns; the first round does not count."""
    measured = [(ours(), other()) for _ in range(rounds + 1)][1:]
    row = Row(what, against, *(tuple(column) for column in zip(*measured, strict=True)), goal)
    print(row.as_markdown(), flush=True)
    return row


def table(found: list[Row], sizes: Sizes) -> str:
    card = torch.cuda.get_device_name() if sizes.device == "cuda" else "CPU, tiny sizes: figures mean nothing"
    versions = {module.__name__: module.__version__ for module in (torch, pl, timm)}
    lines = [
        f"Images a second on {card}: {sizes.image_px} px, batches of {sizes.batch_size}, {sizes.precision}",
        "",
        "Medians of rounds in which the two ways take turns in one process, and the median of their ratios.",
        "",
        "| what | against | images/s | the other | ratio | goal |",
        "|---|---|---:|---:|---:|---|",
        *[row.as_markdown() for row in found],
        "",
        ", ".join(f"{name} {version}" for name, version in versions.items()) + f", CUDA {torch.version.cuda}",
        "",
    ]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tiny", action="store_true")
    asked = parser.parse_args()
    sizes = TINY if asked.tiny else FULL
    if sizes.device == "cuda" and not torch.cuda.is_available():
        print(
            "skipped: no CUDA device, nothing was measured. Fix: run it where there is one; --tiny tries it."
        )
        return 2
    quiet_libraries()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TRANSFERLAB_CACHE"] = f"{folder}/cache"
        images = Path(folder, "images")
        write_images(images, sizes)
        found = [row for name in sizes.networks for row in training_rows(name, images, sizes, asked.rounds)]
        found += [forward_row(name, images, sizes, asked.rounds) for name in sizes.networks]
        found += partial_rows(sizes.partial_of, images, sizes, asked.rounds)
    text = table(found, sizes)
    print(f"\n{text}")
    if not asked.tiny:
        rows = [{**asdict(row), "ratio": row.ratio, "reached": row.reached} for row in found]
        content = {"device": torch.cuda.get_device_name(), "sizes": asdict(sizes), "rows": rows}
        (RESULTS / "gpu.json").write_text(json.dumps(content, indent=1) + "\n")
        (RESULTS / "gpu.md").write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
