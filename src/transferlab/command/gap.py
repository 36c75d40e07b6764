"""`transferlab gap`: how far apart two domains are."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from transferlab.command.arguments import dated, folders_and_overrides, out_and_rest
from transferlab.config.compose import compose_checked
from transferlab.run.errors import UserError
from transferlab.run.run_folder import Run

if TYPE_CHECKING:
    from transferlab.analysis.gap import Measured

HELP = """\
transferlab gap DIR DIR [backbone=resnet18]
transferlab gap data=digits_domains
transferlab gap RUN

How far apart two domains are, as a backbone sees them: two folders of images, the source and target of a
config, or those of a run, before and after its training. MMD with a permutation test, proxy A-distance,
Fréchet distance, KID and CORAL on features (which are cached for other runs), and a t-SNE picture.
The distances are of this backbone's features, not of Inception's: compare them for one backbone only.

  --out DIR   where gap.json and gap.png go (default: gaps/<date>_<time>)
"""
_ROWS = (  # what to show: label, attribute, what it is without a gap
    ("MMD² (Gaussian kernels)", "mmd", "0"),
    ("  p-value (permutations)", "mmd_p_value", "above 0.05"),
    ("proxy A-distance (0 to 2)", "a_distance", "0"),
    ("Fréchet / variance (0 to 4)", "frechet_relative", "0"),
    ("Fréchet distance", "frechet", "{frechet_floor:.4g}"),
    ("KID", "kid", "0"),
    ("CORAL distance", "coral", "{coral_floor:.4g}"),
)


def run(arguments: Sequence[str]) -> int:
    """Measure and draw the gap."""
    out, rest = out_and_rest(arguments, verb="gap")
    folders, overrides = folders_and_overrides(rest)
    for text in folders:
        if not Path(text).is_dir():
            raise UserError(f"{text}: there is no such folder.")
    if len(folders) > 2:
        raise UserError(f"transferlab gap compares two folders, not {len(folders)}.")
    if len(folders) == 1 and overrides:
        raise UserError(f"{overrides[0]}: a run has its own config. Leave it out.")
    trained = Run(folders[0]) if len(folders) == 1 else None
    if trained is not None and not trained.model_file.is_file():
        raise UserError(f"{trained.path}: this is not a finished run. Give one, or two folders of images.")
    if len(folders) == 2:
        roots = [f"data.source.root='{folders[0]}'", f"data.target.root='{folders[1]}'"]
        overrides = ["data=domains", *roots, *overrides]
    if trained is None:
        config = compose_checked(overrides).config
    else:
        from transferlab.training.runs import recorded_config

        config = recorded_config(trained)

    from transferlab.analysis.gap import measure_gap, write_gap

    measured, classes = measure_gap(config, run=trained)
    _show(measured)
    picture = write_gap(measured, classes, out or dated("gaps"), seed=int(config.seed))
    sys.stdout.write(f"{picture}\n")
    return 0


def _show(measured: Sequence[Measured]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    for entry in measured:
        table.add_column(entry.title, justify="right", max_width=30)
    table.add_column("without a gap", justify="right")
    for label, name, nothing in _ROWS:
        values = [f"{getattr(entry.gap, name):.4g}" for entry in measured]
        table.add_row(label, *values, nothing.format(**vars(measured[0].gap)))
    console = Console() if sys.stdout.isatty() else Console(width=160)
    console.print(table)
    first = measured[0].gap
    console.print(
        f"{first.num_source} source and {first.num_target} target images, {first.num_features} features of "
        "this backbone (not Inception's). KID, Fréchet and CORAL depend on the features' scale.",
        highlight=False,
    )
