"""Keys of the queue in Redis, and what type each has to have: with another, nothing is sent or taken.

Whoever reaches Redis, or another program on the same database, can write such a key. It holds nothing of
the farm's: rows are the truth, and tickets are sent again.
"""

from __future__ import annotations

from typing import Any

import structlog
from redis import Redis
from redis.exceptions import RedisError

from farm.database.models import WorkClass

PREFIX = "farm:"  # of all keys of the queue
TYPES = {"unacked": b"hash", "unacked_index": b"zset", "_kombu.binding_deadlines": b"zset"}
BINDINGS, BINDING_TYPE = "_kombu.binding*", b"set"
WORKER_QUEUES = "worker.*"  # each heard by one worker alone
SEPARATOR = "\x06\x16"  # between a queue's name and a priority
QUEUE_TYPE = b"list"

log = structlog.get_logger()


def is_wrong_type(error: Exception) -> bool:
    """Check for the answer of Redis to a command for a key of another type."""
    return isinstance(error, RedisError) and "WRONGTYPE" in str(error)


def drop_wrong_types(redis: Redis) -> bool:
    """Delete keys of the queue whose type is not the one they have to have, and log each.

    Returns:
        Whether there was one.
    """
    found: dict[bytes, Any] = {key: redis.type(key) for key in _list_keys(redis)}
    wrong = {key: kind for key, kind in found.items() if kind not in (b"none", _find_type(key))}
    for key, kind in wrong.items():
        redis.delete(key)
        name, wanted = key.decode(errors="replace"), _find_type(key).decode()
        log.warning("key dropped: of another type", key=name, type=kind.decode(), needed=wanted)
    return bool(wrong)


def _list_keys(redis: Redis) -> set[bytes]:
    keys = {f"{PREFIX}{name}".encode() for name in (*TYPES, *WorkClass)}
    for pattern in (BINDINGS, WORKER_QUEUES, f"*{SEPARATOR}*"):
        keys |= set(redis.scan_iter(match=f"{PREFIX}{pattern}", count=1000))
    return keys


def _find_type(key: bytes) -> bytes:
    name = key.decode(errors="replace").removeprefix(PREFIX)
    if name in TYPES:
        return TYPES[name]
    return BINDING_TYPE if name.startswith(BINDINGS.removesuffix("*")) else QUEUE_TYPE
