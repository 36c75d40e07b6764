"""A picture of two domains' features: t-SNE, coloured by domain and by class.

van der Maaten & Hinton (2008), Visualizing Data using t-SNE.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from transferlab.evaluation.gap.domain_gap import DomainGap
from transferlab.evaluation.gap.feature_samples import check_two_domains, sampled_rows
from transferlab.run.randomness import derived_seed

# for people with any kind of colour vision: Okabe & Ito (2008) and Petroff (2021, arXiv:2107.02270)
SOURCE_COLOUR, TARGET_COLOUR, UNKNOWN_COLOUR = "#0072B2", "#D55E00", "#B8B8B8"
CLASS_COLOURS = (
    *("#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6"),
    *("#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd"),
)
SOURCE_MARKER, TARGET_MARKER = "o", "^"
PCA_COMPONENTS = 50  # as the paper does before t-SNE
PANEL_INCHES = 5.6
TITLE_INCHES = 0.6
WIDEST_TITLE = 60  # characters
DPI = 130


@dataclass(frozen=True)
class Panel:
    """One column of the picture: the two domains as one network sees them."""

    title: str  # which network, e.g. "before: source only"
    source_ND: np.ndarray  # features of the source, N ≥ 4, D ≥ 2
    target_MD: np.ndarray  # features of the target, M ≥ 4
    source_labels_N: np.ndarray | None = None  # class codes of the source; None draws no classes
    # class codes of the target, -1 where unknown; None where all are
    target_labels_M: np.ndarray | None = None
    gap: DomainGap | None = None  # figures for the title


def draw_gap(
    file: Path,
    panels: Sequence[Panel],
    *,
    classes: Sequence[str] = (),
    seed: int,
    max_samples: int = 1000,
    perplexity: float = 30.0,
) -> None:
    """Write a PNG: a column for each panel (before and after adaptation, say), the upper row coloured by
    domain, the lower one, where the source has labels, by class. With one panel they lie side by side.

    Each panel has an embedding of its own: within a panel neighbours mean something, positions and sizes
    between panels do not.

    Args:
        file: PNG to write, its folder included.
        panels: one or more.
        classes: names of all class codes, written where a class's source samples lie.
        seed: of the sample and the embedding; panels of the same numbers of samples show the same samples.
        max_samples: cap for each domain.
        perplexity: about how many neighbours count; lowered for few samples.
    """
    if not panels:
        raise ValueError("A picture of a gap needs at least one panel.")
    with_classes = any(panel.source_labels_N is not None for panel in panels)
    colourings = 2 if with_classes else 1
    rows, columns = (colourings, len(panels)) if len(panels) > 1 else (1, colourings)
    size = (PANEL_INCHES * columns, PANEL_INCHES * rows + TITLE_INCHES)
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).reshape(colourings, len(panels))
    for column, panel in enumerate(panels):
        check_two_domains(panel.source_ND, panel.target_MD)
        in_source = sampled_rows(len(panel.source_ND), max_samples, seed=seed, what="source")
        in_target = sampled_rows(len(panel.target_MD), max_samples, seed=seed, what="target")
        places = embedded(
            panel.source_ND[in_source], panel.target_MD[in_target], seed=seed, perplexity=perplexity
        )
        axes[0, column].set_title("\n".join(title_lines(panel)), fontsize=10, parse_math=False)
        _draw_domains(axes[0, column], *places)
        if panel.source_labels_N is not None:
            known = panel.target_labels_M
            labels = (panel.source_labels_N[in_source], None if known is None else known[in_target])
            _draw_classes(axes[1, column], *places, *labels, classes)
        elif with_classes:
            axes[1, column].set_axis_off()
    file.parent.mkdir(parents=True, exist_ok=True)
    FigureCanvasAgg(figure).print_png(file)


def embedded(
    source_ND: np.ndarray, target_MD: np.ndarray, *, seed: int, perplexity: float
) -> tuple[np.ndarray, np.ndarray]:
    """Places of the samples on a plane, (N, 2) and (M, 2): PCA to 50 dimensions, then t-SNE from its first
    two.
    """
    features = np.concatenate([source_ND, target_MD]).astype(np.float64)
    if features.shape[1] < 2:
        raise ValueError("t-SNE needs at least 2 features a sample.")
    random_state = derived_seed("t-SNE", seed) % 2**32
    if np.ptp(features, axis=0).max() == 0.0:  # all samples alike, as after a collapse: one dot
        places = np.zeros((len(features), 2))
    else:
        components = min(PCA_COMPONENTS, *features.shape)
        reduced = PCA(components, random_state=random_state).fit_transform(features)
        fitting = min(perplexity, (len(features) - 1) / 3.0)
        places = TSNE(perplexity=fitting, init="pca", random_state=random_state).fit_transform(reduced)
    return places[: len(source_ND)], places[len(source_ND) :]


def title_lines(panel: Panel) -> list[str]:
    """The panel's title, and below it the figures that may be compared between networks."""
    title = textwrap.wrap(panel.title, WIDEST_TITLE)
    if panel.gap is None:
        return title
    gap = panel.gap
    return [
        *title,
        f"A-distance {gap.a_distance:.2f} of 2 · MMD² {gap.mmd:.3g} (p = {gap.mmd_p_value:.2g})",
        f"Fréchet {gap.frechet:.3g} (without a gap {gap.frechet_floor:.3g}), "
        f"{gap.frechet_relative:.0%} of the variance",
    ]


