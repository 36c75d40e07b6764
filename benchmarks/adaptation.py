"""Domain adaptation of digits, measured: MNIST to MNIST-M and MNIST to UCI's digits, three seeds each.

    python benchmarks/adaptation.py mnist.npz PHOTOS [--into adaptation] [--jobs 1] [--only-table]

MNIST as npz or a folder of its idx files; PHOTOS is any folder of photos (here: five kinds of flowers).
Hours on two cores. It can be stopped at any time: the same command goes on. Writes
benchmarks/results/adaptation.json and .md.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
FAST = "trainer.precision=bf16-mixed fit.channels_last=true fit.keep_checkpoints=none"
SEEDS = "seed=0,1,2"
SELECTED = "information_maximisation"


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """One command, and what to call its rows; commands with one folder share the rows."""

    pair: str
    folder: str
    arguments: str
    remark: str = ""


MNIST_M, DIGITS = "MNIST → MNIST-M", "MNIST → UCI digits"
OBJECTIVES = "strategy=source_only,dann,mcc,self_training,cdan_e,dan,deep_coral,mdd"
LONGER = "data.steps_per_epoch=500 trainer.max_epochs=20"
ADAMW = "strategy/learning_rates=adaptation"
BATCH_NORM = "'backbone.kwargs={batch_norm: true}'"
SWEEPS = (
    Sweep(pair=MNIST_M, folder="mnist_m", arguments=OBJECTIVES),
    Sweep(
        pair=MNIST_M,
        folder="mnist_m_adamw",
        arguments=f"strategy=source_only,dann {ADAMW}",
        remark="AdamW",
    ),
    Sweep(
        pair=MNIST_M,
        folder="mnist_m_bn",
        arguments=f"strategy=dann,cdan_e {ADAMW} {BATCH_NORM} strategy.bn=domain_specific",
        remark="AdamW, batch norm",
    ),
    Sweep(
        pair=MNIST_M,
        folder="mnist_m_bn",
        arguments=f"strategy=source_only {ADAMW} {BATCH_NORM}",
        remark="AdamW, batch norm",
    ),
    Sweep(
        pair=MNIST_M,
        folder="mnist_m_longer",
        arguments=f"strategy=source_only,dann {LONGER}",
        remark="10,000 steps",
    ),
    Sweep(
        pair=MNIST_M,
        folder="mnist_m_bn_longer",
        arguments=f"strategy=dann {ADAMW} {BATCH_NORM} strategy.bn=domain_specific {LONGER}",
        remark="AdamW, batch norm, 10,000 steps",
    ),
    Sweep(pair=DIGITS, folder="digits", arguments=OBJECTIVES),
)
# Per cent on MNIST-M's test images: Ganin et al. (2016), table 2; ADA, the library of Tousch & Renaudin
# (2020), whose network and training differ
PUBLISHED = {
    "source_only": "52.3 (Ganin), 34.0 (ADA)",
    "dann": "76.7 (Ganin), 37.5 (ADA)",
    "cdan_e": "69.6 (ADA)",
    "dan": "47.0 (ADA)",
}


def command(sweep: Sweep, into: Path, mnist: Path, photos: Path, jobs: int) -> str:
    """What makes the runs of a sweep, as a line for a shell."""
    is_mnist_m = sweep.pair == MNIST_M
    root, photos_root, folder = (shlex.quote(str(path)) for path in (mnist, photos, into / sweep.folder))
    parts = [
        f"train -m experiment={'mnist_to_mnist_m' if is_mnist_m else 'mnist_to_digits'}",
        f"{SEEDS} {sweep.arguments} {FAST} data.root={root}",
        *([f"data.target.photos={photos_root}"] if is_mnist_m else []),
        f"hydra.sweep.dir={folder} hydra.launcher.jobs_at_once={jobs}",
    ]
    return " ".join(parts)


def finished_runs(folder: Path) -> list[dict[str, Any]]:
    """What each finished run's files say, by seed: strategy, seed, and figures by way of selection."""
    runs = []
    for file in sorted(folder.glob("*/result.json")):
        result = json.loads(file.read_text(encoding="utf-8"))
        if result["status"] != "finished":
            continue
        choices = json.loads((file.parent / "environment.json").read_text(encoding="utf-8"))["choices"]
        target = result["selection"]["target"]
        runs.append(
            {
                "strategy": choices["strategy"],
                "seed": result["seed"],
                **{name: 100 * target[name]["accuracy"] for name in ("last", SELECTED, "oracle")},
            }
        )
    return sorted(runs, key=lambda run: run["seed"])


