"""`python -m transferlab` is the command `transferlab`."""

from transferlab.cli import main

main()
