"""`transferlab inspect`: what is in the data and what is wrong with it, before anything is trained."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from transferlab.command.arguments import out_and_rest
from transferlab.run.printable import printable_lines
from transferlab.run.run_folder import dated

HELP = """\
transferlab inspect data.root=DIR
transferlab inspect data=table data.source.table=FILE [data.source.group_column=patient] ...

Classes and counts, sizes and modes, broken files with reasons, exact and near duplicates, groups in two
splits, the proposed splits. Takes any data config of `transferlab train`; data=folder unless you say
otherwise.

  --out DIR   where inspection.json and inspection.html go (default: inspections/<date>_<time>)

Exit code: 0 nothing wrong, 1 leaks, empty classes or too little to train on, 2 a mistake in the command.
"""


def run(arguments: Sequence[str]) -> int:
    """Inspect the data of a config; 1 where it must not be trained on as it is."""
    out, overrides = out_and_rest(arguments, verb="inspect")

    from transferlab import api

    inspection = api.inspect(overrides)

    from transferlab.report.inspection_page import as_html, as_text

    sys.stdout.write(printable_lines(as_text(inspection)) + "\n")
    folder = out or dated("inspections")
    folder.mkdir(parents=True, exist_ok=True)
    content = json.dumps(inspection.as_json(), indent=2) + "\n"
    (folder / "inspection.json").write_text(content, encoding="utf-8")
    (folder / "inspection.html").write_text(printable_lines(as_html(inspection)), encoding="utf-8")
    sys.stdout.write(f"{folder / 'inspection.html'}\n")
    return 1 if inspection.problems else 0
