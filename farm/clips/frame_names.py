"""Names of a clip's frames, as files of a folder or an archive."""

from __future__ import annotations

import re


def split_numbers(name: str) -> list[tuple[int, str]]:
    """Return a key by which frame2 comes before frame10."""
    parts = re.findall(r"([0-9]{1,18})|([^0-9]+)", name)
    return [(int(digits) if digits else -1, text) for digits, text in parts]
