"""The t-SNE picture: that it shows what there is, and how."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from transferlab.evaluation.gap.domain_gap import domain_gap
from transferlab.report.gap_plot import (
    CLASS_COLOURS,
    SOURCE_COLOUR,
    TARGET_COLOUR,
    WIDEST_TITLE,
    Panel,
    draw_gap,
    embedded,
    title_lines,
)

CLASSES = ("cat", "$dog_2", "bird")


def clusters(samples: int, *, seed: int, shift: float) -> tuple[np.ndarray, np.ndarray]:
    """Three classes far apart in ten dimensions, and their codes."""
    labels = np.arange(samples) % 3
    points = np.random.default_rng(seed).normal(size=(samples, 10)) + shift
    return (points + 15.0 * np.eye(10)[labels]).astype(np.float32), labels


def panel(title: str, *, shift: float, labels: bool = True, target_labels: bool = True) -> Panel:
    source, source_labels = clusters(60, seed=0, shift=0.0)
    target, of_target = clusters(45, seed=1, shift=shift)
    return Panel(
        title, source, target, source_labels if labels else None, of_target if target_labels else None
    )


def colours(file) -> set[tuple[int, int, int]]:
    """The saturated colours of a picture, in steps of 32."""
    pixels = np.asarray(Image.open(file).convert("RGB")).reshape(-1, 3).astype(int)
    return {tuple(colour) for colour in np.unique(pixels[np.ptp(pixels, axis=1) > 60] // 32, axis=0).tolist()}


def rgb(colour: str) -> tuple[int, int, int]:
    return tuple(int(colour[place : place + 2], 16) // 32 for place in (1, 3, 5))


def test_before_and_after_by_domain_and_by_class(tmp_path):
    file = tmp_path / "plots" / "gap.png"
    draw_gap(file, [panel("before", shift=8.0), panel("after", shift=0.0)], classes=CLASSES, seed=0)
    with Image.open(file) as picture:
        assert picture.format == "PNG"
        assert 0.8 < picture.width / picture.height < 1.2  # two by two
        assert picture.width > 1000
    seen = colours(file)
    assert {rgb(SOURCE_COLOUR), rgb(TARGET_COLOUR)} <= seen  # of the legend's symbols
    assert {rgb(colour) for colour in CLASS_COLOURS[:3]} <= seen  # of the target's triangles


@pytest.mark.parametrize(("labels", "ratio"), [(False, 0.9), (True, 1.8)])
def test_one_network(tmp_path, labels, ratio):
    """By domain alone, or beside it by class, the target's unknown."""
    file = tmp_path / "gap.png"
    draw_gap(file, [panel("one", shift=1.0, labels=labels, target_labels=False)], classes=CLASSES, seed=0)
    with Image.open(file) as picture:
        assert picture.width / picture.height == pytest.approx(ratio, abs=0.05)


def test_labels_in_one_panel_alone(tmp_path):
    draw_gap(
        tmp_path / "gap.png",
        [panel("before", shift=1.0), panel("after", shift=0.0, labels=False)],
        classes=CLASSES,
        seed=0,
    )
    assert (tmp_path / "gap.png").is_file()


def test_the_same_seed_draws_the_same_picture(tmp_path):
    for name, seed in (("one", 0), ("again", 0), ("other", 1)):
        draw_gap(tmp_path / name, [panel("one", shift=1.0)], classes=CLASSES, seed=seed, max_samples=30)
    picture = (tmp_path / "one").read_bytes()
    assert picture == (tmp_path / "again").read_bytes()
    assert picture != (tmp_path / "other").read_bytes()


def test_the_embedding_keeps_clusters_together():
    """The nearest neighbour of a sample is of its class."""
    (source, labels), (target, of_target) = clusters(60, seed=0, shift=0.0), clusters(45, seed=1, shift=0.5)
    places = np.concatenate(embedded(source, target, seed=0, perplexity=30.0))
    distances = np.square(places[:, None] - places[None]).sum(-1)
    np.fill_diagonal(distances, np.inf)
    everyone = np.concatenate([labels, of_target])
    assert (everyone[distances.argmin(1)] == everyone).all()
    assert places.shape == (105, 2)


def test_few_and_collapsed_samples():
    few = embedded(np.eye(4), 2 * np.eye(4), seed=0, perplexity=30.0)
    assert all(np.isfinite(one).all() and one.shape == (4, 2) for one in few)
    alike = embedded(np.ones((5, 3)), np.ones((6, 3)), seed=0, perplexity=30.0)
    assert not np.concatenate(alike).any()


def test_the_title_holds_the_figures():
    one = panel("before: source only", shift=3.0)
    gap = domain_gap(one.source_ND, one.target_MD, seed=0, num_permutations=99, num_subsets=2)
    with_figures = Panel(one.title, one.source_ND, one.target_MD, gap=gap)
    first, second, third = title_lines(with_figures)
    assert first == "before: source only"
    assert second == f"A-distance 2.00 of 2 · MMD² {gap.mmd:.3g} (p = 0.01)"
    assert f"Fréchet {gap.frechet:.3g}" in third
    assert title_lines(one) == ["before: source only"]


def test_a_long_title_is_broken():
    features = np.zeros((4, 2))
    path = "/data/" + "x" * 100
    lines = title_lines(Panel(f"before: {path}", features, features))
    assert max(map(len, lines)) <= WIDEST_TITLE
    assert "".join(lines).replace(" ", "") == f"before:{path}"


def test_what_is_refused(tmp_path):
    with pytest.raises(ValueError, match="at least one panel"):
        draw_gap(tmp_path / "gap.png", [], seed=0)
    with pytest.raises(ValueError, match="at least 2 features"):
        draw_gap(tmp_path / "gap.png", [Panel("one", np.ones((5, 1)), np.ones((5, 1)))], seed=0)
    with pytest.raises(ValueError, match="the target 3"):
        draw_gap(tmp_path / "gap.png", [Panel("one", np.ones((5, 2)), np.ones((5, 3)))], seed=0)
