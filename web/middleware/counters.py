"""Counts by client in the farm's Redis, so that several web parts count together; in this process's
memory while that is away."""

from __future__ import annotations

import structlog
from limits import RateLimitItem
from limits.errors import StorageError
from limits.storage import MemoryStorage, storage_from_string
from limits.strategies import FixedWindowRateLimiter

from farm.settings import settings

REDIS_SECONDS = 1  # that a question to Redis may take; then this process counts alone
REDIS: dict[str, str | int] = {
    "key_prefix": "farm:limits",
    "socket_timeout": REDIS_SECONDS,
    "socket_connect_timeout": REDIS_SECONDS,
}

log = structlog.get_logger()


class Counter:
    """Counter of something by client, within a limit."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._alone = FixedWindowRateLimiter(MemoryStorage())
        url = settings().limits_url
        options = REDIS if url != "memory://" else {}
        shared = storage_from_string(url, wrap_exceptions=True, **options)
        self._together = FixedWindowRateLimiter(shared)

    def hit(self, limit: RateLimitItem, client: str) -> bool:
        """Count one more; return False beyond the limit."""
        try:
            return self._together.hit(limit, self._name, client)
        except StorageError:
            log.warning("counted alone: the farm's Redis does not answer", counter=self._name)
            return self._alone.hit(limit, self._name, client)
