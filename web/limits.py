"""How often one client may ask: FARM_RATE_LIMIT for changes, FARM_READ_LIMIT for everything else.

Counted in the farm's Redis, so that several web parts count together; in this process's memory while
that is away.
"""

from __future__ import annotations

from flask import Flask, request
from flask_limiter import ApplicationLimit, Limiter

from farm.settings import settings
from web.access import OPEN, client
from web.security import SAFE_METHODS

REDIS_SECONDS = 1  # that a question to Redis may take; then this process counts alone
REDIS: dict[str, str | int] = {
    "key_prefix": "farm:limits",
    "socket_timeout": REDIS_SECONDS,
    "socket_connect_timeout": REDIS_SECONDS,
}
QUESTIONS = frozenset({"api.ask", "api.ask_sizes"})  # sent by POST, and change nothing


def init_app(app: Flask) -> None:
    """Count this application's requests. After `web.access`, which tells whose they are."""
    wanted = settings()
    limits = [
        ApplicationLimit(limit, scope=scope, exempt_when=exempt)
        for limit, scope, exempt in (
            (wanted.rate_limit, "changes", _looks),
            (wanted.read_limit, "reads", _changes_or_is_open),
        )
        if limit
    ]
    limiter = Limiter(
        client,
        app=app,
        application_limits=list(limits),
        strategy="moving-window",
        headers_enabled=True,
        storage_uri=wanted.limits_url,
        storage_options=REDIS if wanted.limits_url != "memory://" else {},
        in_memory_fallback_enabled=True,
        enabled=bool(limits),
    )
    if not wanted.read_limit:
        limiter.request_filter(_looks)  # most requests: the limiter need not even begin


def _looks() -> bool:
    return request.method in SAFE_METHODS or request.endpoint in QUESTIONS


def _changes_or_is_open() -> bool:
    return not _looks() or request.endpoint in OPEN
