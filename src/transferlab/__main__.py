"""`python -m transferlab`, or this file as a script, is the command `transferlab`.

Python puts a folder first on the path of modules: with `-m` the working folder, where a `json.py` of anybody
may lie, for a script the folder of the script. Neither is needed.
"""

import sys

if not (getattr(sys.flags, "safe_path", False) or sys.flags.isolated):  # `safe_path` since 3.11
    del sys.path[0]

from transferlab.cli import main

main()
