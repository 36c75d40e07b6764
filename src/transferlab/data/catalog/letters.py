"""Letters rendered with the fonts that matplotlib ships: something to pretrain on without a download."""

from __future__ import annotations

from transferlab.config.bounds import PositiveInt, Probability
from transferlab.data.catalog.catalog import Catalog, catalog_table
from transferlab.data.catalog.rendering import LETTERS, render_letters
from transferlab.data.image.reader import ArrayReader, content_hash


class Letters:
    """Rendered letters, 32x32 RGB: white on black, inverted, or on coloured textures.

    Args:
        num_per_class: images of each of the 40 classes (capital and small letters that look alike are one).
        render_seed: chooses fonts, distortions and grounds.
        coloured: share of the images on a coloured, textured ground, 0 to 1.
    """

    def __init__(
        self, *, num_per_class: PositiveInt = 400, render_seed: int = 0, coloured: Probability = 0.5
    ) -> None:
        self.num_per_class = num_per_class
        self.render_seed = render_seed
        self.coloured = coloured

    def load(self) -> Catalog:
        labels = [code for _ in range(self.num_per_class) for code in range(len(LETTERS))]
        samples = [f"{LETTERS[code]}/{row // len(LETTERS):05d}" for row, code in enumerate(labels)]
        made_of = f"letters 1 {self.num_per_class} {self.render_seed} {self.coloured} "
        contents = [content_hash((made_of + sample).encode()) for sample in samples]
        return Catalog(
            table=catalog_table(samples, labels, contents, domain="letters"),
            classes=tuple(LETTERS),
            reader=ArrayReader(
                samples, lambda: render_letters(self.num_per_class, self.render_seed, self.coloured)
            ),
        )
