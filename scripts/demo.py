"""The main job on embedded data: pretrain, transfer with few labels, adapt to another domain, compare.

    make demo        (or: python scripts/demo.py [FOLDER])

Runs the commands that it prints, nothing else, and needs no network. Everything lands in one new folder.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

STRATEGIES = "feature_extraction,fine_tune,progressive_unfreezing"
QUIET = ["trainer.enable_progress_bar=false", "fit.keep_checkpoints=none"]


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else f"demo/{datetime.now():%Y-%m-%d_%H-%M-%S}")
    folder.mkdir(parents=True)
    started = time.monotonic()

    title("1. Pretrain a small network on rendered letters")
    transferlab(folder, "train", "experiment=pretrain_letters", "hydra.run.dir=letters")

    title("2. Transfer it to handwritten digits: how much does each way gain over none?")
    sweep = ["train", "-m", "experiment=few_digits", "seed=0,1,2", "data.shots_per_class=3,10", *QUIET]
    sweep += ["hydra.sweep.dir=few_digits"]
    transferlab(folder, *sweep, "strategy=from_scratch")
    transferlab(folder, *sweep, f"strategy={STRATEGIES}", "backbone.weights=letters")

    title("3. Adapt from plain digits to digits on photos, without a label of the target")
    pair = ["train", "-m", "experiment=digits_to_photos", "strategy=source_only,dann", "seed=0,1", *QUIET]
    transferlab(folder, *pair, "backbone.weights=letters", "hydra.sweep.dir=digits_to_photos")

    title(f"Done in {(time.monotonic() - started) / 60:.1f} minutes")
    for sweep in ("few_digits", "digits_to_photos"):
        print(folder / sweep / "comparison.csv")


def title(text: str) -> None:
    print(f"\n== {text} ==", flush=True)


def transferlab(folder: Path, *arguments: str) -> None:
    """Run the command that belongs to this Python; the demo ends where it fails."""
    print("$ transferlab " + shlex.join(arguments), flush=True)
    command = [str(Path(sys.executable).with_name("transferlab")), *arguments]
    if subprocess.run(command, cwd=folder, env=os.environ).returncode != 0:
        sys.exit(f"failed: transferlab {shlex.join(arguments)}")


if __name__ == "__main__":
    main()
