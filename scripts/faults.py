"""Faults that a run must survive, made to happen: fault | tried | survived | lost.

    make faults        (or: python scripts/faults.py [--quick] [--seed 0] [--only WORD])

Survived means: whoever goes on afterwards gets what a run left alone leaves, bit for bit: the weights, the
predictions, the history but for its seconds. Trainings are tiny (digits, two convolutions) and really
killed, by SIGKILL; the moments come from a seeded generator, as a share of what the run takes left alone.
Runs one after the other; the whole takes about 25 minutes on two cores. Writes benchmarks/results/faults.md.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from killing import ended, in_child, kill_half_written, killed_after, killed_when, reached, was_killed
from lab import STRATEGIES, TINY, Lab, LabRun, strategy
from small_disk import mount_small_disk

from transferlab.run.run_folder import Run

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results" / "faults.md"
MISSED = "missed"  # the fault came too late to hit; tried again with another moment
NOT_POSSIBLE = "not possible here: "
_MISSES_PER_HIT = 8
_DISK_BYTES = 64 * 2**20

Trial = Callable[[], str]  # empty: survived; MISSED; else what was lost


@dataclass
class Row:
    """One kind of fault: how often it was tried and survived; `lost` says what was not."""

    fault: str
    tried: int = 0
    survived: int = 0
    remarks: list[str] = field(default_factory=list)

    def as_markdown(self) -> str:
        lost = self.tried - self.survived
        return f"| {self.fault} | {self.tried} | {self.survived} | {lost} |"


def tried(fault: str, number: int, trials: Sequence[Trial]) -> Row:
    """Try a fault so many times, by turns in these ways."""
    row, misses = Row(fault), 0
    while row.tried < number:
        outcome = trials[row.tried % len(trials)]()
        if outcome.startswith(NOT_POSSIBLE):
            row.remarks.append(outcome)
            break
        if outcome == MISSED:
            misses += 1
            if misses > _MISSES_PER_HIT * number:
                row.remarks.append(f"hit only {row.tried} times in {row.tried + misses} attempts")
                break
            continue
        row.tried += 1
        row.survived += not outcome
        if outcome:
            row.remarks.append(outcome)
    return row


def killed_at_a_random_moment(lab: Lab, settings: Sequence[str], *, times: int = 1) -> str:
    """Kill the training, and then also its resumes, if `times` says so; go on; compare."""
    expected = lab.reference(settings)
    run = lab.new_run(settings)
    for _ in range(times):
        # of its first steps as of its last: what comes before (imports, the config) leaves nothing behind
        if not killed_after(run.begin(), lab.random.uniform(0.02, 0.98) * expected.seconds):
            return MISSED
    return run.completed_like(expected)


def killed_while_it_saves(lab: Lab, settings: Sequence[str]) -> str:
    """Kill the training while the file of a checkpoint grows."""
    expected = lab.reference(settings)
    run = lab.new_run(settings)
    new = run.folder / "checkpoints" / "new.ckpt"
    after_s = lab.random.uniform(0.1, 0.9) * expected.seconds
    begun = time.monotonic()
    if not killed_when(run.begin(), lambda: time.monotonic() - begun > after_s and new.exists()):
        return MISSED
    if not new.exists():
        return MISSED  # it was complete, and in its place, before the signal arrived
    return run.completed_like(expected)


def killed_while_it_records(lab: Lab, settings: Sequence[str]) -> str:
    """Kill the training when half of a file is written: config, result, history, predictions, model, ..."""
    expected = lab.reference(settings)
    run = lab.new_run(settings)
    which = lab.random.randrange(1, 25)
    if not was_killed(ended(run.begin(partial(kill_half_written, "*", which)))):
        return MISSED
    return run.completed_like(expected)


def started_twice(lab: Lab, settings: Sequence[str], *, killed_before: bool) -> str:
    """Two processes start, or go on with, one folder at the same moment: one of them runs."""
    expected = lab.reference(settings)
    run = lab.new_run(settings)
    if killed_before:
        last = Run(run.folder).last_checkpoint
        if not killed_when(run.begin(), last.is_file, look_every_s=0.001):
            return MISSED
    at = time.monotonic() + 0.5
    children = [run.begin(lambda: time.sleep(max(0.0, at - time.monotonic()))) for _ in range(2)]
    codes = sorted(os.waitstatus_to_exitcode(ended(child)) for child in children)
    if codes[0] != 0 or codes[1] <= 0:
        return f"{codes.count(0)} of two processes ran: exit codes {codes}"
    return run.differs_from(expected)


def killed_in_the_feature_store(lab: Lab, settings: Sequence[str]) -> str:
    """Kill a run when half of a shard is written and another run waits for it."""
    pause_s = lab.random.uniform(0.5, 1.5)
    victim = lab.new_run(settings)
    child = victim.begin(partial(kill_half_written, "[0-9]*-*.safetensors", pause_s=pause_s))
    if not reached(child, lambda: any(victim.cache.glob("features/*/.*.safetensors.*.making"))):
        return MISSED
    survivor = lab.new_run([*settings, "seed=1"], cache=victim.cache)
    other = survivor.begin()
    assert was_killed(ended(child))
    return both_completed(lab, victim, survivor, other)


def killed_in_the_decoded_cache(lab: Lab, settings: Sequence[str]) -> str:
    """Kill a run within the file of decoded images while another run waits for it."""
    victim = lab.new_run(settings)
    child = victim.begin()
    if not reached(child, lambda: any(victim.cache.glob("decoded/.*.making/pixels_*.bin"))):
        return MISSED
    os.kill(child, signal.SIGSTOP)
    if not any(victim.cache.glob("decoded/.*.making/pixels_*.bin")):
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return MISSED  # it was complete, and in its place, before the signal arrived
    survivor = lab.new_run([*settings, "seed=1"], cache=victim.cache)
    other = survivor.begin()
    time.sleep(lab.random.uniform(0.5, 1.5))
    os.kill(child, signal.SIGKILL)
    assert was_killed(ended(child))
    return both_completed(lab, victim, survivor, other)


def both_completed(lab: Lab, victim: LabRun, survivor: LabRun, other: int) -> str:
    """The one that waited takes over, the one that was killed goes on; what differs or is left."""
    if (status := ended(other)) != 0:
        return f"the run that waited ended with {os.waitstatus_to_exitcode(status)}"
    lost = victim.completed_like(lab.reference(victim.settings))
    return lost or survivor.differs_from(lab.reference(survivor.settings))


def disk_filled(lab: Lab, settings: Sequence[str]) -> str:
    """Let the disk be full at some point of a run, then free it, and go on."""
    expected = lab.reference(settings)
    used = sum(file.stat().st_size for file in expected.folder.rglob("*") if file.is_file())
    num_free = int(lab.random.uniform(0.02, 0.9) * used)
    disk = lab.new_folder()
    run = lab.new_run(settings, folder=disk / "run")
    verdict = disk.with_suffix(".verdict")
    disk.mkdir()

    def with_a_disk_of_its_own() -> None:
        try:
            mount_small_disk(disk, num_bytes=_DISK_BYTES)
        except OSError as error:
            verdict.write_text(f"{NOT_POSSIBLE}no disk of its own to fill ({error.strerror})")
            return
        filler = disk / "filler"
        filler.write_bytes(bytes(_DISK_BYTES - num_free))
        if ended(run.begin()) == 0:
            verdict.write_text(MISSED)
            return
        problems = ["a trace instead of a sentence"] if "Traceback" in run.log.read_text() else []
        if Run(run.folder).status == "running":
            problems.append("status running, though it has ended")
        filler.unlink()
        problems.append(run.completed_like(expected))
        verdict.write_text("; ".join(problem for problem in problems if problem))

    if in_child(with_a_disk_of_its_own, log=run.log) != 0:
        return f"the trial itself failed: {run.log.read_text()[-300:]}"
    return verdict.read_text()


def rows(lab: Lab, *, quick: bool) -> Iterator[tuple[str, Callable[[], Row]]]:
    """The table's rows in order, each made when it is called."""
    names = ["fine_tune", "mdd"] if quick else STRATEGIES

    def row(fault: str, number: int, trials: Sequence[Trial]) -> tuple[str, Callable[[], Row]]:
        return fault, lambda: tried(fault, 1 if quick else number, trials)

    def of(trial: Callable[..., str], *settings: str, **how: Any) -> Trial:
        return partial(trial, lab, (*TINY, *settings), **how)

    for name in names:
        yield row(f"killed at a random moment: {name}", 5, [of(killed_at_a_random_moment, *strategy(name))])
    kinds = [strategy(name) for name in ("fine_tune", "dann", "progressive_unfreezing_validated")]
    yield row(
        "killed, and its resume killed as well",
        9,
        [of(killed_at_a_random_moment, *kind, times=2) for kind in kinds],
    )
    yield row("killed while a checkpoint is written", 20, [of(killed_while_it_saves, *k) for k in kinds])
    yield row(
        "killed when half of another file of the run is written",
        20,
        [of(killed_while_it_records, *kind) for kind in kinds],
    )
    fine_tune, frozen = strategy("fine_tune"), strategy("feature_extraction")
    yield row("two processes start one run folder", 10, [of(started_twice, *fine_tune, killed_before=False)])
    yield row("two processes resume one run folder", 10, [of(started_twice, *fine_tune, killed_before=True)])
    yield row(
        "killed while it writes into the feature store, another run waits",
        10,
        [of(killed_in_the_feature_store, *frozen)],
    )
    images = ["data=folder", f"data.root={lab.images()}", "data.cache=decoded", "data.image_size=32"]
    yield row(
        "killed while it writes decoded images, another run waits",
        10,
        [of(killed_in_the_decoded_cache, "strategy=fine_tune", *images)],
    )
    yield row("disk full, freed later", 10, [of(disk_filled, *fine_tune), of(disk_filled, *frozen)])


