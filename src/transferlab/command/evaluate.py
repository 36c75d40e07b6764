"""`transferlab evaluate`: the metrics of a trained model, on its own test split or on other images."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from transferlab.command.arguments import (
    folders_and_overrides,
    only_folder,
    out_and_rest,
)
from transferlab.run.run_folder import dated

HELP = """\
transferlab evaluate RUN
transferlab evaluate RUN data=folder data.root=DIR
transferlab evaluate RUN data.root=DIR trainer.accelerator=cpu
transferlab evaluate FOLDER data=OPTION

The metrics of a trained model: on the run's own validation and test split again, or on other images. Their
classes are matched by name, and the model must have them. Of data that comes with a test split that split is
taken, else all images. FOLDER, instead of a run, may hold its model.safetensors and model.json alone.

  --out DIR         where result.json and predictions/ go (default: FOLDER/evaluations/<date>_<time>)
  data=OPTION       other data, with data.KEY=VALUE as in a training; data.KEY=VALUE alone changes the run's
  trainer.KEY=VALUE another device or precision than in the training
  allow=[MODULE]    your own modules that the run's config names
"""


def run(arguments: Sequence[str]) -> int:
    """Evaluate a model."""
    out, given = out_and_rest(arguments, verb="evaluate")
    folders, overrides = folders_and_overrides(given)
    folder = only_folder(folders, verb="evaluate")
    out = out or dated(folder / "evaluations")

    from transferlab import api

    api.evaluate(folder, overrides, out=out)
    sys.stdout.write(f"{out}\n")
    return 0
