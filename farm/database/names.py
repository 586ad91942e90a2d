"""Names of jobs as they are searched: folded to what a person who types them would call the same."""

from __future__ import annotations

import unicodedata

FOLDED_LENGTH = 240  # characters of a name's folded form, which may be longer than the name


def can_be_shown(text: str) -> bool:
    """Whether a name has letters and signs alone, and the two invisible ones that join or part letters,
    which Persian and the emoji of a family have."""
    return text.replace("\u200c", "").replace("\u200d", "").isprintable()


def fold(text: str) -> str:
    """A name as it is searched and sorted: without capitals and accents, alike in every database."""
    parts = unicodedata.normalize("NFKD", text)
    plain = "".join(part for part in parts if not unicodedata.combining(part))
    return plain.casefold()[:FOLDED_LENGTH]
