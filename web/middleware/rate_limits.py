"""Limits on requests by one client: FARM_RATE_LIMIT for changes, and as often again for questions that
take a while; FARM_READ_LIMIT for everything that changes nothing.

Counted in the farm's Redis, so that several web parts count together; in this process's memory while
that is away. Clients also take turns at having pictures decoded.
"""

from __future__ import annotations

import logging
from http import HTTPStatus

from flask import Flask, Response, request
from flask_limiter import ApplicationLimit, HeaderNames, Limiter

from farm.pictures import decoder_pool
from farm.settings import settings
from web.middleware.authentication import OPEN, identify_client
from web.middleware.counters import REDIS
from web.middleware.headers import SAFE_METHODS

WAIT = "X-RateLimit-Wait"  # s; the limiter would put it into every answer's Retry-After
# Change nothing, and take a while.
QUESTIONS = frozenset(
    {
        "api.estimate_size",
        "api.estimate_sizes",
        "api.estimate_grid",
        "api.estimate_film_need",
        "pages.refresh_estimate",
    }
)


def init_app(app: Flask) -> None:
    """Count this application's requests. Comes after `authentication`, which identifies clients."""
    wanted, limits = settings(), _list_limits()
    logging.getLogger("flask-limiter").addFilter(_leave_out_traceback)
    app.before_request(_set_decoders_client)
    app.after_request(_set_retry_after)  # which runs after the limiter's own, that comes later
    limiter = Limiter(
        identify_client,
        app=app,
        application_limits=list(limits),
        strategy="moving-window",
        headers_enabled=True,
        header_name_mapping={HeaderNames.RETRY_AFTER: WAIT},
        storage_uri=wanted.limits_url,
        storage_options=REDIS if wanted.limits_url != "memory://" else {},
        in_memory_fallback_enabled=True,
        swallow_errors=True,  # of requests at the moment that Redis goes away, all but the first fail
        enabled=bool(limits),
    )
    if not wanted.read_limit:  # most requests: the limiter need not even begin
        limiter.request_filter(lambda: _is_read() and _is_no_question())


def _leave_out_traceback(record: logging.LogRecord) -> bool:
    """Let a line say in words that the counters are away: that is no fault of the code's."""
    if record.exc_info and record.exc_info[1]:
        record.msg, record.args = "requests are counted here alone: %s", (record.exc_info[1],)
        record.exc_info, record.levelno, record.levelname = None, logging.WARNING, "WARNING"
    return True


def _set_decoders_client() -> None:
    if request.method not in SAFE_METHODS:  # others send no picture
        decoder_pool.set_client(identify_client())


def _list_limits() -> list[ApplicationLimit]:
    wanted = settings()
    return [
        ApplicationLimit(limit, scope=scope, exempt_when=exempt)
        for limit, scope, exempt in (
            (wanted.rate_limit, "changes", _is_read),
            (wanted.rate_limit, "questions", _is_no_question),
            (wanted.read_limit, "reads", _is_change_or_open),
        )
        if limit
    ]


def _set_retry_after(response: Response) -> Response:
    """Set `Retry-After` where requests came too often; a refusal for something else keeps its own."""
    seconds = response.headers.pop(WAIT, None)
    if response.status_code == HTTPStatus.TOO_MANY_REQUESTS and seconds is not None:
        response.headers.setdefault("Retry-After", str(max(1, int(seconds))))
    return response


def _is_read() -> bool:
    return request.method in SAFE_METHODS or request.endpoint in QUESTIONS


def _is_no_question() -> bool:
    return request.endpoint not in QUESTIONS


def _is_change_or_open() -> bool:
    return not _is_read() or request.endpoint in OPEN