def table(found: Sequence[Row], *, seconds: float) -> str:
    """The result as Markdown."""
    kills = sum(row.tried for row in found if row.fault.startswith("killed"))
    lines = [
        "Faults made to happen, and whether whoever goes on gets what a run left alone leaves, bit for bit.",
        "",
        "| fault | tried | survived | lost |",
        "|---|---:|---:|---:|",
        *[row.as_markdown() for row in found],
        "",
        *[f"- {row.fault}: {remark}" for row in found for remark in dict.fromkeys(row.remarks)],
        f"- {sum(row.tried for row in found)} trials, {kills} with a SIGKILL; {seconds / 60:.0f} minutes.",
        "",
    ]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="each once, two strategies; writes no file")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--only", default="", help="faults with this word alone; writes no file")
    asked = parser.parse_args()
    begun, found = time.monotonic(), []
    with tempfile.TemporaryDirectory() as folder:
        for fault, make in rows(Lab(Path(folder), seed=asked.seed), quick=asked.quick):
            if asked.only in fault:
                found.append(make())
                print(f"{found[-1].as_markdown()}  {time.monotonic() - begun:.0f} s", flush=True)
    text = table(found, seconds=time.monotonic() - begun)
    print(f"\n{text}")
    if not asked.quick and not asked.only:
        RESULTS.write_text(text, encoding="utf-8")
    return 1 if any(row.survived < row.tried for row in found) else 0


if __name__ == "__main__":
    sys.exit(main())
