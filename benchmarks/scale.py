"""Cost of what is done per image besides reading it, for 1,000, 10,000 and 100,000 images.

    python benchmarks/scale.py [--rounds 3]

Each size is a process of its own, sizes take turns; reported are medians of processor time and by how much it
grows when there are ten times as many images (10: linear).
Writes benchmarks/results/scale.json and .md.
"""

from __future__ import annotations

import json
import multiprocessing
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from comparison import rounds_asked

from transferlab.data.augmentation.pipeline import Augmentation
from transferlab.data.catalog.catalog import Catalog, catalog_table
from transferlab.data.catalog.digits import Digits
from transferlab.data.data_settings import DataSettings
from transferlab.data.image.reader import ArrayReader
from transferlab.data.loading.sampler import TrainingBatches
from transferlab.data.mixing.batch import Mixing
from transferlab.data.similarity import similar_pairs
from transferlab.data.splits import Split, Splits, arrange_source
from transferlab.evaluation.metrics import classification_metrics
from transferlab.evaluation.predictions import Predictions

SIZES = (1_000, 10_000, 100_000)
NUM_CLASSES = 10
RESULTS = Path(__file__).parent / "results"


def costs(num: int) -> dict[str, float]:
    """Processor seconds of each step with `num` images, and the peak of memory on top of the imports."""
    imported, rng = _peak_mib(), np.random.default_rng(0)
    samples = [f"class_{row % NUM_CLASSES}/image_{row:07d}.jpg" for row in range(num)]
    contents = [f"{row - (row % 10 == 9):032x}" for row in range(num)]  # each tenth is a copy
    groups = [f"patient {row // 3}" for row in range(num)]
    labels = rng.integers(0, NUM_CLASSES, num).tolist()
    classes = tuple(f"class {code}" for code in range(NUM_CLASSES))
    reader = ArrayReader(samples, lambda: np.zeros((num, 1, 1, 3), np.uint8))
    found: dict[str, float] = {}

    def timed(name: str, run: Callable[[], object]) -> object:
        start = time.process_time()
        result = run()
        found[name] = time.process_time() - start
        return result

    def divided(fold: int | None) -> Splits:
        settings = DataSettings(
            root=None,
            source=Digits(),
            target=None,
            augmentation=Augmentation(),
            mixing=Mixing(),
            fold=fold,
        )
        catalog = Catalog(catalog_table(samples, labels, contents, "own", groups), classes, reader)
        catalog = arrange_source(catalog, settings)
        train = Split("train", catalog.select(catalog.table["split"] == "train"), "source", True)
        return Splits((train,), (catalog,))

    splits = divided(None)
    timed("division: stratified, groups and copies together", lambda: divided(None))
    timed("the same into folds", lambda: divided(1))
    timed("hash of the data", splits.fingerprint)
    batches = TrainingBatches(
        splits["train"].catalog.codes,
        num_target=num,
        batch_size=64,
        target_batch_size=64,
        balanced=False,
        steps_per_epoch=None,
        seed=0,
    )
    timed("order of an epoch, with a target", lambda: sum(1 for _ in batches))
    probabilities = rng.dirichlet(np.ones(NUM_CLASSES), num)
    predictions = Predictions(samples, np.array(labels), probabilities, classes)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "test.csv"
        timed("split.csv", lambda: splits.table().to_csv(Path(folder) / "split.csv", index=False))
        timed("predictions, written", lambda: predictions.write(file))
        timed("predictions, read for a comparison", lambda: Predictions.read(file))
    timed("metrics", lambda: classification_metrics(probabilities, predictions.labels_N))
    hashes = rng.integers(0, 2**64, num, dtype=np.uint64)
    thumbnails = rng.integers(0, 256, (num, 16, 16), dtype=np.uint8)
    timed("near duplicates (inspect)", lambda: similar_pairs(hashes, thumbnails))
    return {**found, "peak MiB, all of it": _peak_mib() - imported}


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    rounds = rounds_asked(__doc__)
    each: dict[int, list[dict[str, float]]] = {size: [] for size in SIZES}
    for _ in range(rounds):
        for size in SIZES:
            with multiprocessing.get_context("fork").Pool(1) as pool:
                each[size].append(pool.apply(costs, (size,)))
    medians = {
        name: [statistics.median(one[name] for one in each[size]) for size in SIZES]
        for name in each[SIZES[0]][0]
    }
    about = f"Processor seconds by number of images, medians of {rounds} interleaved rounds."
    lines = [about, "", f"| step | {' | '.join(f'{size:,}' for size in SIZES)} | tenfold costs |"]
    lines.append("|---|---:|---:|---:|---:|")
    for name, values in medians.items():
        cells = [f"{value:.3g}" for value in values]
        lines.append(f"| {name} | {' | '.join(cells)} | {values[-1] / max(values[-2], 1e-9):.1f}× |")
    RESULTS.mkdir(exist_ok=True)
    content = {"about": about, "sizes": SIZES, "medians": medians, "rounds": each}
    (RESULTS / "scale.json").write_text(json.dumps(content, indent=1) + "\n")
    (RESULTS / "scale.md").write_text("\n".join([*lines, ""]))
    sys.stdout.write("\n".join([*lines, ""]))


if __name__ == "__main__":
    main()
