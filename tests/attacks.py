"""Hostile configs and folders, generated: payloads in places, brought by carriers, opened by verbs.

An attack that acts leaves `CANARY` in the working folder, or lets `SECRET` be seen.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CANARY = "canary"
VARIABLE, SECRET = "ATTACKED_API_KEY", "a-secret-that-nobody-may-see"
_TOUCH = f"touch {CANARY}"
_CREATE = f"oc.create:{{_target_:os.system,command:'{_TOUCH}'}}"

# What a stranger writes in the place of a value
PAYLOADS: dict[str, Any] = {
    "class": {"_target_": "os.system", "command": _TOUCH},
    "class in a list": [{"_target_": "os.system", "command": _TOUCH}],
    "class deep within": {"a": [{"b": {"_target_": "os.system", "command": _TOUCH}}]},
    "class with positions": {"_target_": "os.system", "_args_": [_TOUCH]},
    "partial class": {"_target_": "os.system", "_partial_": True, "command": _TOUCH},
    "class by alias": {"_target_": "transferlab.run.cache.os.system", "command": _TOUCH},
    "class by a value": {"_target_": "${oc.env:HOME}", "command": _TOUCH},
    "created": f"${{{_CREATE}}}",
    "created when it is escaped": f"\\${{{_CREATE}}}",
    "created when it is escaped twice": f"\\\\\\${{{_CREATE}}}",
    "created within a text": f"x\\${{{_CREATE}}}y",
    "decoded": f"${{oc.decode:'\\${{{_CREATE}}}'}}",
    "variable": f"${{oc.env:{VARIABLE}}}",
    "variable when it is escaped": f"\\${{oc.env:{VARIABLE}}}",
    "variable with a default": f"${{oc.env:{VARIABLE},x}}",
}
# Where he writes it: free keys, typed keys, keys that hold classes, keys that are none
PLACES = (
    "backbone.kwargs",
    "trainer.further.benchmark",
    "trainer.further",
    "trainer.strategy",
    "trainer.max_time",
    "strategy.head",
    "strategy.objective.class_weights",
    "strategy.penalty.mine",
    "logger.mine",
    "data.source",
    "data.augmentation",
    "fit.ema_decay",
    "features.views",
    "name",
    "allow",
    "unknown",
)
# Hydra's own part: key, and what an experiment would set there
HYDRA: dict[str, Any] = {
    "launcher.mine": {"_target_": "os.system", "command": _TOUCH},
    "launcher.jobs_at_once": {"_target_": "os.system", "command": _TOUCH},
    "sweeper.params": {"seed": "0,1"},
    "sweeper.max_batch_size": {"_target_": "os.system", "command": _TOUCH},
    "callbacks.mine": {"_target_": "os.system", "command": _TOUCH},
    "callbacks.shipped": {"_target_": "transferlab.training.lightning.trainer_flags.lightning_trainer"},
    "callbacks.nested": {"a": [{"_target_": "os.system", "command": _TOUCH}]},
    "job_logging.handlers": {"mine": {"class": "logging.FileHandler", "filename": CANARY}},
    "hydra_logging.handlers": {"mine": {"()": "os.system", "command": _TOUCH}},
    "hydra_logging.formatters": {"mine": {"()": "os.system", "command": _TOUCH}},
    "job.env_set": {"LD_PRELOAD": CANARY},
    "job.env_copy": [VARIABLE],
    "job.name": f"../{CANARY}",
    "output_subdir": f"../{CANARY}",
    "run.dir": f"../{CANARY}",
    "sweep.dir": f"/tmp/{CANARY}",
    "sweep.subdir": f"../{CANARY}",
    "overrides.task": ["allow=[os]"],
    "help.header": {"_target_": "os.system", "command": _TOUCH},
    "env.mine": {"_target_": "os.system", "command": _TOUCH},
    "verbose": {"_target_": "os.system", "command": _TOUCH},
    "runtime.mine": {"_target_": "os.system", "command": _TOUCH},
}


def with_payload(config: Any, place: str, payload: Any) -> Any:
    """A copy of a plain config that holds the payload there."""
    copy = json.loads(json.dumps(config))
    *parents, last = place.split(".")
    node = copy
    for parent in parents:
        node = node.setdefault(parent, {})
    node[last] = payload
    return copy


def nested(place: str, payload: Any) -> dict[str, Any]:
    """The same alone, as an experiment has it."""
    return with_payload({}, place, payload)


def laughs(levels: int = 30) -> str:
    """YAML of a kilobyte that stands for more values than there is memory."""
    lines = ["a0: &a0 [x, x]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, levels))]
    return "\n".join(lines) + "\n"


def traces(folder: Path) -> Iterator[str]:
    """What attacks have left below a folder: the canary, the secret in a file."""
    for path in folder.rglob("*"):
        if path.name == CANARY:
            yield f"{path} was made"
        elif path.is_file() and SECRET.encode() in path.read_bytes():
            yield f"{path} holds the secret"