def _draw_domains(axes: Axes, source_N2: np.ndarray, target_M2: np.ndarray) -> None:
    _scatter_source(axes, source_N2, SOURCE_COLOUR)
    x, y = target_M2.T
    axes.scatter(x, y, s=16, marker=TARGET_MARKER, c=TARGET_COLOUR, alpha=0.6, linewidths=0)
    _legend(
        axes,
        [
            (SOURCE_MARKER, SOURCE_COLOUR, f"source ({len(source_N2)} shown)"),
            (TARGET_MARKER, TARGET_COLOUR, f"target ({len(target_M2)} shown)"),
        ],
    )
    _frame(axes, "by domain")


def _draw_classes(
    axes: Axes,
    source_N2: np.ndarray,
    target_M2: np.ndarray,
    source_labels_N: np.ndarray,
    target_labels_M: np.ndarray | None,
    classes: Sequence[str],
) -> None:
    unknown = np.full(len(target_M2), -1)
    target_colours = _class_colours(unknown if target_labels_M is None else target_labels_M)
    _scatter_source(axes, source_N2, _class_colours(source_labels_N))
    x, y = target_M2.T
    axes.scatter(x, y, s=20, marker=TARGET_MARKER, c=target_colours, edgecolors="black", linewidths=0.35)
    for code in np.unique(source_labels_N[source_labels_N >= 0]):
        own = source_N2[source_labels_N == code]
        x, y = own[np.square(own - np.median(own, axis=0)).sum(1).argmin()]  # on a sample, not in a gap
        name = axes.text(x, y, classes[code], fontsize=9, fontweight="bold", parse_math=False)
        name.set(ha="center", va="center", path_effects=[withStroke(linewidth=3, foreground="white")])
    colour_of_target = "class unknown" if target_labels_M is None else "true class"
    _legend(
        axes,
        [
            (SOURCE_MARKER, "#555555", "source, classes named"),
            (TARGET_MARKER, "#555555", f"target, {colour_of_target}"),
        ],
    )
    _frame(axes, "by class")


def _scatter_source(axes: Axes, source_N2: np.ndarray, colours: str | list[str]) -> None:
    """Below the target's samples and paler, so that these show."""
    x, y = source_N2.T
    axes.scatter(x, y, s=14, marker=SOURCE_MARKER, c=colours, alpha=0.45, linewidths=0)


def _class_colours(labels_N: np.ndarray) -> list[str]:
    return [CLASS_COLOURS[code % len(CLASS_COLOURS)] if code >= 0 else UNKNOWN_COLOUR for code in labels_N]


def _legend(axes: Axes, entries: Sequence[tuple[str, str, str]]) -> None:
    handles = [
        Line2D([], [], linestyle="none", marker=marker, color=colour, label=label)
        for marker, colour, label in entries
    ]
    axes.legend(
        handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.01), ncols=2, frameon=False, fontsize=9
    )


def _frame(axes: Axes, what: str) -> None:
    """Neither axis has a unit: no ticks."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_ylabel(f"t-SNE, {what}", fontsize=9)
    axes.margins(0.04)
