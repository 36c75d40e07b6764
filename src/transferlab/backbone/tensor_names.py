"""Names of the tensors in a model.safetensors: the part of the classifier, a dot, the module's own name.

Here, since `backbone` is the lowest package that reads them: `backbone.weights=FOLDER` takes the backbone's.
Others' files may have another prefix.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Literal

from torch import Tensor

Part = Literal["backbone", "bottleneck", "head"]


def named(part: Part, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A part's tensors by their names in the file."""
    return {f"{part}.{name}": tensor for name, tensor in tensors.items()}


def of_part(part: Part, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Those of a file's tensors that belong to a part, by the names that its module has for them."""
    prefix = f"{part}."
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}


def without_prefix(tensors: Mapping[str, Tensor], needed: Set[str]) -> tuple[str, dict[str, Tensor]]:
    """The prefix below which a file has all needed tensors, and those below it; empty, and all, if none.

    `module.` of DistributedDataParallel, `model.` and `backbone.` of training frameworks, `_orig_mod.` of
    torch.compile; where several would do, such as a teacher's and a student's, none is taken.

    >>> without_prefix({"module.fc.weight": 1, "step": 2}, {"fc.weight"})
    ('module.', {'fc.weight': 1})
    """
    first = next(iter(sorted(needed)), "")
    ends = [name.removesuffix(first) for name in tensors if name.endswith(f".{first}")]
    if first and first not in tensors:
        whole = [prefix for prefix in ends if all(f"{prefix}{name}" in tensors for name in needed)]
        if len(whole) == 1:
            prefix = whole[0]
            below = {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
            return prefix, below
    return "", dict(tensors)
