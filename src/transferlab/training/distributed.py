"""Several processes for one run: the others start from the run folder's own config file."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence

from transferlab.run.folder import Run

WORKER_VERB = "join"  # not listed: Lightning starts `transferlab join RUN` for each further process


@contextlib.contextmanager
def launched_by_file(run: Run, allow: Sequence[str] = ()) -> Iterator[None]:
    """Within this, Lightning's launcher starts further processes by `transferlab join RUN`.

    It repeats the command line of this process otherwise: a whole sweep once more, or a notebook. `allow`
    are the user's own modules that the config names.
    """
    before = sys.argv
    sys.argv = [sys.argv[0], WORKER_VERB, str(run.path.resolve()), f"allow=[{','.join(allow)}]"]
    try:
        yield
    finally:
        sys.argv = before


def is_worker() -> bool:
    """Whether this process joins a run that another one leads."""
    return int(os.environ.get("LOCAL_RANK", 0)) > 0
