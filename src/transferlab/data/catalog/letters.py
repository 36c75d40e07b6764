"""Letters rendered with the fonts that matplotlib ships: something to pretrain on without a download.

The images are a pure function of the seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from transferlab.config.bounds import PositiveInt, Probability
from transferlab.data.catalog.catalog import Catalog, catalog_table
from transferlab.data.image.reader import ArrayReader, content_hash

FONTS = [
    *(f"DejaVu{face}{style}" for face in ("Sans", "SansMono") for style in ("", "-Bold", "-Oblique")),
    *("DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic"),
    *("STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "STIXGeneralBolIta"),
    *("cmr10", "cmss10", "cmtt10", "cmti10", "cmmi10", "cmb10"),
]
STAND_INS = {"cmti10": "STIXGeneralItalic"}  # where matplotlib is older than 3.11, as with Python 3.10
# cases that look alike are one class, and so are I and l
LETTERS = [a + a.lower() for a in "CKMOPSUVWXZ"] + ["Il"] + list("ABDEFGHJLNQRTY") + list("abdefghijnqrty")
SIZE = 32
CANVAS = 64


@dataclass(frozen=True, kw_only=True)
class Letters:
    """Rendered letters, 32x32 RGB: white on black, inverted, or on coloured textures.

    Capital and small letters that look alike are one class, so there are 40. `conf/data/catalog/letters.yaml`
    describes the arguments.
    """

    num_per_class: PositiveInt = 400
    render_seed: int = 0
    coloured: Probability = 0.5

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


def render_letters(num_per_class: int, seed: int, coloured: float = 0.5) -> np.ndarray:
    """Images (uint8, shape (num_per_class * 40, 32, 32, 3)); row i shows class i % 40.

    The share `coloured` is on coloured, textured grounds; the others are white on black or inverted.
    """
    rng = np.random.default_rng(seed)
    num = num_per_class * len(LETTERS)
    masks_NHW1 = np.stack([_random_mask(LETTERS[row % len(LETTERS)], rng) for row in range(num)])[..., None]
    masks_NHW1 = np.clip(masks_NHW1 * rng.uniform(1.0, 1.5, (num, 1, 1, 1)), 0, 1)
    images = np.repeat(masks_NHW1 * rng.uniform(0.7, 1, (num, 1, 1, 1)), 3, axis=3)
    inverted = rng.random(num) < 0.33
    images[inverted] = 1 - images[inverted]
    on_ground = np.flatnonzero(rng.random(num) < coloured)
    images[on_ground] = _on_textures(masks_NHW1[on_ground], rng)
    images += rng.normal(0, 0.02, images.shape)
    return np.rint(np.clip(images, 0, 1) * 255).astype(np.uint8)


def _random_mask(letters: str, rng: np.random.Generator) -> np.ndarray:
    """One of `letters` in a random font, distorted and blurred; 0..1, shape (32, 32)."""
    letter = letters[int(rng.integers(len(letters)))]
    glyph = _glyph(FONTS[int(rng.integers(len(FONTS)))], letter, int(rng.integers(0, 4)))
    angle, shear = rng.uniform(-0.3, 0.3), rng.uniform(-0.3, 0.3)
    scale = np.array([rng.uniform(0.72, 1.35), rng.uniform(0.72, 1.05)])  # > 1: the glyph gets smaller
    corners = np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]]) * (CANVAS / 2 * scale)
    corners[:, 0] += shear * corners[:, 1]
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    corners = corners @ turn.T + CANVAS / 2 + rng.uniform(-4, 4, 2) + rng.uniform(-5, 5, (4, 2))
    seen_at = int(rng.choice((8, 8, 8, 10, 12, 16)))  # pixels: the digits were scanned at 8x8
    image = glyph.transform(
        (SIZE, SIZE), Image.Transform.QUAD, tuple(corners.ravel()), Image.Resampling.BILINEAR
    )
    image = image.resize((seen_at, seen_at), Image.Resampling.BOX)
    return np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BILINEAR)) / 255


@cache
def _glyph(font: str, letter: str, stroke_px: int) -> Image.Image:
    """White on black, centred, its longer side 44 of 64 pixels."""
    import matplotlib

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    path = folder / f"{font}.ttf"
    face = ImageFont.truetype(str(path if path.is_file() else folder / f"{STAND_INS[font]}.ttf"), 56)
    left, top, right, bottom = (round(edge) for edge in face.getbbox(letter, stroke_width=stroke_px))
    tight = Image.new("L", (right - left, bottom - top), 0)
    ImageDraw.Draw(tight).text((-left, -top), letter, fill=255, font=face, stroke_width=stroke_px)
    scale = 44 / max(tight.size)
    tight = tight.resize((max(1, round(tight.width * scale)), max(1, round(tight.height * scale))))
    glyph = Image.new("L", (CANVAS, CANVAS), 0)
    glyph.paste(tight, ((CANVAS - tight.width) // 2, (CANVAS - tight.height) // 2))
    return glyph


def _on_textures(masks_NHW1: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Glyphs painted over textures in a far colour, or as the absolute difference with them."""
    ground = _textures(rng, len(masks_NHW1))
    mean = ground.mean((1, 2), keepdims=True)
    away = rng.uniform(0.35, 0.9, mean.shape)
    ink = np.clip(np.where(mean > 0.5, mean - away, mean + away), 0, 1)
    painted = ground * (1 - masks_NHW1) + ink * masks_NHW1
    difference = np.abs(ground - masks_NHW1)
    return np.where(rng.random((len(ground), 1, 1, 1)) < 0.5, painted, difference)


def _textures(rng: np.random.Generator, num: int) -> np.ndarray:
    """A random colour, a linear ramp and random blobs; 0..1, shape (num, 32, 32, 3)."""
    ground = np.broadcast_to(rng.uniform(0, 1, (num, 1, 1, 3)), (num, SIZE, SIZE, 3)).copy()
    ramp = np.linspace(-0.5, 0.5, SIZE)
    ground += rng.uniform(-0.6, 0.6, (num, 1, 1, 3)) * ramp[None, :, None, None]
    ground += rng.uniform(-0.6, 0.6, (num, 1, 1, 3)) * ramp[None, None, :, None]
    for cells in (4, 8, 16):
        amplitude = rng.uniform(0, 0.25, (num, 1, 1, 1)) * (rng.random((num, 1, 1, 1)) < 0.7)
        blobs = rng.uniform(-1, 1, (num, cells, cells, 3)) * amplitude
        ground += blobs.repeat(SIZE // cells, 1).repeat(SIZE // cells, 2)
    return np.clip(ground, 0, 1)
