"""Names of the tensors in a model.safetensors: the part of the classifier, a dot, the module's own name.

Here, since `backbone` is the lowest package that reads them: `backbone.weights=FOLDER` takes the backbone's.
"""

from __future__ import annotations

from collections.abc import Mapping
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