def rows_of(into: Path) -> list[dict[str, Any]]:
    """A row for each strategy of each sweep, in the order of the sweeps."""
    found: dict[tuple[str, str, str], list[dict[str, Any]]] = defaultdict(list)
    for sweep in {sweep.folder: sweep for sweep in SWEEPS}.values():
        for run in finished_runs(into / sweep.folder):
            found[sweep.pair, run["strategy"], sweep.remark].append(run)
    return [
        {
            "pair": pair,
            "strategy": strategy,
            "remark": remark,
            "seeds": [run["seed"] for run in runs],
            **{name: [round(run[name], 2) for run in runs] for name in ("last", SELECTED, "oracle")},
        }
        for (pair, strategy, remark), runs in found.items()
    ]


def table_of(rows: list[dict[str, Any]], pair: str, step_times: dict[str, str]) -> list[str]:
    """The rows of a pair of domains, the baseline first, then by what was selected without labels."""
    chosen = [row for row in rows if row["pair"] == pair]
    chosen.sort(key=lambda row: (row["strategy"] != "source_only", -statistics.mean(row[SELECTED])))
    columns = [pair, "seeds", "last", "selected without labels", "oracle", "time of a step"]
    has_published = pair == MNIST_M
    lines = [
        f"| {' | '.join([*columns, *(['published'] if has_published else [])])} |",
        f"|---|{'---:|' * (len(columns) - 1)}{'---|' if has_published else ''}",
    ]
    for row in chosen:
        name = f"`{row['strategy']}`" + (f", {row['remark']}" if row["remark"] else "")
        figures = [in_words(row[key]) for key in ("last", SELECTED, "oracle")]
        plain = not row["remark"]
        step = step_times.get(row["strategy"], "") if plain else ""
        published = [PUBLISHED.get(row["strategy"], "") if plain else ""] if has_published else []
        lines.append(f"| {' | '.join([name, str(len(row['seeds'])), *figures, step, *published])} |")
    return lines


def times_of_steps() -> dict[str, str]:
    """What adaptation_step.py has measured, as multiples of a supervised step on as many images."""
    rows = json.loads((RESULTS / "adaptation_step.json").read_text(encoding="utf-8"))["rows"]
    return {"source_only": "1"} | {row["what"]: f"{row['measured']:.2f}" for row in rows}


def in_words(figures: list[float]) -> str:
    """Mean and sample standard deviation."""
    spread = f" ± {statistics.stdev(figures):.1f}" if len(figures) > 1 else ""
    return f"{statistics.mean(figures):.1f}{spread}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("mnist", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--into", type=Path, default=Path("adaptation"))
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--only-table", action="store_true", help="run nothing; of the runs that are there")
    options = parser.parse_args()
    transferlab = str(Path(sys.executable).with_name("transferlab"))
    for sweep in () if options.only_table else SWEEPS:
        arguments = command(sweep, options.into, options.mnist, options.photos, options.jobs)
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        subprocess.run([transferlab, *shlex.split(arguments)], check=True, env=environment)
    rows, step_times = rows_of(options.into), times_of_steps()
    pairs = list(dict.fromkeys(row["pair"] for row in rows))
    lines = [
        "Test accuracy on the target in per cent, mean ± standard deviation over seeds; no label of it was",
        f"used but for the column `oracle`. Selected by {SELECTED.replace('_', ' ')}. Network, head and",
        "SGD are those of Ganin et al. (2016); 3,000 steps for MNIST-M and 1,000 for UCI's digits where a",
        "row says nothing else. Time of a step: as a multiple of a supervised one on as many images,",
        "ResNet-18 at 64 px (adaptation_step.md).",
        "",
        *[line for pair in pairs for line in [*table_of(rows, pair, step_times), ""]],
        "Made with `python benchmarks/adaptation.py mnist.npz PHOTOS`, that is:",
        "",
        "```",
        *[
            f"transferlab {command(sweep, Path('adaptation'), Path('mnist.npz'), Path('PHOTOS'), 1)}"
            for sweep in SWEEPS
        ],
        "```",
        "",
    ]
    (RESULTS / "adaptation.json").write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n")
    (RESULTS / "adaptation.md").write_text("\n".join(lines))
    sys.stdout.write("\n".join(lines))


if __name__ == "__main__":
    main()
