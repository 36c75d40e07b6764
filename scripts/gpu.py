"""What only a GPU shows: the tests marked `gpu`, then the bench `gpu`; and what was skipped, and why.

    make gpu        (or: python scripts/gpu.py [--rounds 3] [--without-gpu])

For a bare machine with a CUDA build of torch and the other requirements; nothing is downloaded. Under
8 minutes. Without a CUDA device it says so and ends with exit code 2; `--without-gpu` runs the same tests and
the bench on the CPU instead, with tiny sizes, to see that they work: its figures mean nothing, and no file is
written.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
TESTS = "tests/training/test_devices.py"
NOTES = (
    "heads of a sweep on the GPU: features are computed there, heads are trained together on the CPU (a test "
    "runs that loop on the GPU by itself). With trainer=gpu, whose precision is bf16-mixed, Lightning trains "
    "each head on the GPU, one by one; trainer.precision=32-true trains them together.",
    "several GPUs: DDP runs on one device here, so nothing is said of communication between devices.",
)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--without-gpu", action="store_true")
    asked = parser.parse_args()
    import torch

    has_gpu, begun = torch.cuda.is_available(), time.monotonic()
    if has_gpu:
        print(
            f"{torch.cuda.get_device_name()}, torch {torch.__version__}, CUDA {torch.version.cuda}",
            flush=True,
        )
    elif not asked.without_gpu:
        build = torch.version.cuda or "none: this torch is built without CUDA"
        print(
            f"skipped: no CUDA device (torch {torch.__version__}, CUDA {build}). Nothing was tried.\n"
            "Fix: run this where there is one; python scripts/gpu.py --without-gpu tries the same on the CPU."
        )
        return 2
    path = os.pathsep.join([str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1", "WANDB_MODE": "offline"}

    def run(*command: str) -> int:
        print(f"$ {' '.join(command)}", flush=True)
        return subprocess.run([sys.executable, *command], cwd=ROOT, env=environment, check=False).returncode

    marked = "gpu" if has_gpu else "not gpu"
    tested = run("-m", "pytest", "-q", "-m", marked, TESTS)
    tiny = [] if has_gpu else ["--tiny"]
    measured = run("benchmarks/gpu.py", "--rounds", str(asked.rounds), *tiny)
    print("\nnot tried:", *NOTES, *([] if has_gpu else ["the GPU: all of this ran on the CPU."]), sep="\n- ")
    ends = {0: "passed"}
    print(f"\ntests {ends.get(tested, 'FAILED')}, bench {ends.get(measured, 'FAILED')}", end="")
    print(f", {(time.monotonic() - begun) / 60:.1f} minutes")
    return int(bool(tested or measured))


if __name__ == "__main__":
    sys.exit(main())
