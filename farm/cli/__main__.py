"""`python -m farm.cli`: the same as the command `farm`."""

from __future__ import annotations

from farm.cli import main

main()
