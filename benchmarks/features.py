"""What it saves to compute the features of a frozen network once.

    python benchmarks/features.py [--rounds 3]

A probe is a whole run of `transferlab.train`: config, data, network, 30 epochs, figures on validation and
test, run folder. The network is timm's with random weights, the images are scikit-learn's digits. Writes
benchmarks/results/features.json and .md.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from comparison import Row, in_turns, one_thread, rounds_asked, write
from torch import Tensor

from transferlab.backbone.boundary_search import find_boundary
from transferlab.config.compose import compose_checked
from transferlab.feature.extraction import Views, extracted, has_bfloat16, least_cosine
from transferlab.run.run_folder import Run
from transferlab.training import runs
from transferlab.training.build import build

CPU = torch.device("cpu")
HAS_BFLOAT16 = has_bfloat16(CPU)
SETTINGS = (
    *("trainer=cpu", "backbone.weights=random", "data=digits", "strategy=feature_extraction"),
    *("strategy/head=linear", "strategy.learning_rates.warmup_epochs=0", "trainer.gradient_clip_val=null"),
    *("data.batch_size=64", "fit.channels_last=false"),
)
PROBE = (
    *SETTINGS,
    "backbone=mobilenetv2_100",
    "data.image_size=96",
    "data.fraction=0.2",
    "data.val_fraction=0.05",
    "data.test_fraction=0.05",
)
NUM_EPOCHS = 30
OTHER_RATE = "strategy.learning_rates.base=0.01"
UNCACHED, COLD, WARM, COLD_BFLOAT16 = "uncached", "cold", "warm", "cold, bfloat16"
NUM_EXTRACTED, EXTRACTION_ROUNDS = 128, 5


class Probes:
    """Probes in a folder; each cold one gets an empty store of its own.

    Attributes:
        last: the last run of each way.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.last = folder, dict[str, Run]()
        self._numbers = itertools.count()

    def run(self, name: str, *settings: str, cold: bool = True, epochs: int = NUM_EPOCHS) -> None:
        """Run a probe, on the store of the one before unless `cold`."""
        number = next(self._numbers)
        if cold:
            os.environ["TRANSFERLAB_CACHE"] = str(self.folder / f"cache{number}")
        place = (f"trainer.max_epochs={epochs}", f"hydra.run.dir={self.folder / str(number)}")
        with contextlib.redirect_stdout(io.StringIO()):
            self.last[name] = runs.train([*PROBE, *settings, *place])

    def ways(self, epochs: int = NUM_EPOCHS) -> dict[str, Callable[[], None]]:
        """In this order, for the warm one uses the store of the cold one before."""
        ways = {
            UNCACHED: lambda: self.run(UNCACHED, "features.cache=off", epochs=epochs),
            COLD: lambda: self.run(COLD, epochs=epochs),
            WARM: lambda: self.run(WARM, OTHER_RATE, cold=False, epochs=epochs),
        }
        if HAS_BFLOAT16:
            ways[COLD_BFLOAT16] = lambda: self.run(
                COLD_BFLOAT16, "features.precision=bfloat16", epochs=epochs
            )
        return ways


def probe_rows(rounds: int) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        probes = Probes(Path(folder))
        in_turns(probes.ways(epochs=1), rounds=1, warm_up=0)  # imports, kernels
        spent = in_turns(probes.ways(), rounds=rounds, warm_up=0)
        probes.run("cold, other rate", OTHER_RATE)
        last = probes.last
        off = largest_difference(last[COLD], last[UNCACHED])
        assert off <= 1e-5, off
        warm_off = largest_difference(last[WARM], last["cold, other rate"])
        assert warm_off == 0.0, warm_off
        rows = [
            Row(
                what="probe, empty store, 30 epochs, extraction included",
                against="features.cache=off",
                spent=spent[COLD],
                baseline=spent[UNCACHED],
                at_least=20,
                equal=f"history and all predictions to {off:.0e}",
            ),
            Row(
                what="second probe, another learning rate, filled store",
                against="features.cache=off",
                spent=spent[WARM],
                baseline=spent[UNCACHED],
                at_least=100,
                equal="history and all predictions bit for bit, to those from an empty store",
            ),
        ]
        if HAS_BFLOAT16:
            rounded, exact = last[COLD_BFLOAT16], last[UNCACHED]
            same = (rounded.predictions()["predicted"] == exact.predictions()["predicted"]).sum()
            num_predictions = len(exact.predictions())
            assert same >= 0.9 * num_predictions, same
            losses = (rounded.history["train/loss"] - exact.history["train/loss"]).abs().max()
            assert losses <= 0.02, losses
            rows.insert(
                1,
                Row(
                    what="the same with features.precision=bfloat16",
                    against="features.cache=off, float32",
                    spent=spent[COLD_BFLOAT16],
                    baseline=spent[UNCACHED],
                    at_least=40,
                    equal=f"rounded: training losses to {losses:.0e}, "
                    f"{same} of {num_predictions} test predictions the same",
                ),
            )
    return rows


