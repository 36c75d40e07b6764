"""Freezing under DDP: once all is wrapped, or wrapping again what is open whenever a stage opens.

    python benchmarks/ddp_unfreezing.py [--rounds 3]

Two processes on the CPU (gloo) train timm's ResNet-18 with random weights on random images. Writes
benchmarks/results/ddp_unfreezing.json and .md.
"""

from __future__ import annotations

import os
import socket
import statistics
from collections.abc import Callable

import pytorch_lightning as pl  # noqa: F401 (its version is part of the record)
import torch
from comparison import Row, Spent, one_thread, rounds_asked, timed, write
from torch import distributed, multiprocessing
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from transferlab.backbone.freezing import freeze_all_but_last
from transferlab.backbone.timm_network import timm_backbone
from transferlab.model.classifier import Classifier

NUM_CLASSES, BATCH_SIZE, IMAGE_SIZE = 10, 8, 32
STEPS = 3  # of a round
DEPTHS = (0, 1, 5)  # stages that are open beside the head: none, the last one, all


def made() -> Classifier:
    """The network, the same in each process."""
    torch.manual_seed(0)
    backbone = timm_backbone(name="resnet18", weights="random", load_weights=False)
    return Classifier(backbone, torch.nn.Linear(backbone.num_features, NUM_CLASSES)).train()


def wrapped(network: Classifier) -> DistributedDataParallel:
    return DistributedDataParallel(network, find_unused_parameters=True)


def step(model: DistributedDataParallel, rank: int) -> None:
    """A batch forward and backward: what differs between the two ways."""
    generator = torch.Generator().manual_seed(rank)
    images = torch.randn(BATCH_SIZE, 3, IMAGE_SIZE, IMAGE_SIZE, generator=generator)
    labels = torch.randint(NUM_CLASSES, (BATCH_SIZE,), generator=generator)
    model.zero_grad()
    F.cross_entropy(model(images), labels).backward()


def measure(rank: int, port: int, rounds: int, tell: Callable[[object], None]) -> None:
    """In each of the two processes: both ways in turns, at each depth."""
    one_thread()
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    distributed.init_process_group("gloo", rank=rank, world_size=2)
    found: dict[int, dict[str, list[Spent]]] = {}
    differences, wrapping = {}, []
    for depth in DEPTHS:
        once, again = made(), made()
        ways = {"once": wrapped(once)}
        freeze_all_but_last(once.backbone, depth)
        freeze_all_but_last(again.backbone, depth)
        ways["again"], took = timed(lambda network=again: wrapped(network))
        wrapping.append(took)
        found[depth] = {name: [] for name in ways}
        for number in range(1 + rounds):
            for name, model in ways.items():
                _, spent = timed(lambda model=model: [step(model, rank) for _ in range(STEPS)])
                if number:
                    found[depth][name].append(spent.times(1 / STEPS))
        pairs = zip(once.parameters(), again.parameters(), strict=True)
        differences[depth] = max(
            (one.grad - other.grad).abs().max().item() for one, other in pairs if other.grad is not None
        )
    distributed.destroy_process_group()
    if rank == 0:
        tell((found, differences, wrapping))


def main() -> None:
    rounds = rounds_asked(__doc__)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    results = context.SimpleQueue()
    processes = [context.Process(target=measure, args=(rank, port, rounds, results.put)) for rank in range(2)]
    for process in processes:
        process.start()
    found, differences, wrapping = results.get()
    for process in processes:
        process.join()
    once_s = statistics.median(spent.wall_s for spent in wrapping)
    rows = [
        Row(
            what=f"step with the head and {depth} stages open, wrapped again with these alone",
            against="all wrapped once, frozen afterwards",
            spent=found[depth]["again"],
            baseline=found[depth]["once"],
            equal=f"gradients to {differences[depth]:.0e}",
            remark=f"wrapping once more takes {1000 * once_s:.0f} ms" if depth == DEPTHS[0] else "",
        )
        for depth in DEPTHS
    ]
    write("ddp_unfreezing", "Two processes on the CPU (gloo), ResNet-18, 8 images of 32 px each", rows)


if __name__ == "__main__":
    main()
