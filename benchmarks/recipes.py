"""Recipes of transfer compared on five small sets: which one is the default, and is it better?

    python benchmarks/recipes.py run DATA [--into recipes] [--backbones lite0] [--seeds 0]
    python benchmarks/recipes.py table [--into recipes]

DATA is the folder of the photos and weights that recipe_configs/ names. A recipe is an experiment in there;
`timm` and `fastai` are plain fine-tunes as users of these libraries run them. Each seed and backbone is an
ordinary sweep below `--into`; it can be stopped at any time, and the same command goes on. The whole takes
days on two cores. The table has, for each set, the mean accuracy over seeds and the paired difference of the
default to the others with an interval over test images and seeds (by group where the set has groups); for
all sets together a hierarchical bootstrap (sets, then seeds and images within) and Friedman's test with
Nemenyi's critical difference. Writes benchmarks/results/recipes.json and .md.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from transferlab.evaluation.comparison.answers import Answers, read_table
from transferlab.evaluation.comparison.intervals import difference

HERE = Path(__file__).parent
RESULTS = HERE / "results"
DEFAULT = "fine_tune"
CONTENDERS = ("feature_extraction", "fine_tune", "timm", "fastai")  # what the default is held against, first
FURTHER = (
    "lp_ft",
    "progressive_unfreezing",
    "progressive_unfreezing_validated",
    "partial",
    "from_scratch",
)
SETS = ("flowers", "clothing", "blood", "pneumonia", "mnist_600")
IMAGE_SIZE = 64
_DRAWS = 10_000


@dataclass(frozen=True)
class Trial:
    """A finished run of a recipe."""

    recipe: str
    set: str
    backbone: str
    seed: int
    folder: Path
    val: float
    seconds: float


def make_small_sets(data: Path, into: Path) -> None:
    """Write the subsets of the two sets that come as one file: 600 images to train on, 200 to validate."""
    for source, name, num_test in (
        (data / "sets/pneumoniamnist/pneumoniamnist.npz", "pneumonia", 624),
        (data / "digits/mnist.npz", "mnist_600", 1000),
    ):
        target = into / f"{name}.npz"
        if target.exists():
            continue
        with np.load(source) as arrays:
            drawn = np.random.default_rng(0).permutation(len(arrays["x_train"]))
            train, val = drawn[:600], drawn[600:800]
            test = np.random.default_rng(1).permutation(len(arrays["x_test"]))[:num_test]
            parts = {"train": ("train", train), "val": ("train", val), "test": ("test", test)}
            chosen = {
                f"{axis}_{to}": arrays[f"{axis}_{of}"][rows]
                for to, (of, rows) in parts.items()
                for axis in "xy"
            }
        np.savez_compressed(target, **chosen)


def run(asked: argparse.Namespace) -> int:
    """Run or go on with the sweeps; the exit code of the last."""
    into = asked.into.resolve()
    into.mkdir(parents=True, exist_ok=True)
    make_small_sets(asked.data, into)
    variables = {"TRANSFERLAB_DATA": str(asked.data.resolve()), "TRANSFERLAB_RECIPES": str(into)}
    code = 0
    for seed in asked.seeds:
        for backbone in asked.backbones:
            for recipes in asked.recipes:
                folder = into / f"seed_{seed}_{backbone}_{recipes[0]}"
                going_on = (folder / "sweep.json").is_file()
                command = (
                    ["resume", str(folder)]
                    if going_on
                    else sweep(folder, seed, backbone, asked.sets, recipes, asked.jobs)
                )
                line = [sys.executable, "-m", "transferlab", *command]
                # recipe_parts lies here, and `allow` names it
                code = subprocess.run(line, cwd=HERE, env={**os.environ, **variables}, check=False).returncode
    return code


def sweep(
    folder: Path, seed: int, backbone: str, sets: list[str], recipes: tuple[str, ...], jobs: str
) -> list[str]:
    """The arguments of an ordinary sweep over sets and recipes."""
    return [
        "train",
        "-m",
        f"--config-dir={HERE / 'recipe_configs'}",
        "allow=[recipe_parts]",
        f"data={','.join(sets)}",
        f"experiment={','.join(f'recipe_{name}' for name in recipes)}",
        f"backbone={backbone}",
        f"seed={seed}",
        f"data.image_size={IMAGE_SIZE}",
        "data.cache=decoded",
        "data.num_workers=0",
        "trainer=cpu",
        "trainer.enable_progress_bar=false",
        "fit.keep_checkpoints=none",
        f"hydra.launcher.jobs_at_once={jobs}",
        f"hydra.sweep.dir={folder}",
    ]


def trials(into: Path) -> list[Trial]:
    """The finished runs below a folder."""
    found = []
    for file in sorted(into.glob("seed_*/*/result.json")):
        result = json.loads(file.read_text(encoding="utf-8"))
        if result["status"] != "finished":
            continue
        choices = json.loads((file.parent / "environment.json").read_text(encoding="utf-8"))["choices"]
        found.append(
            Trial(
                recipe=choices["experiment"].removeprefix("recipe_"),
                set=choices["data"],
                backbone=choices["backbone"],
                seed=result["seed"],
                folder=file.parent,
                val=result["val"]["accuracy"],
                seconds=result["cost"]["fit_seconds"],
            )
        )
    return found


def paired(of_default: list[Trial], of_other: list[Trial]) -> tuple[np.ndarray, np.ndarray, Answers] | None:
    """Right answers (seeds, images) of both recipes in the seeds that both have."""
    seeds = sorted({trial.seed for trial in of_default} & {trial.seed for trial in of_other})
    if not seeds:
        return None
    read = []
    for trials_of in (of_default, of_other):
        by_seed = {trial.seed: read_table([trial.folder]) for trial in trials_of}
        tables = [by_seed[seed] for seed in seeds]
        groups = tables[0]["group"]
        labels = [list(tables[0]["label"])] + [list(table["predicted"]) for table in tables]
        codes = np.unique(np.array(labels, dtype=object).astype(str), return_inverse=True)[1].reshape(
            len(labels), -1
        )
        read.append(Answers.of(codes[0], codes[1:], groups if (groups != "").any() else None))
    return read[0].right_SN, read[1].right_SN, read[0]


def over_all(pairs: list[list[tuple[np.ndarray, np.ndarray, Answers]]]) -> tuple[float, float, float]:
    """Mean difference over sets with its interval: sets, seeds and images (or groups) are drawn again.

    Args:
        pairs: for each set those of its backbones.
    """
    generator = np.random.default_rng(0)
    drawn = np.empty((_DRAWS, len(pairs)))
    means = np.empty(len(pairs))
    for place, of_set in enumerate(pairs):
        totals, mean = np.zeros(_DRAWS), 0.0
        for one_SN, other_SN, answers in of_set:
            apart_SN = one_SN.astype(float) - other_SN
            sums_SG = np.stack([np.bincount(answers.groups_N, row, answers.num_groups) for row in apart_SN])
            sizes_G = np.bincount(answers.groups_N, minlength=answers.num_groups)
            seeds, groups = sums_SG.shape
            of_groups = generator.multinomial(groups, np.full(groups, 1 / groups), _DRAWS)
            of_seeds = generator.multinomial(seeds, np.full(seeds, 1 / seeds), _DRAWS) / seeds
            totals += ((of_seeds @ sums_SG) * of_groups).sum(1) / (of_groups @ sizes_G)
            mean += apart_SN.mean()
        drawn[:, place], means[place] = totals / len(of_set), mean / len(of_set)
    sets = generator.integers(len(pairs), size=(_DRAWS, len(pairs)))
    averages = np.take_along_axis(drawn, sets, axis=1).mean(1)
    low, high = np.percentile(averages, [2.5, 97.5])
    return float(means.mean()), float(low), float(high)


def table(asked: argparse.Namespace) -> int:
    """Print and write what the finished runs say."""
    found = trials(asked.into)
    recipes = [name for name in (*CONTENDERS, *FURTHER) if any(trial.recipe == name for trial in found)]
    sets = [name for name in SETS if any(trial.set == name for trial in found)]
    backbones = list(dict.fromkeys(trial.backbone for trial in found))

    def of(recipe: str, name: str, backbone: str) -> list[Trial]:
        return [t for t in found if (t.recipe, t.set, t.backbone) == (recipe, name, backbone)]

    lines = [f"Test accuracy at {IMAGE_SIZE} px, mean over seeds; validation accuracy in brackets."]
    results: dict[str, Any] = {"image_size": IMAGE_SIZE, "accuracy": {}, "differences": {}, "overall": {}}
    for backbone in backbones:
        seeds = sorted({trial.seed for trial in found if trial.backbone == backbone})
        lines += ["", f"**{backbone}**, seeds {', '.join(map(str, seeds))}", ""]
        lines += [f"| recipe | {' | '.join(sets)} | minutes per run |", f"|---|{'---:|' * (len(sets) + 1)}"]
        for recipe in recipes:
            cells, minutes = [], []
            for name in sets:
                runs = of(recipe, name, backbone)
                minutes += [run.seconds / 60 for run in runs]
                if not runs:
                    cells.append("-")
                    continue
                right = [read_table([run.folder]) for run in runs]
                accuracy = float(np.mean([(t["label"] == t["predicted"]).mean() for t in right]))
                cells.append(f"{accuracy:.3f} ({np.mean([run.val for run in runs]):.3f})")
                results["accuracy"][f"{backbone}/{name}/{recipe}"] = [accuracy, len(runs)]
            if minutes:
                lines.append(f"| `{recipe}` | {' | '.join(cells)} | {np.median(minutes):.1f} |")
    lines += [
        "",
        f"`{DEFAULT}` minus another recipe, in points, with 95 % intervals over test images and seeds:",
        "",
    ]
    columns = [f"{name}, {backbone}" for backbone in backbones for name in sets]
    lines += [f"| minus | {' | '.join(columns)} | all sets |", f"|---|{'---:|' * (len(columns) + 1)}"]
    for recipe in (name for name in recipes if name != DEFAULT):
        cells, by_set = [], {}
        for backbone in backbones:
            for name in sets:
                pair = paired(of(DEFAULT, name, backbone), of(recipe, name, backbone))
                if pair is None:
                    cells.append("-")
                    continue
                by_set.setdefault(name, []).append(pair)
                one_SN, other_SN, answers = pair
                ends = difference(one_SN, other_SN, answers.labels_N, answers.groups_N, balanced=False)
                mean = one_SN.mean() - other_SN.mean()
                cells.append(in_points(mean, ends.low, ends.high))
                results["differences"][f"{backbone}/{name}/{recipe}"] = [mean, ends.low, ends.high]
        whole = "-"
        if by_set:
            results["overall"][recipe] = over_all(list(by_set.values()))
            whole = in_points(*results["overall"][recipe])
        lines.append(f"| `{recipe}` | {' | '.join(cells)} | {whole} |")
    lines += ["", *last_or_lowest_loss(found)]
    lines += ["", *ranks(results["accuracy"], recipes)]
    hours = sum(trial.seconds for trial in found) / 3600
    results |= {"runs": len(found), "hours": round(hours, 1), "cores": os.cpu_count()}
    lines += [
        "",
        f"{len(found)} runs, {hours:.1f} hours of fits, on a machine of {os.cpu_count()} cores.",
        "",
    ]
    text = "\n".join(lines)
    print(text)
    (RESULTS / "recipes.md").write_text(text, encoding="utf-8")
    (RESULTS / "recipes.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return 0


def last_or_lowest_loss(found: list[Trial]) -> list[str]:
    """Validation accuracy of the default's last eight epochs, and of the epoch with the lowest loss."""
    pairs = []
    for trial in (trial for trial in found if trial.recipe == DEFAULT):
        history = pd.read_csv(trial.folder / "history.csv")
        lowest = history.loc[history["val/loss"].idxmin(), "val/accuracy"]
        pairs.append((history["val/accuracy"].tail(8).mean(), lowest))
    if not pairs:
        return []
    last, lowest = np.mean(pairs, axis=0)
    return [
        f"Validation accuracy of `{DEFAULT}`, mean of {len(pairs)} runs: {last:.3f} in the last eight "
        f"epochs, {lowest:.3f} in the epoch with the lowest validation loss."
    ]


