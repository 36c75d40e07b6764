from __future__ import annotations

import numpy as np

from transferlab.data.catalog import letters
from transferlab.data.catalog.letters import Letters, render_letters


def test_letters():
    catalog = Letters(num_per_class=2).load()
    assert len(catalog.classes) == 40
    assert catalog.class_counts.tolist() == [2] * 40
    image = catalog.reader("Aa/00001") if "Aa" in catalog.classes else catalog.reader("A/00001")
    assert image.shape == (32, 32, 3)
    assert image.dtype == np.uint8
    assert image.std() > 5


def test_rendering_is_a_function_of_its_seed():
    np.testing.assert_array_equal(render_letters(1, 0), render_letters(1, 0))
    assert not np.array_equal(render_letters(1, 0), render_letters(1, 1))


def test_without_colour_all_channels_are_nearly_equal():
    images = render_letters(1, 0, coloured=0.0).astype(int)
    assert (images.max(-1) - images.min(-1)).mean() < 15  # the noise alone


def test_a_font_that_this_matplotlib_lacks_has_a_stand_in(monkeypatch):
    monkeypatch.setitem(letters.STAND_INS, "gone", "cmr10")
    stand_in = letters._glyph("gone", "a", 0)
    np.testing.assert_array_equal(np.asarray(stand_in), np.asarray(letters._glyph("cmr10", "a", 0)))
    assert set(letters.STAND_INS) - {"gone"} <= set(letters.FONTS)
