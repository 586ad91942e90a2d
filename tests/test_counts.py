"""Counts in words, and that no message has a plural of one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from farm.counts import format_count

ROOT = Path(__file__).resolve().parent.parent
PLURAL = re.compile(  # a count right before it
    r"\{([^{}]*)\} (paintings|weights|frames|jobs|drafts|pictures|parts|shots|workers|levels|iterations"
    r"|numbers|sizes|megapixels|minutes|hours|days|threads|answers|stars|others)\b"
)
# More than a limit, or no counts.
NEVER_ONE = {"large", "len(ids)", "len(styles)", "most", "job.work_class.value", "parts"}


@pytest.mark.parametrize(
    ("count", "words"), [(1, "1 frame"), (0, "0 frames"), (1200, "1,200 frames"), (0.5, "0.5 frames")]
)
def test_a_count_is_one_or_many(count: float, words: str) -> None:
    assert format_count(count, "frame") == words


def test_no_message_has_a_plural_of_one() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for folder in ("farm", "workers", "web")
        for path in (ROOT / folder).rglob("*.py")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        for count, _ in PLURAL.findall(line)
        if not (count in NEVER_ONE or count.isupper() or " == 1 else " in line)
    ]
    assert found == []
