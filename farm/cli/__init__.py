"""Command line `farm`, a file for each audience.

May use every room of `farm`; what brings torch is imported where it is needed.
"""

from __future__ import annotations

from farm.cli.root import main

__all__ = ["main"]
