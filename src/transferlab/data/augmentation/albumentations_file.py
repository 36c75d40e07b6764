"""A user's own Albumentations pipeline, from the file that `albumentations.save` writes."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from transferlab.data.data_error import DataError
from transferlab.data.image.preprocessing import ImageTransform, Preprocessing
from transferlab.data.image.reader import content_hash


@dataclass(frozen=True)
class AlbumentationsFile:
    """Runs the pipeline on the file's uint8 RGB pixels, then resizes and crops as evaluation does.

    Needs albumentations (`pip install albumentations`), which has been unmaintained since 2025-06. The
    pipeline must return uint8 images: leave normalisation and ToTensor out, they happen per batch.
    """

    identity_by_default: ClassVar[bool] = False
    is_random: ClassVar[bool] = True

    file: str

    @property
    def identity(self) -> dict[str, Any]:
        """A description, as JSON, that no other augmentation has."""
        path = Path(self.file).expanduser()
        return {"albumentations": content_hash(path.read_bytes()) if path.is_file() else self.file}

    def build(self, preprocessing: Preprocessing) -> ImageTransform:
        """The transform for images of training; draws from torch's global generator, by way of a seed."""
        return AlbumentationsTransform(load_pipeline(self.file), self.file, preprocessing)


class AlbumentationsTransform:
    """`pipeline` is called as Albumentations are: `pipeline(image=...)["image"]`."""

    def __init__(self, pipeline: Any, file: str, preprocessing: Preprocessing) -> None:
        self.pipeline = pipeline
        self.file = file
        self.prepared = preprocessing.evaluated

    def __call__(self, image_3HW: Tensor) -> Tensor:
        seed = int(torch.randint(2**32, ()))
        python, numpy = random.getstate(), np.random.get_state()  # old releases draw from these
        try:
            random.seed(seed)
            np.random.seed(seed)
            if callable(getattr(self.pipeline, "set_random_seed", None)):
                self.pipeline.set_random_seed(seed)
            pixels = np.ascontiguousarray(image_3HW.permute(1, 2, 0).numpy())
            changed = self.pipeline(image=pixels)["image"]
        finally:
            random.setstate(python)
            np.random.set_state(numpy)
        if not isinstance(changed, np.ndarray) or changed.dtype != np.uint8 or changed.shape[2:] != (3,):
            got = f"{type(changed).__name__} of {getattr(changed, 'dtype', '?')}"
            raise DataError(
                f"data.augmentation.file={self.file} gives {got} instead of uint8 RGB pixels. Leave "
                "normalisation and ToTensor out of it."
            )
        return self.prepared(torch.from_numpy(np.ascontiguousarray(changed)).permute(2, 0, 1))


def load_pipeline(file: str) -> Any:
    """The pipeline in a file; raises `DataError`."""
    path = Path(file).expanduser()
    if not path.is_file():
        raise DataError(f"data.augmentation.file={file} is not a file (looked for {path.absolute()}).")
    try:
        import albumentations
    except ImportError:
        raise DataError(
            "data/augmentation=albumentations needs albumentations: pip install albumentations. Or choose "
            "another augmentation."
        ) from None
    kind = "json" if path.suffix.lower() == ".json" else "yaml"
    try:
        return albumentations.load(path, data_format=kind)
    except Exception as error:  # a file of the user's, read by a library: anything can come
        raise DataError(f"data.augmentation.file={file} cannot be loaded: {error}.") from None
