"""Limits on the JSON of strangers, checked before it is parsed: what it is read into takes far more."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import islice

from farm.errors import InvalidInput, Problem, TooLarge

MAX_BYTES = 100_000
MAX_KEYS = 200  # in all of its objects together
MAX_MARKS = 10_000  # looked at for a list that is too long: more than a limit of ours takes
MARK = re.compile(rb'"(?:[^"\\]|\\.)*+"|[][{},]', re.DOTALL)  # a string, or what parts the others
STRING = re.compile(rb'"(?:[^"\\]|\\.)*+\\?(?:"(?P<colon>\s*+:)?|\Z)', re.DOTALL)  # a key with its colon


def check_json(text: bytes | str, field: str, longest: Mapping[str, int] | None = None) -> None:
    """Check the size of JSON that is not parsed yet, and how many keys it has.

    Args:
        field: names it in the errors. longest: how many items there may be in lists of these names; one
            that has more is what makes it too long.

    Raises:
        TooLarge: it is too long. InvalidInput: it has too many keys, or is too long by such a list.
    """
    data = text.encode(errors="surrogatepass") if isinstance(text, str) else text
    if len(data) > MAX_BYTES:
        for name, limit in (longest or {}).items():
            if _has_more_items(data, name, limit):
                raise InvalidInput(Problem(name, f"list should have at most {limit} items; it has more"))
        raise TooLarge(Problem(field, f"has more than {MAX_BYTES // 1000} kB, the limit of JSON"))
    keys = sum(found["colon"] is not None for found in STRING.finditer(data))
    if keys > MAX_KEYS:
        raise InvalidInput(Problem(field, f"has {keys} keys; the limit is {MAX_KEYS}"))


def _has_more_items(data: bytes, name: str, limit: int) -> bool:
    """Check that the list of this name has more items than the limit."""
    start = re.search(rb'"%s"\s*:\s*\[' % name.encode(), data)
    depth, items = 1, 1
    for mark in islice(MARK.finditer(data, start.end()), MAX_MARKS) if start else ():
        if mark[0] in (b"[", b"{"):
            depth += 1
        elif mark[0] in (b"]", b"}"):
            depth -= 1
        elif mark[0] == b"," and depth == 1:
            items += 1
        if depth == 0 or items > limit:
            break
    return items > limit
