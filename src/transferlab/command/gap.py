"""`transferlab gap`: how far apart two domains are."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from transferlab.command.arguments import folders_and_overrides, out_and_rest
from transferlab.run.run_folder import dated

if TYPE_CHECKING:
    from transferlab.analysis.gap import Measured

HELP = """\
transferlab gap DIR DIR [backbone=resnet18]
transferlab gap data=digits_domains
transferlab gap RUN

How far apart two domains are, as a backbone sees them: two folders of images, with class folders or
without; the source and target of a config; or those of a run, before and after its training. MMD with a
permutation test, proxy A-distance, Fréchet distance, KID and CORAL on features (which are cached for other
runs), and a t-SNE picture.
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

    from transferlab import api
    from transferlab.analysis.gap import write_gap

    found = api.gap(*folders, overrides=overrides)
    _show(found.measured)
    sys.stdout.write(f"{write_gap(found, out or dated('gaps'))}\n")
    return 0


def _show(measured: Sequence[Measured]) -> None:
    from rich.table import Table

    from transferlab.report.plain_console import PlainConsole

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    for entry in measured:
        table.add_column(entry.title, justify="right", max_width=30)
    table.add_column("without a gap", justify="right")
    for label, name, nothing in _ROWS:
        values = [f"{getattr(entry.gap, name):.4g}" for entry in measured]
        table.add_row(label, *values, nothing.format(**vars(measured[0].gap)))
    console = PlainConsole()
    console.print(table)
    first = measured[0].gap
    console.print(
        f"{first.num_source} source and {first.num_target} target images, {first.num_features} features of "
        "this backbone (not Inception's). KID, Fréchet and CORAL depend on the features' scale.",
        highlight=False,
    )