def in_points(mean: float, low: float, high: float) -> str:
    """A difference of accuracies with its interval, in points; bold where the interval leaves out 0."""
    text = f"{100 * mean:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"
    return f"**{text}**" if low > 0 or high < 0 else text


def ranks(accuracy: dict[str, list[Any]], recipes: list[str]) -> list[str]:
    """Mean ranks over sets and backbones in which every recipe ran, Friedman's test, Nemenyi's distance."""
    blocks = sorted({key.rpartition("/")[0] for key in accuracy})
    whole = [block for block in blocks if all(f"{block}/{recipe}" in accuracy for recipe in recipes)]
    if len(whole) < 3 or len(recipes) < 3:
        return ["Ranks need three sets in which every recipe ran."]
    values = np.array([[accuracy[f"{block}/{recipe}"][0] for recipe in recipes] for block in whole])
    mean_ranks = stats.rankdata(-values, axis=1).mean(0)
    p_value = stats.friedmanchisquare(*values.T).pvalue
    size = len(recipes)
    distance = (
        stats.studentized_range.ppf(0.95, size, np.inf)
        / np.sqrt(2)
        * np.sqrt(size * (size + 1) / 6 / len(whole))
    )
    ordered = sorted(zip(mean_ranks, recipes, strict=True))
    return [
        f"Mean ranks over {len(whole)} pairs of set and network (Friedman p = {p_value:.2g}; Nemenyi: those "
        f"that differ by more than {distance:.1f} differ significantly): "
        + ", ".join(f"`{name}` {rank:.1f}" for rank, name in ordered)
    ]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(required=True)
    runs = verbs.add_parser("run")
    runs.add_argument("data", type=Path)
    runs.add_argument("--backbones", nargs="+", default=["lite0", "mobilenet", "lite2"])
    runs.add_argument("--sets", nargs="+", default=list(SETS))
    runs.add_argument("--recipes", nargs="+", default=None, help="default: all, the contenders first")
    runs.add_argument("--seeds", nargs="+", type=int, default=list(range(5)))
    runs.add_argument("--jobs", default="auto", help="at once")
    runs.set_defaults(do=run)
    tables = verbs.add_parser("table")
    tables.set_defaults(do=table)
    for each in (runs, tables):
        each.add_argument("--into", type=Path, default=Path("recipes"))
    asked = parser.parse_args()
    if asked.do is run:
        asked.recipes = [CONTENDERS, FURTHER] if asked.recipes is None else [tuple(asked.recipes)]
    return int(asked.do(asked))


if __name__ == "__main__":
    sys.exit(main())
