"""Cost of a start before training: finding, hashing, checking and dividing images, in a process of its own.

    python benchmarks/start_up_data.py [--rounds 3] [--rows 1000000]

First starts have an empty index, second ones that of the first; sizes take turns. A start is `arrange`, the
batches' set-up and the hash of the data that a run records, without the imports before it. Each is a fresh
process; the memory of its imports, torch's for the most part, is given apart. Of the wall time the part is
given in which the process waited for a core: other processes had it.
Writes benchmarks/results/start_up_data.json and .md.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

from many_images import LONG_AGO_S, write_images

from transferlab.data.augmentation.pipeline import Augmentation
from transferlab.data.batches import Batches
from transferlab.data.catalog.folder import Folder
from transferlab.data.catalog.table import Table
from transferlab.data.data_settings import DataSettings
from transferlab.data.image.preprocessing import Preprocessing
from transferlab.data.mixing.batch import Mixing
from transferlab.data.splits import arrange

SIZES = (1_000, 10_000, 100_000)
NAMES_PER_FILE = 50  # the rows of the long table are hard links, which are files of their own to a program
RESULTS = Path(__file__).parent / "results"


def start(kind: str, place: Path) -> dict[str, float]:
    """Seconds and mebibytes of one start, measured in this process."""
    imported, waited = _peak_mib(), _waited_s()
    processor, wall = time.process_time(), time.perf_counter()
    settings = DataSettings(
        root=None,
        source=Folder(str(place)) if kind == "folder" else Table(str(place)),
        target=None,
        augmentation=Augmentation(),
        mixing=Mixing(),
        check_images=kind == "folder",
    )
    batches = Batches(arrange(settings), settings, Preprocessing(32), seed=0)
    next(iter(batches.order(0)))
    fingerprint = batches.splits.fingerprint()
    return {
        "processor_s": time.process_time() - processor,
        "wall_s": time.perf_counter() - wall,
        "waiting_for_a_core_s": _waited_s() - waited,
        "peak_mib": _peak_mib() - imported,
        "peak_with_imports_mib": _peak_mib(),
        "fingerprint": int(fingerprint[:12], 16),
    }


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _waited_s() -> float:
    """Seconds that this process was ready to run and had no core (Linux; else 0)."""
    file = Path("/proc/self/schedstat")
    return int(file.read_text().split()[1]) / 1e9 if file.is_file() else 0.0


def measured(kind: str, place: Path) -> dict[str, float]:
    """`start` in a fresh process, which imports what it needs first."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(start, (kind, place))


def write_table(folder: Path, rows: int) -> Path:
    """A CSV of `rows` different paths in four classes; 50 of them each name one JPEG."""
    num_files = -(-rows // NAMES_PER_FILE)
    files = sorted(write_images(folder / "files", num_files).rglob("*.jpg"))
    lines = ["path,label"]
    for number in range(NAMES_PER_FILE):
        (folder / f"names_{number:02d}").mkdir()
        for place, file in enumerate(files):
            name = f"names_{number:02d}/{file.name}"
            os.link(file, folder / name)
            lines.append(f"{name},class {place % 4}")
    for file in files:
        os.utime(file, (LONG_AGO_S, LONG_AGO_S))
    table = folder / "table.csv"
    table.write_text("\n".join(lines[: rows + 1]) + "\n")
    return table


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=1_000_000, help="of a table; 0: none")
    asked = parser.parse_args()
    rows: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        os.environ["TRANSFERLAB_CACHE"] = str(base / "cache")
        roots = {size: write_images(base / f"{size}", size) for size in SIZES}
        for size, root in roots.items():
            rows[f"folder of {size:,} JPEGs, first start"] = [measured("folder", root)]
        for _ in range(asked.rounds):
            for size, root in roots.items():
                found = measured("folder", root)
                rows.setdefault(f"folder of {size:,} JPEGs, second start", []).append(found)
                first = rows[f"folder of {size:,} JPEGs, first start"][0]
                assert found["fingerprint"] == first["fingerprint"]
        if asked.rows:
            table = write_table(base / "table", asked.rows)
            name = f"table of {asked.rows:,} rows, data.check_images=false"
            rows[f"{name}, first start"] = [measured("table", table)]
            rows[f"{name}, second start"] = [measured("table", table)]
            assert len({row["fingerprint"] for kind in rows if name in kind for row in rows[kind]}) == 1
    write(rows, asked.rounds)


def write(rows: dict[str, list[dict[str, float]]], rounds: int) -> None:
    """The two files of results; shows the second."""
    columns = ("processor_s", "wall_s", "waiting_for_a_core_s", "peak_mib", "peak_with_imports_mib")
    medians = {
        name: {column: statistics.median(one[column] for one in each) for column in columns}
        for name, each in rows.items()
    }
    about = (
        "A start of a run up to its first batch's order, each in a fresh process: images of 64x48 "
        f"pixels, medians of {rounds} second starts. Peak memory is what comes on top of the imports."
    )
    lines = [
        about,
        "",
        "| start | processor s | wall s | of it without a core s | peak MiB | with imports |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, median in medians.items():
        cells = [f"{median[column]:.3g}" for column in columns[:3]]
        cells += [f"{median[column]:.0f}" for column in columns[3:]]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    RESULTS.mkdir(exist_ok=True)
    content = {"about": about, "rows": rows, "medians": medians}
    (RESULTS / "start_up_data.json").write_text(json.dumps(content, indent=1) + "\n")
    (RESULTS / "start_up_data.md").write_text("\n".join([*lines, ""]))
    sys.stdout.write("\n".join([*lines, ""]))


if __name__ == "__main__":
    main()
