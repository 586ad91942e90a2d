"""Messages that no farm sends, for the queue of a worker."""

from __future__ import annotations

import base64
import json
from typing import Any

from workers.broker import build_ticket

GOOD = build_ticket("standard")


def change(*path: str, value: Any = None, gone: bool = False) -> bytes:
    """A ticket with another value, or none, at one place."""
    message = json.loads(GOOD)
    inner = message
    for name in path[:-1]:
        inner = inner[name]
    if gone:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return json.dumps(message).encode()


def pack(body: Any) -> bytes:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return change("body", value=base64.b64encode(data).decode())


BODIES: list[Any] = [b"{", None, {}, [], ["x", 5, None], [[1, 2, 3], {}, {}], [["gigantic"], {}, {}]]
BODIES += [[[None], {}, {}], [[{}], {}, {}], [[], {"work_class": "standard"}, {}]]
POISON = [b"garbage", b"\xff\xfe", b"null", b"[]", b"1", b'"x"', b"{}", b"[" * 100_000]
POISON += [pack(body) for body in BODIES]
POISON += [change(part, gone=True) for part in ("properties", "headers", "body", "content-type")]
POISON += [change(part) for part in ("properties", "headers", "body", "content-type")]
POISON += [change("body", value="!!!"), change("content-type", value="application/x-python-serialize")]
POISON += [change("properties", "delivery_tag", value={}), change("properties", value={})]
OTHER_TASKS: list[Any] = ["evil.task", None, []]
POISON += [change("headers", "task", value=other) for other in OTHER_TASKS]
ODD_FIELDS: dict[str, Any] = {"id": {}, "eta": "never", "expires": "x", "retries": "x", "timelimit": "x"}
POISON += [change("headers", name, value=value) for name, value in ODD_FIELDS.items()]
