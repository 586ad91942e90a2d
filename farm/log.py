"""Logging: structlog to standard error, for people or as JSON, one line an event."""

from __future__ import annotations

import logging
import re
import sys
from typing import Any

import structlog
from structlog.typing import EventDict

from farm.settings import settings

TOKEN = re.compile(r"farm_[\w-]{20,}")
PASSWORD = re.compile(r"(://[^/\s:@]*:)[^/\s@]+@")  # of user:password@host


def _escape_unprintable(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Escape unprintable characters: what a stranger sent must not control the operator's terminal."""
    for key, value in event.items():
        if isinstance(value, str) and key != "exception" and not value.isprintable():
            event[key] = value.encode("unicode_escape").decode()
    return event


def _redact_secrets(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Redact tokens, and passwords in addresses, in every value: an error's text repeats its input."""
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = PASSWORD.sub(r"\1***@", TOKEN.sub("farm_***", value))
    return event


def configure() -> None:
    """Set up this process's log. Tracebacks go here and never to a user."""
    for_people = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer() if settings().log_format == "json" else for_people
    )
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        _escape_unprintable,
        _redact_secrets,
    ]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