def largest_difference(one: Run, other: Run) -> float:
    """Of any figure of any epoch, but for the seconds, and of any predicted probability."""
    tables = [
        [
            run.history.drop(columns="seconds"),
            *(run.predictions(part).filter(like="p(") for part in ("val", "test")),
        ]
        for run in (one, other)
    ]
    return max(float(np.abs(a.to_numpy() - b.to_numpy()).max()) for a, b in zip(*tables, strict=True))


def extraction_rows(name: str) -> list[Row]:
    """Features of 128 images of 128 px, transferlab's way in both precisions against torch's defaults."""
    config = compose_checked([*SETTINGS, f"backbone={name}", "data.image_size=128"]).config
    experiment = build(config)
    backbone, data = experiment.network.backbone, experiment.batches
    boundary = find_boundary(backbone, len(backbone.stages))
    views = Views(data, "train")
    made: dict[str, Tensor] = {}

    def ours(compute: torch.dtype) -> Iterator[Tensor]:
        parts = extracted(
            backbone,
            boundary,
            views,
            range(NUM_EXTRACTED),
            device=CPU,
            compute=compute,
            storage=torch.float32,
        )
        return (features for _, features in parts)

    def default() -> Iterator[Tensor]:
        backbone.eval()
        with torch.no_grad():
            for batch in views.loader(range(NUM_EXTRACTED), batch_size=64):
                yield backbone(data.prepared(batch)["input"])

    def keep(way: str, parts: Callable[[], Iterator[Tensor]]) -> Callable[[], None]:
        def run() -> None:
            made[way] = torch.cat(list(parts()))

        return run

    ways = {"default": keep("default", default), "float32": keep("float32", lambda: ours(torch.float32))}
    if HAS_BFLOAT16:
        ways["bfloat16"] = keep("bfloat16", lambda: ours(torch.bfloat16))
    spent = in_turns(ways, rounds=EXTRACTION_ROUNDS)
    off = float((made["float32"] - made["default"]).abs().max() / made["default"].abs().max())
    assert off <= 1e-5, off
    against = "batches of 64, float32, as torch does by default"
    rows = [
        Row(
            what=f"extraction, {name}, float32",
            against=against,
            spent=spent["float32"],
            baseline=spent["default"],
            equal=f"to {off:.0e} of the largest feature",
        )
    ]
    if HAS_BFLOAT16:
        cosine = least_cosine(made["default"], made["bfloat16"])
        assert cosine >= 0.999, cosine
        rows.insert(
            0,
            Row(
                what=f"extraction, {name}, bfloat16",
                against=against,
                spent=spent["bfloat16"],
                baseline=spent["default"],
                at_least=2.5,
                equal=f"cosine of every image's features ≥ {cosine:.5f}",
            ),
        )
    return rows


def main() -> None:
    rounds = rounds_asked(__doc__)
    one_thread()
    rows = [*probe_rows(rounds), *extraction_rows("mobilenetv2_100"), *extraction_rows("resnet18")]
    write(
        "features",
        "A probe on a frozen network (timm's, random weights, digits), and the extraction of its features",
        rows,
    )


if __name__ == "__main__":
    main()
