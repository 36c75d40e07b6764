"""Imported by each Python that the guard starts, after the environment's .pth files.

An editable install puts the checkout that it was made from on the path of every other one, too, and Hydra
looks for plugins in all of them: only the checkout that is asked for stays.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

if "GUARDED_SOURCE" in os.environ:
    own = os.environ["GUARDED_SOURCE"]
    sys.path[:] = [
        place for place in sys.path if place == own or not Path(place, "transferlab/__init__.py").is_file()
    ]
