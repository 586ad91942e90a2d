"""Names of jobs as they are searched: folded to what a person who types them would call the same."""

from __future__ import annotations

import re
import unicodedata

FOLDED_LENGTH = 240  # characters of a name's folded form, which may be longer than the name
INVISIBLE_CATEGORIES = frozenset({"Cf", "Zl", "Zp", "Zs"})
# What Unicode ignores or draws as nothing: joiners, fillers, selectors, an empty Braille cell.
INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0"
    "\U0001d159\U000e0100-\U000e01ef]"
)


def can_be_shown(text: str) -> bool:
    """Check that a name is printable, but for the two invisible characters that join or part letters,
    which Persian and the emoji of a family have."""
    return text.replace("\u200c", "").replace("\u200d", "").isprintable()


def has_visible(text: str) -> bool:
    """Check that something of a text can be seen: not only blanks, joiners and fillers."""
    return any(
        unicodedata.category(char) not in INVISIBLE_CATEGORIES and not INVISIBLE.match(char)
        for char in text
    )


def make_printable(text: str) -> str:
    """Return a text for a terminal, with an escape for each character that cannot be shown."""
    return "".join(
        char if char == "\n" or can_be_shown(char) else char.encode("unicode_escape").decode()
        for char in text
    )


def fold(text: str) -> str:
    """Return a name as it is searched and sorted: without capitals and accents."""
    parts = unicodedata.normalize("NFKD", text)
    plain = "".join(part for part in parts if not unicodedata.combining(part))
    return plain.casefold()[:FOLDED_LENGTH]


def fold_case(text: str) -> str:
    """Return a name without capitals, with its accents: what is alike is one name of a look."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
