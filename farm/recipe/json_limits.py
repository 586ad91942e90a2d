"""Limits on the JSON of strangers, checked before it is parsed: what it is read into takes far more."""

from __future__ import annotations

import re

from farm.errors import InvalidInput, Problem, TooLarge

MAX_BYTES = 100_000
MAX_KEYS = 200  # in all of its objects together
STRING = re.compile(rb'"(?:[^"\\]|\\.)*+\\?(?:"(?P<colon>\s*+:)?|\Z)', re.DOTALL)  # a key with its colon


def check_json(text: bytes | str, field: str) -> None:
    """Check the size of JSON that is not parsed yet, and how many keys it has.

    Args:
        field: names it in the errors.

    Raises:
        TooLarge: it is too long. InvalidInput: it has too many keys.
    """
    data = text.encode(errors="surrogatepass") if isinstance(text, str) else text
    if len(data) > MAX_BYTES:
        raise TooLarge(Problem(field, f"has more than {MAX_BYTES // 1000} kB, the limit of JSON"))
    keys = sum(found["colon"] is not None for found in STRING.finditer(data))
    if keys > MAX_KEYS:
        raise InvalidInput(Problem(field, f"has {keys} keys; the limit is {MAX_KEYS}"))
