"""Names of jobs as they are searched: folded to what a person who types them would call the same."""

from __future__ import annotations

import unicodedata

FOLDED_LENGTH = 240  # characters of a name's folded form, which may be longer than the name


def can_be_shown(text: str) -> bool:
    """Check that a name is printable, but for the two invisible characters that join or part letters,
    which Persian and the emoji of a family have."""
    return text.replace("\u200c", "").replace("\u200d", "").isprintable()


def fold(text: str) -> str:
    """Return a name as it is searched and sorted: without capitals and accents."""
    parts = unicodedata.normalize("NFKD", text)
    plain = "".join(part for part in parts if not unicodedata.combining(part))
    return plain.casefold()[:FOLDED_LENGTH]
