"""The recipe of a picture: settings and their defaults, file formats, levels, and the memory for them.

Arithmetic and validation only, without torch, database or network; may use `farm.errors` alone.
"""

from __future__ import annotations

from farm.recipe.recipe import Recipe

__all__ = ["Recipe"]
