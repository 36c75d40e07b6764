"""Photos that patches are cut from: found, chosen and scaled the same way in every run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from transferlab.data.catalog.walking import is_image, walk_files
from transferlab.data.data_error import DataError
from transferlab.data.image.decoding import BadImage, decode_file
from transferlab.run.randomness import derived_seed

MAX_PIXELS = 100_000_000


def find_photos(folder: str | None, *, most: int | None, seed: int) -> list[Path]:
    """The image files at any depth of a folder, in the order of their paths.

    Args:
        folder: hidden files, and files that are no images by their names, are passed over.
        most: how many; if there are more, a choice that depends on (seed, path within the folder) alone.
        seed: another seed, another choice.

    Raises:
        DataError: there is no such folder, or no image in it.
    """
    if not folder:
        raise DataError(
            "data.target.photos has no value. Set it to a folder of photos: data.target.photos=DIR."
        )
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise DataError(f"data.target.photos={folder} is no folder (looked for {root.absolute()}).")
    root = root.resolve()
    files = {
        file.relative_to(root).as_posix(): file for file in walk_files(root, root) if is_image(file.name)
    }
    if not files:
        raise DataError(f"data.target.photos={folder} holds no images, at any depth.")
    chosen = sorted(files, key=lambda name: derived_seed("photo", seed, name))[:most]
    return [files[name] for name in sorted(chosen)]


def read_photo(file: Path, *, short_side_px: int | None, patch_px: int) -> np.ndarray:
    """A photo as uint8 RGB, shape (H, W, 3), its short side reduced to `short_side_px` if it is longer.

    Reduced by Pillow's antialiased bilinear filter, whose whole-number arithmetic is the same on every
    processor. Photos are never enlarged.

    Raises:
        DataError: it cannot be read, or a patch of `patch_px` does not fit into it.
    """
    try:
        pixels = decode_file(file, max_pixels=MAX_PIXELS)
    except BadImage as error:
        raise DataError(f"{file}: {error}. Mend it, or move it out of the folder of photos.") from None
    height, width = pixels.shape[:2]
    if short_side_px is not None and min(height, width) > short_side_px:
        scale = short_side_px / min(height, width)
        size = (max(round(width * scale), short_side_px), max(round(height * scale), short_side_px))
        pixels = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))
        height, width = pixels.shape[:2]
    if min(height, width) < patch_px:
        raise DataError(
            f"{file} has {width}x{height} pixels, but patches have {patch_px}x{patch_px}. "
            "Move it out of the folder of photos."
        )
    return pixels
