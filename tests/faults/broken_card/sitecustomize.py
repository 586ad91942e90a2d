"""A card that fails once, for a farm whose PYTHONPATH has this folder: every Python starts with it.

The first process that renders finds the file that BROKEN_CARD names, removes it, and computes as on a
card after an illegal access. It has no card; errors are worded as CUDA words them.
"""

from __future__ import annotations

import importlib.abc
import importlib.util
import os
import sys
from contextlib import suppress
from pathlib import Path
from types import ModuleType


def fail(*_: object) -> None:
    import torch

    raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered\nCompile with ..")


def break_card() -> None:
    """Have every gradient and every wait for the card fail."""
    import torch

    from farm.engine.gradient import Objective

    Objective.__call__ = fail  # type: ignore[method-assign, assignment]
    torch.cuda.is_initialized = lambda: True
    torch.cuda.synchronize = fail  # type: ignore[assignment]


class Saboteur(importlib.abc.MetaPathFinder):
    """Breaks the card of the process that imports the renderer first."""

    def find_spec(self, name: str, path: object, target: ModuleType | None = None) -> None:
        if name != "workers.render":
            return
        sys.meta_path.remove(self)
        with suppress(FileNotFoundError):
            Path(os.environ["BROKEN_CARD"]).unlink()
            break_card()


if "BROKEN_CARD" in os.environ:
    sys.meta_path.insert(0, Saboteur())
